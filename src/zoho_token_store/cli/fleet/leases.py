"""Who refreshes at this moment, which refreshes the fleet holds back, and what it has counted, as Redis knows it.

No method of the store tells it, since no worker needs it: this asks Redis itself, as the doctor does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple

import redis

from zoho_token_store.cli.fleet.counted import SUMS, Counted, read_counted
from zoho_token_store.cli.target import Target
from zoho_token_store.errors import StoreUnavailable
from zoho_token_store.events import EventStream
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.link import Line, passing, read_info
from zoho_token_store.record import is_number
from zoho_token_store.refusal import refusal
from zoho_token_store.topology import topology_from_url

STEP = 1000
"""How many keys are passed in one question."""

FIELDS = ("until_ms", "retry_ms", "attempts", "reason")


class Lease(NamedTuple):
    """A refresh that is under way, or held back.

    Attributes:
        name: Of which record; or of which credential, by the digest of it, where there is no record yet.
        held: Whether somebody is at it; else the fleet waits until it may be tried again.
        left_ms: How long the lease lasts or the pause goes on, ms.
        attempts: How many leases there have been since the last save.
        reason: Why it is held back, in the words of who said so: ``failed``, ``throttled`` or Zoho's; "" if leases have
            ended without a save.
    """

    name: str
    held: bool
    left_ms: int
    attempts: int
    reason: str


class FleetLine:
    """A connection to the fleet's Redis.

    Args:
        target: Where the tokens are.

    Raises:
        click.UsageError: Not in Redis.
        ConfigurationError: The URL or the namespace cannot be used.
    """

    def __init__(self, target: Target) -> None:
        self._keys = Keyspace(target.check_redis())
        self._line = Line(topology_from_url(target.url)[0].route(self._keys.nothing))
        self._clock = EventStream(self._line, self._keys.events)

    def now_ms(self) -> int:
        """Return Redis's time, ms."""
        with _as_ours():
            return self._clock.now_ms()

    def leases(self) -> Iterator[list[Lease]]:
        """Yield one list again and again while it grows; at the end it is complete.

        It passes all keys of the database, some at a time: there is no list of leases.
        """
        with _as_ours():
            now_ms, cursor = self._clock.now_ms(), "0"
            found: dict[str, Lease] = {}
            while True:
                pattern = f"{self._keys.lease('')}*"
                cursor, keys = self._line.ask("SCAN", cursor, "MATCH", pattern, "COUNT", STEP)
                for key in keys:
                    lease = read_lease(self._keys.name(key), self._line.ask("HMGET", key, *FIELDS), now_ms)
                    if lease:
                        found[lease.name] = lease
                yield list(found.values())
                if cursor == "0":
                    return

    def counted(self) -> Counted:
        """Return what all processes together have counted."""
        with _as_ours():
            try:
                return read_counted(self._line.ask("HMGET", self._keys.counted, *SUMS))
            except redis.ResponseError as error:
                if "WRONGTYPE" not in str(error):
                    raise
                return read_counted([None] * len(SUMS))  # somebody else's; the audit says so

    def blocked(self) -> int | None:
        """Return how many clients of the whole server wait for something; None if it does not say.

        Workers that wait for a refresh are among them; so are near caches, ``watch``, and others of the server's users.
        """
        with _as_ours():
            found = read_info(self._line.ask("INFO", "clients")).get("blocked_clients", "")
            return int(found) if is_number(found) else None

    def __enter__(self) -> FleetLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close()


def read_lease(name: str, stored: list[Any], now_ms: int) -> Lease | None:
    """Return the lease in what Redis has, whatever that is; None if nobody is at it and nobody held back.

    Args:
        name: Its name.
        stored: The values of ``FIELDS``.
        now_ms: Redis's time, ms.
    """
    until_ms, retry_ms, attempts = (int(text) if is_number(text) else 0 for text in stored[:3])
    end_ms = until_ms if until_ms > now_ms else retry_ms
    if end_ms <= now_ms:
        return None
    return Lease(name, until_ms > now_ms, end_ms - now_ms, attempts, str(stored[3] or "").removeprefix("+"))


def paused(leases: list[Lease]) -> Counter[str]:
    """Return how many refreshes are held back, by the reason."""
    return Counter(lease.reason or "failed" for lease in leases if not lease.held)


@contextmanager
def _as_ours() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        why = refusal(error) or f"Redis does not answer ({type(error).__name__})"
        raise StoreUnavailable(why, cause=error, passing=passing(error)) from None
