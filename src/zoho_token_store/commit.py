"""How changes to records are written: comparisons and commands for ``commit-1.lua``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import NamedTuple

from zoho_token_store.change import Change, access_pointer, credential_pointers, user_entry, user_tombstone
from zoho_token_store.codec import Codec
from zoho_token_store.keyspace import Keyspace, read_user_pointer, tombstone, write_user_pointer
from zoho_token_store.options import Options
from zoho_token_store.record import Access, TokenRecord
from zoho_token_store.snapshot import Snapshot

EVENTS_KEPT = 10_000
"""About how many events a namespace remembers."""


NOTHING_NEW = ("invalidated", "rejected")
"""Events that bring nothing to refresh with: they end no lease, and above all no cool-down."""


class Commit(NamedTuple):
    """Keys and arguments of ``commit-1.lua``."""

    keys: list[str]
    args: list[str | int]

    def __repr__(self) -> str:
        return f"Commit(keys={self.keys!r}, ...)"


class CommitBuilder:
    """Lowers changes to commands.

    Args:
        keys: The key names.
        codec: How records lie in Redis.
        options: Lives of records and tombstones.
        snapshot: What the changes were planned from; it is read for user pointers, and all that was read is compared.
        now_ms: Redis's time, ms.
    """

    def __init__(self, keys: Keyspace, codec: Codec, options: Options, snapshot: Snapshot, now_ms: int) -> None:
        self._keys = keys
        self._codec = codec
        self._options = options
        self._snapshot = snapshot
        self._now_ms = now_ms
        self._indexes: dict[str, int] = {keys.nothing: 1}
        self._writes: list[str | int] = []

    def build(self, changes: Iterable[Change]) -> Commit:
        """Return the commit of some changes; all are written, or none."""
        for change in changes:
            self._add(change)
        return self._commit()

    def rewrite(self, record: TokenRecord) -> Commit:
        """Return the commit that writes a record, and all that leads to it, as they are written now.

        Nothing of it changes, so it has no event, and what was planned from the record holds.
        """
        self._snapshot.record(record.id)
        self._write_hash(self._keys.token(record.id), *self._codec.whole(record))
        if record.access:
            self._write_access(record.id, record.access)
            self._write_string(str(access_pointer(record)), "SET", record.id, "PXAT", self._access_ends_ms(record))
        until = _until(self._ends_ms(record))
        for name in sorted(credential_pointers(record)):
            self._write_string(name, "SET", record.id, *until)
        entry = user_entry(record)
        if entry:
            known = {entry[1]: record.id} | read_user_pointer(self._snapshot.string(entry[0]))
            self._write_string(entry[0], "SET", write_user_pointer(known), *(until if len(known) == 1 else ()))
        return self._commit()

    def _commit(self) -> Commit:
        """Return what is to be written, with the comparison of all that was read."""
        strings, records = self._snapshot.reads()
        checks: list[str | int] = [len(strings) + len(records)]
        for name, value in strings.items():
            checks += (self._index(self._keys.key(name)), "value", value)
        for record_id, rev in records.items():
            checks += (self._index(self._keys.token(record_id)), "rev", rev)
        return Commit(list(self._indexes), checks + self._writes)

    def _index(self, key: str) -> int:
        return self._indexes.setdefault(key, len(self._indexes) + 1)

    def _write(self, key: str, command: str, *args: str | int) -> None:
        self._writes += (len(args), self._index(key), command, *args)

    def _write_string(self, name: str, command: str, *args: str | int) -> None:
        """Write a pointer or a tombstone, under every pointer key."""
        for key in self._keys.every(name):
            self._write(key, command, *args)

    def _write_hash(self, key: str, gone: list[str], values: dict[str, str]) -> None:
        if gone:
            self._write(key, "HDEL", *gone)
        self._write(key, "HSET", *chain.from_iterable(values.items()))

    def _write_access(self, record_id: str, access: Access) -> None:
        key, ends_ms = self._keys.access(record_id), access.ends_ms(self._now_ms)
        self._write(key, "SET", self._codec.access(record_id, access), "PXAT", ends_ms)

    def _add(self, change: Change) -> None:
        after, keys = change.after, self._keys
        scope = _Scope.of(change, self._ends_ms)
        self._end_leases(change, scope)
        for record in change.before:
            if after is None or record.id != after.id:
                self._write(keys.token(record.id), "DEL")
                self._write(keys.access(record.id), "DEL")
                self._write(keys.ids, "ZREM", record.id)
                self._write(keys.expiring, "ZREM", record.id)
        if after is None:
            self._bury(change, scope)
        else:
            self._store(change, after, scope)
        self._point(change, scope)
        self._point_access(change)
        self._point_user(change, scope)
        # The id stands in every event, and a secret in none.
        record_id = after.id if after else change.before[0].id
        entry = user_entry(after) if after else None
        named = entry is not None and entry not in map(user_entry, change.before)
        self._tell(change.event, record_id, *(("names", "changed") if named else ()))
        for record in change.before:
            if record.id != record_id:
                self._tell("merged", record.id, "into", record_id)

    def _tell(self, event: str, record_id: str, *more: str) -> None:
        told = ("event", event, "id", record_id, "by", self._options.author(), *more)
        self._write(self._keys.events, "XADD", "MAXLEN", "~", EVENTS_KEPT, "*", *told)

    def _end_leases(self, change: Change, scope: _Scope) -> None:
        """End the lease of every record and credential that this is about, and wake who waits for it."""
        if change.event in NOTHING_NEW:
            return
        names = {record.id for record in change.before} | scope.made
        owner, fence = "", 0
        if change.lease:
            names.add(change.lease.name)
            owner, fence = change.lease.owner, change.lease.fence
        for name in sorted(names):
            self._write(self._keys.lease(name), "RELEASE", owner, fence)
            self._write(self._keys.wake(name), "XADD", "NOMKSTREAM", "MAXLEN", 1, "*", "event", change.event)

    def _store(self, change: Change, after: TokenRecord, scope: _Scope) -> None:
        keys = self._keys
        before = next((record for record in change.before if record.id == after.id), None)
        token, access = keys.token(after.id), keys.access(after.id)
        self._write_hash(token, *self._codec.changes(before, after))
        if scope.ends_ms:
            self._write(token, "PEXPIREAT", scope.ends_ms)
            self._write(keys.expiring, "ZADD", scope.ends_ms, after.id)
        elif scope.life_changes or before is None:  # an earlier record under this id may have ended by itself
            self._write(token, "PERSIST")
            self._write(keys.expiring, "ZREM", after.id)
        if before is None:
            self._write(keys.ids, "ZADD", 0, after.id)
        if after.access is None:
            self._write(access, "DEL")
        elif before is None or before.stale or after.access != before.access:
            self._write_access(after.id, after.access)
        if scope.life_changes or scope.merges or change.event == "restored":
            for record_id in after.bookkeeping().absorbed:
                self._write_string(tombstone(record_id), "SET", f"merged {after.id}", *_until(scope.ends_ms))

    def _bury(self, change: Change, scope: _Scope) -> None:
        """Leave tombstones under the ids and under every credential of what is deleted."""
        names = set(scope.ended)
        for record in change.before:
            names |= {record.id, *record.bookkeeping().absorbed}
            entry = user_entry(record)
            if entry:
                names.add(user_tombstone(entry))
        least = max(int(record.fence) for record in change.before) + 1
        for name in sorted(names):
            self._write_string(tombstone(name), "BURY", least, int(self._options.tombstone_ttl * 1000))

    def _point(self, change: Change, scope: _Scope) -> None:
        """Make the pointers of grant and refresh tokens lead to what is left."""
        for name in sorted(scope.ended):
            self._write_string(name, "DEL")
        if change.after:
            rewritten = scope.made
            if scope.merges or scope.life_changes:
                rewritten = credential_pointers(change.after)
            for name in sorted(rewritten):
                self._write_string(name, "SET", change.after.id, *_until(scope.ends_ms))

    def _point_access(self, change: Change) -> None:
        after = change.after
        if after and len(change.before) == 1 and change.before[0].access == after.access:
            return
        new = access_pointer(after) if after else None
        for name in sorted({access_pointer(record) for record in change.before} - {new, None}, key=str):
            self._write_string(str(name), "DEL")
        if after and new:
            self._write_string(new, "SET", after.id, "PXAT", self._access_ends_ms(after))

    def _point_user(self, change: Change, scope: _Scope) -> None:
        """Change the entries of user pointers, each of which may lead to one record for each client."""
        after = change.after
        if after and not scope.life_changes and [_named(record) for record in change.before] == [_named(after)]:
            return
        old = {(user_entry(record), record.id) for record in change.before}
        new = {(user_entry(after), after.id)} if after else set()
        for name in sorted({entry[0] for entry, _ in old | new if entry}):
            entries = read_user_pointer(self._snapshot.string(name))
            entries = {client: known for client, known in entries.items() if not self._snapshot.was_absent(known)}
            for entry, record_id in old:
                if entry and entry[0] == name and entries.get(entry[1]) == record_id:
                    del entries[entry[1]]
            entries |= {entry[1]: record_id for entry, record_id in new if entry and entry[0] == name}
            if entries:
                # One record of several under this name may end; the pointer stays with the others.
                until = _until(scope.ends_ms if len(entries) == 1 else 0)
                self._write_string(name, "SET", write_user_pointer(entries), *until)
            else:
                self._write_string(name, "DEL")

    def _ends_ms(self, record: TokenRecord) -> int:
        """Return when a record ends by itself, ms by Redis's clock; 0 for never."""
        if not record.refreshable:
            return self._access_ends_ms(record)
        return self._now_ms + int(self._options.retention * 1000) if self._options.retention else 0

    def _access_ends_ms(self, record: TokenRecord) -> int:
        return record.access.ends_ms(self._now_ms) if record.access else self._now_ms + 1


class _Scope(NamedTuple):
    """What a change reaches beyond the record itself.

    Attributes:
        made: Names of credential pointers that it makes.
        ended: Names of credential pointers that it ends.
        ends_ms: When the record ends by itself, ms by Redis's clock; 0 for never.
        life_changes: Whether it ends at another time than before, also from some time to never.
        merges: Whether records are merged.
    """

    made: set[str]
    ended: set[str]
    ends_ms: int
    life_changes: bool
    merges: bool

    @classmethod
    def of(cls, change: Change, ends_ms_of: Callable[[TokenRecord], int]) -> _Scope:
        before, after = change.before, change.after
        ends_ms = ends_ms_of(after) if after else 0
        life_changes = ends_ms > 0 or any(ends_ms_of(record) > 0 for record in before)
        merges = len(before) > 1
        if after and len(before) == 1 and _credentials(before[0]) == _credentials(after):
            return cls(set(), set(), ends_ms, life_changes, merges)  # a refresh: there are no digests to compute
        old: set[str] = set().union(*(credential_pointers(record) for record in before))
        new = credential_pointers(after) if after else set()
        return cls(new - old, old - new, ends_ms, life_changes, merges)


def _credentials(record: TokenRecord) -> tuple[str | None, ...]:
    return record.refresh_token, record.grant_token, record.spares, record.meta


def _named(record: TokenRecord) -> tuple[str | None, ...]:
    return record.id, record.user_name, record.client_id


def _until(ends_ms: int) -> tuple[str | int, ...]:
    return ("PXAT", ends_ms) if ends_ms else ()
