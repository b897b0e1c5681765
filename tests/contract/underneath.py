"""What tests see and change of what is stored, past the store: how old a token is, who holds a lease."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from contract.tokens import CLIENT
from zoho_token_store import PartitionedTokenStore
from zoho_token_store.codec import Codec
from zoho_token_store.commit import StoreAccess
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.tables import Database


def repository_of(store: Any, client_id: str = CLIENT) -> Any:
    """Return the records among which a client's are, in one of its partitions if a store has several."""
    return (store.home(client_id) if isinstance(store, PartitionedTokenStore) else store)._repository


class Underneath(Protocol):
    """What is stored in one namespace."""

    def leave(self, record_id: str, left: float, life: float | None = None) -> None:
        """Let an access token have some seconds left.

        Args:
            record_id: Whose.
            left: Seconds.
            life: The life that it had when it was saved, seconds; None leaves that as it is.
        """

    def fence(self, lease: str) -> int:
        """Return the fence of a lease."""

    def is_free(self, lease: str) -> bool:
        """Return whether nobody holds a lease."""

    def paused_until(self, lease: str) -> float:
        """Return when the fleet's pause ends, seconds since the epoch; 0 without one."""

    def end_pause(self, lease: str) -> None:
        """Let the fleet's pause be over."""

    def let_calls_grow_old(self, credential: str, seconds: float) -> None:
        """Let all calls to Zoho with a credential have been made earlier."""


class UnderRedis:
    """See :class:`Underneath`.

    Args:
        raw: A client that answers with text.
        codec: How the store that wrote has sealed it.
        namespace: Where.
    """

    def __init__(self, raw: Any, codec: Codec, namespace: str) -> None:
        self._raw = raw
        self._codec = codec
        self._keys = Keyspace(namespace)

    def leave(self, record_id: str, left: float, life: float | None = None) -> None:
        key = self._keys.access(record_id)
        access = self._codec.read_access(record_id, self._raw.get(key))
        assert access is not None
        if left <= 0:
            self._raw.delete(key)
            return
        seconds, microseconds = self._raw.time()
        expires_ms = int((seconds + microseconds / 1e6 + left) * 1000)
        life_ms = access.life_ms if life is None else int(life * 1000)
        access = access._replace(expires_ms=expires_ms, life_ms=life_ms)
        self._raw.set(key, self._codec.access(record_id, access))

    def fence(self, lease: str) -> int:
        return int(self._raw.hget(self._keys.lease(lease), "fence"))

    def is_free(self, lease: str) -> bool:
        return not self._raw.hget(self._keys.lease(lease), "until_ms")

    def paused_until(self, lease: str) -> float:
        return int(self._raw.hget(self._keys.lease(lease), "retry_ms") or 0) / 1000

    def end_pause(self, lease: str) -> None:
        self._raw.hset(self._keys.lease(lease), "retry_ms", str(int(time.time() * 1000) - 1))

    def let_calls_grow_old(self, credential: str, seconds: float) -> None:
        key = self._keys.calls(credential)
        calls = [str(int(ms) - int(seconds * 1000)) for ms in self._raw.get(key).split(" ")]
        self._raw.set(key, " ".join(calls))


class UnderTables:
    """See :class:`Underneath`.

    Args:
        database: Where.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def leave(self, record_id: str, left: float, life: float | None = None) -> None:
        with self._database.writing() as tables:
            row = tables.row(record_id)
            access = row and row.open().access
            assert access is not None
            expires_ms = tables.now_us // 1000 + int(left * 1000)
            life_ms = access.life_ms if life is None else int(life * 1000)
            aged = None if left <= 0 else access._replace(expires_ms=expires_ms, life_ms=life_ms)
            tables.write(StoreAccess(record_id, aged, expires_ms))

    def fence(self, lease: str) -> int:
        with self._database.reading() as tables:
            return tables.tenure(lease).fence

    def is_free(self, lease: str) -> bool:
        with self._database.reading() as tables:
            return not tables.tenure(lease).until_ms

    def paused_until(self, lease: str) -> float:
        with self._database.reading() as tables:
            return tables.tenure(lease).retry_ms / 1000

    def end_pause(self, lease: str) -> None:
        with self._database.writing() as tables:
            tenure = tables.tenure(lease)
            tables.put_tenure(lease, tenure._replace(retry_ms=tables.now_us // 1000 - 1))

    def let_calls_grow_old(self, credential: str, seconds: float) -> None:
        with self._database.writing() as tables:
            calls = [made_ms - int(seconds * 1000) for made_ms in tables.calls(credential)]
            tables.put_calls(credential, calls, tables.now_us // 1000 + 3_600_000)


class UnderPartitions:
    """See :class:`Underneath`: of several namespaces, the one that knows what is asked for.

    Args:
        partitions: Their insides.
        number_of: Tells which of them has a record.
    """

    def __init__(self, partitions: Sequence[Underneath], number_of: Callable[[str], int | None]) -> None:
        self._partitions = partitions
        self._number_of = number_of

    def leave(self, record_id: str, left: float, life: float | None = None) -> None:
        self._of(record_id).leave(record_id, left, life)

    def fence(self, lease: str) -> int:
        return self._of(lease).fence(lease)

    def is_free(self, lease: str) -> bool:
        return all(each.is_free(lease) for each in self._partitions)

    def paused_until(self, lease: str) -> float:
        return max(each.paused_until(lease) for each in self._partitions)

    def end_pause(self, lease: str) -> None:
        self._of(lease).end_pause(lease)

    def let_calls_grow_old(self, credential: str, seconds: float) -> None:
        for each in self._partitions:
            with suppress(AttributeError):  # there were none
                each.let_calls_grow_old(credential, seconds)

    def _of(self, name: str) -> Underneath:
        number = None if ":" in name else self._number_of(name)
        if number is not None:
            return self._partitions[number]
        return next(each for each in self._partitions if not each.is_free(name) or each.paused_until(name))
