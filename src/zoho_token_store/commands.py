"""How a commit is written to Redis: comparisons and commands for ``commit-1.lua``."""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

from zoho_token_store.codec import Codec, Rewrite
from zoho_token_store.commit import (
    EVENTS_KEPT,
    Bury,
    Commit,
    DropRecord,
    EndLease,
    Point,
    RewriteRecord,
    StoreAccess,
    StoreRecord,
    Tell,
    Unpoint,
    Write,
)
from zoho_token_store.keyspace import Keyspace

DROPPED = 500
"""Most keys removed by one command: they have to fit on Lua's stack."""


class Commands(NamedTuple):
    """Keys and arguments of ``commit-1.lua``."""

    keys: list[str]
    args: list[str | int]

    def __repr__(self) -> str:
        return f"Commands(keys={self.keys!r}, ...)"


class CommandBuilder:
    """Lowers commits to commands.

    Args:
        keys: The key names.
        codec: How records lie in Redis.
    """

    def __init__(self, keys: Keyspace, codec: Codec) -> None:
        self._keys = keys
        self._codec = codec
        self._indexes: dict[str, int] = {keys.nothing: 1}
        self._args: list[str | int] = []
        self._dropped: dict[int, None] = {}
        self._unlisted: list[str] = []

    def build(self, commit: Commit) -> Commands:
        """Return the commands of one commit. What is removed goes first: nothing is both removed and written."""
        compared: list[str | int] = [len(commit.strings) + len(commit.records)]
        for name, value in commit.strings.items():
            compared += (self._index(self._keys.key(name)), "value", value)
        for record_id, rev in commit.records.items():
            compared += (self._index(self._keys.token(record_id)), "rev", rev)
        for write in commit.writes:
            self._lower(write)
        args = [*compared, *self._removals(), *self._args]
        return Commands(list(self._indexes), args)

    def _removals(self) -> list[str | int]:
        args: list[str | int] = []
        indexes = list(self._dropped)
        for at in range(0, len(indexes), DROPPED):
            first, *others = indexes[at : at + DROPPED]
            args += (len(others), first, "DROP", *others)
        if self._unlisted:
            for key in (self._keys.ids, self._keys.expiring):
                args += (len(self._unlisted), self._index(key), "ZREM", *self._unlisted)
        return args

    def _lower(self, write: Write) -> None:
        keys = self._keys
        match write:
            case EndLease(name, owner, fence, event):
                self._add(keys.lease(name), "RELEASE", owner, fence)
                self._add(keys.wake(name), "XADD", "NOMKSTREAM", "MAXLEN", 1, "*", "event", event)
            case StoreRecord():
                self._store(write)
            case RewriteRecord(record):
                self._write_hash(keys.token(record.id), self._codec.whole(record))
            case StoreAccess(record_id, None):
                self._drop(keys.access(record_id))
            case StoreAccess(record_id, access, ends_ms) if access is not None:
                self._add(keys.access(record_id), "SET", self._codec.access(record_id, access), "PXAT", ends_ms)
            case DropRecord(record_id):
                self._drop(keys.token(record_id), keys.access(record_id))
                self._unlisted.append(record_id)
            case Point(name, value, ends_ms):
                self._write_string(name, "SET", value, *(("PXAT", ends_ms) if ends_ms else ()))
            case Unpoint(name):
                self._drop(*keys.every(name))
            case Bury(name, least, ttl_ms):
                self._write_string(name, "BURY", least, ttl_ms)
            case Tell(event, record_id, by, more):
                told = ("event", event, "id", record_id, "by", by, *more)
                self._add(keys.events, "XADD", "MAXLEN", "~", EVENTS_KEPT, "*", *told)

    def _store(self, write: StoreRecord) -> None:
        keys, record_id = self._keys, write.after.id
        token = keys.token(record_id)
        self._write_hash(token, self._codec.changes(write.before, write.after))
        if write.ends_ms:
            self._add(token, "PEXPIREAT", write.ends_ms)
            self._add(keys.expiring, "ZADD", write.ends_ms, record_id)
        elif write.ends_ms == 0:
            self._add(token, "PERSIST")
            self._add(keys.expiring, "ZREM", record_id)
        if write.before is None:
            self._add(keys.ids, "ZADD", 0, record_id)

    def _drop(self, *keys: str) -> None:
        self._dropped.update(dict.fromkeys(map(self._index, keys)))

    def _index(self, key: str) -> int:
        return self._indexes.setdefault(key, len(self._indexes) + 1)

    def _add(self, key: str, command: str, *args: str | int) -> None:
        self._args += (len(args), self._index(key), command, *args)

    def _write_string(self, name: str, command: str, *args: str | int) -> None:
        """Write a pointer or a tombstone, under every pointer key."""
        for key in self._keys.every(name):
            self._add(key, command, *args)

    def _write_hash(self, key: str, rewrite: Rewrite) -> None:
        if rewrite.gone:
            self._add(key, "HDEL", *rewrite.gone)
        self._add(key, "HSET", *chain.from_iterable(rewrite.values.items()))
