"""What a change comes to, in terms that every store has: what is compared, and what is written. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from zoho_token_store.change import CLEARED, Change, access_pointer, credential_pointers, user_entry, user_tombstone
from zoho_token_store.keyspace import ALL, read_user_pointer, redirect, tombstone, write_user_pointer
from zoho_token_store.options import Options
from zoho_token_store.record import Access, TokenRecord
from zoho_token_store.snapshot import Snapshot

EVENTS_KEPT = 10_000
"""About how many events a namespace remembers."""


NOTHING_NEW = ("invalidated", "rejected")
"""Events that bring nothing to refresh with: they end no lease, and above all no cool-down."""


class EndLease(NamedTuple):
    """End a lease that this owner holds or that has run out, and wake who waits for it.

    Another's live lease stays, and starts counting its attempts anew.
    """

    name: str
    owner: str
    fence: int
    event: str


class StoreRecord(NamedTuple):
    """Make one state of a record into another.

    Attributes:
        before: None if there was none.
        after: See above; its access part is written apart.
        ends_ms: When it ends by itself, ms; 0 for never; None for as before.
    """

    before: TokenRecord | None
    after: TokenRecord
    ends_ms: int | None


class RewriteRecord(NamedTuple):
    """Write a record as it is written now, however it lies there."""

    record: TokenRecord


class StoreAccess(NamedTuple):
    """Store an access part until ``ends_ms``; None for its end."""

    record_id: str
    access: Access | None
    ends_ms: int


class DropRecord(NamedTuple):
    """Remove a record and its access part."""

    record_id: str


class Point(NamedTuple):
    """Set a pointer, or the redirect of a record that was merged.

    Attributes:
        name: Of the pointer or the tombstone.
        value: An id; the entries of a user name; ``merged <id>``.
        ends_ms: When it ends by itself, ms; 0 for never.
    """

    name: str
    value: str
    ends_ms: int


class Unpoint(NamedTuple):
    """Remove a pointer."""

    name: str


class Bury(NamedTuple):
    """Set a tombstone with a fence of the moment in which it is written.

    Attributes:
        name: Of the tombstone.
        least: Least fence.
        ttl_ms: How long it lasts.
    """

    name: str
    least: int
    ttl_ms: int


class Tell(NamedTuple):
    """Add an event: what happened to which record, by whom, and further pairs of text."""

    event: str
    record_id: str
    by: str
    more: tuple[str, ...] = ()


Write = EndLease | StoreRecord | RewriteRecord | StoreAccess | DropRecord | Point | Unpoint | Bury | Tell


class Commit(NamedTuple):
    """What is compared and, if nothing differs, written: all of it or nothing.

    Attributes:
        strings: Pointers and tombstones by name, "" for none.
        records: Revisions by id, "" for no record.
        writes: In their order.
    """

    strings: dict[str, str]
    records: dict[str, str]
    writes: tuple[Write, ...]

    def __repr__(self) -> str:
        return f"Commit(strings={self.strings!r}, records={self.records!r}, ...)"


class CommitBuilder:
    """Lowers changes to writes.

    Args:
        options: Lives of records and tombstones.
        snapshot: What the changes were planned from; it is read for user pointers, and all that was read is compared.
        now_ms: The store's time, ms.
    """

    def __init__(self, options: Options, snapshot: Snapshot, now_ms: int) -> None:
        self._options = options
        self._snapshot = snapshot
        self._now_ms = now_ms
        self._writes: list[Write] = []

    def build(self, changes: Iterable[Change]) -> Commit:
        """Return the commit of some changes; all are written, or none."""
        for change in changes:
            self._add(change)
        return self._commit()

    def begin_clearing(self) -> Commit:
        """Return the commit after which nothing comes back that was begun before it."""
        self._bury_all([ALL], least=0)
        return self._commit()

    def removal(self, record_id: str, revisions: dict[str, str]) -> Commit:
        """Return the commit that removes a record which cannot be read, if its revision is still the same.

        What leads to it is not known, and stays; under its id nothing comes back.
        """
        self._write(EndLease(record_id, "", 0, "deleted"))
        self._write(DropRecord(record_id))
        self._bury_all([record_id], least=0)
        self._tell("deleted", record_id)
        return self._commit()._replace(records=revisions)

    def rewrite(self, record: TokenRecord) -> Commit:
        """Return the commit that writes a record, and all that leads to it, as they are written now.

        Nothing of it changes, so it has no event, and what was planned from the record holds.
        """
        self._snapshot.record(record.id)
        self._write(RewriteRecord(record))
        if record.access:
            self._write(StoreAccess(record.id, record.access, record.access.ends_ms(self._now_ms)))
            self._write(Point(str(access_pointer(record)), record.id, self._access_ends_ms(record)))
        ends_ms = self._ends_ms(record)
        for name in sorted(credential_pointers(record)):
            self._write(Point(name, record.id, ends_ms))
        entry = user_entry(record)
        if entry:
            known = {entry[1]: record.id} | read_user_pointer(self._snapshot.string(entry[0]))
            self._write(Point(entry[0], write_user_pointer(known), ends_ms if len(known) == 1 else 0))
        return self._commit()

    def _commit(self) -> Commit:
        """Return what is to be written, with the comparison of all that was read."""
        return Commit(*self._snapshot.reads(), tuple(self._writes))

    def _write(self, write: Write) -> None:
        self._writes.append(write)

    def _add(self, change: Change) -> None:
        after = change.after
        scope = _Scope.of(change, self._ends_ms)
        self._end_leases(change, scope)
        for record in change.before:
            if after is None or record.id != after.id:
                self._write(DropRecord(record.id))
        if after is None:
            self._bury(change, scope)
        else:
            self._store(change, after, scope)
        self._point(change, scope)
        self._point_access(change)
        self._point_user(change, scope)
        # Ids stand in every event, and a secret in none.
        if after is None:
            first, *others = (record.id for record in change.before)
            self._tell(change.event, first, *(("others", " ".join(others)) if others else ()))
            return
        entry = user_entry(after)
        named = entry is not None and entry not in map(user_entry, change.before)
        self._tell(change.event, after.id, *(("names", "changed") if named else ()))
        for record in change.before:
            if record.id != after.id:
                self._tell("merged", record.id, "into", after.id)

    def _tell(self, event: str, record_id: str, *more: str) -> None:
        self._write(Tell(event, record_id, self._options.author(), more))

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
            self._write(EndLease(name, owner, fence, change.event))

    def _store(self, change: Change, after: TokenRecord, scope: _Scope) -> None:
        before = next((record for record in change.before if record.id == after.id), None)
        # A new record is told its life too: an earlier one under this id may have ended by itself.
        told = scope.life_changes or before is None
        self._write(StoreRecord(before, after, scope.ends_ms if told else None))
        if after.access is None:
            self._write(StoreAccess(after.id, None, 0))
        elif before is None or before.stale or after.access != before.access:
            self._write(StoreAccess(after.id, after.access, after.access.ends_ms(self._now_ms)))
        if scope.life_changes or scope.merges or change.event == "restored":
            for record_id in after.bookkeeping().absorbed:
                self._write(Point(tombstone(record_id), redirect(after.id), scope.ends_ms))

    def _bury(self, change: Change, scope: _Scope) -> None:
        """Leave tombstones under the ids and under every credential of what is deleted.

        Where all is deleted one tombstone stands for all of them, but for those that are asked for without a save: an
        id, and a grant code, which is spent.
        """
        if change.event == CLEARED:
            names = {name for name in scope.ended if name.startswith("grant:")}
        else:
            names = scope.ended | {user_tombstone(entry) for entry in map(user_entry, change.before) if entry}
        names |= {record_id for record in change.before for record_id in (record.id, *record.bookkeeping().absorbed)}
        self._bury_all(names, least=max(int(record.fence) for record in change.before) + 1)

    def _bury_all(self, names: Iterable[str], least: int) -> None:
        for name in sorted(names):
            self._write(Bury(tombstone(name), least, int(self._options.tombstone_ttl * 1000)))

    def _point(self, change: Change, scope: _Scope) -> None:
        """Make the pointers of grant and refresh tokens lead to what is left."""
        for name in sorted(scope.ended):
            self._write(Unpoint(name))
        if change.after:
            rewritten = scope.made
            if scope.merges or scope.life_changes:
                rewritten = credential_pointers(change.after)
            for name in sorted(rewritten):
                self._write(Point(name, change.after.id, scope.ends_ms))

    def _point_access(self, change: Change) -> None:
        after = change.after
        if after and len(change.before) == 1 and change.before[0].access == after.access:
            return
        new = access_pointer(after) if after else None
        for name in sorted({access_pointer(record) for record in change.before} - {new, None}, key=str):
            self._write(Unpoint(str(name)))
        if after and new:
            self._write(Point(new, after.id, self._access_ends_ms(after)))

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
                ends_ms = scope.ends_ms if len(entries) == 1 else 0
                self._write(Point(name, write_user_pointer(entries), ends_ms))
            else:
                self._write(Unpoint(name))

    def _ends_ms(self, record: TokenRecord) -> int:
        """Return when a record ends by itself, ms by the store's clock; 0 for never."""
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
        ends_ms: When the record ends by itself, ms by the store's clock; 0 for never.
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
