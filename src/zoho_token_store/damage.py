"""What is wrong with a namespace, and what would put it right: rules without I/O.

What was seen was read in several steps, while workers went on. So each verdict names all that it rests on, and holds
only if that is still so when it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from zoho_token_store.change import Change, pointer_names, user_entry
from zoho_token_store.keyspace import Keyspace, client_digest, read_user_pointer, tombstone, write_user_pointer
from zoho_token_store.merge import compatible, fold
from zoho_token_store.options import USABLE
from zoho_token_store.record import TokenRecord
from zoho_token_store.redis_repository import Seen
from zoho_token_store.snapshot import Snapshot

Kind = Literal[
    "contradicted", "dangling", "endless", "mismatched", "missing", "orphaned", "redirect", "stale", "unclaimed",
    "unknown", "unlisted", "unreadable",
]  # fmt: skip

POINTERS = ("user", "refresh", "grant", "access-token")
"""Kinds of keys that lead to a record."""

TYPES = {"lease": "hash", "wake": "stream", "calls": "string", "gone": "string", "access": "string", "token": "hash"}
"""Kinds of keys that belong to something else, and what Redis says that they are."""

FIXED = {
    "ids": "zset", "expiring": "zset", "events": "stream", "counted": "hash", "mark": "string", "partition": "string",
}  # fmt: skip
"""Keys of which there is one, and what Redis says that they are."""

SLACK_MS = 1000
"""By how much the end of a record may differ from the one that is listed; one of them was computed here."""

LAST_MS = int(USABLE * 1000)
"""Who refreshes a token in its last moments does not get it, and leaves its pointer: that ends by itself."""

Write = tuple[str, ...]
"""A key, a command, and what follows in it."""


class Sight:
    """All that was seen.

    Attributes:
        now_ms: When, by Redis's clock.
        keys: Keys.
        listed: For ids, the score in the list of all, and when the record ends, "" for neither.
        records: Records that can be read.
        unreadable: Ids of those that are there and cannot.
        absorbed: For each record the ids of those that it has taken in.
        wanted: For each record the keys that should lead to it, with the pointers' names.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self.keys: dict[str, Seen] = {}
        self.listed: dict[str, tuple[str, str]] = {}
        self.records: dict[str, TokenRecord] = {}
        self.unreadable: set[str] = set()
        self.absorbed: dict[str, tuple[str, ...]] = {}
        self.wanted: dict[str, dict[str, str]] = {}

    def rev(self, record_id: str) -> str:
        """Return a record's revision, "" for none."""
        record = self.records.get(record_id)
        return record.rev if record else ""


class Fault(NamedTuple):
    """One thing that is wrong.

    Attributes:
        kind: What.
        record_id: Which record it is about; "" if that is not known.
        writes: What puts it right, in one step with the comparison of what the verdict rests on.
        lives: Keys to which an end is given, and how long they shall live, ms.
        reunion: The record that should have taken this one in; the two are merged.
        buried: Whether the record is deleted, since its tombstone is the later word.
    """

    kind: Kind
    record_id: str
    writes: tuple[Write, ...] = ()
    lives: tuple[tuple[str, int], ...] = ()
    reunion: str = ""
    buried: bool = False

    @property
    def can_be_repaired(self) -> bool:
        """Whether anything is known that puts it right."""
        return bool(self.writes or self.lives or self.reunion or self.buried)


@dataclass
class Verdict:
    """What was found of one record or key.

    Attributes:
        subject: A record id, or a key.
        values: Keys of strings that this rests on, with what they held.
        revisions: Ids of records that it rests on, with their revisions, "" for none.
        faults: What is wrong.
    """

    subject: str
    values: dict[str, str] = field(default_factory=dict, repr=False)
    revisions: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        self.faults.append(fault)


@dataclass(frozen=True)
class Lives:
    """How long what has no end, and should have one, is left, ms."""

    lease: int
    wake: int
    calls: int
    access: int
    gone: int


class Judge:
    """Tells what is wrong with what was seen.

    Args:
        keys: The key names.
        lives: See there.
        unclaimed: Whether pointers to live records are removed that no key of this store makes.
    """

    def __init__(self, keys: Keyspace, lives: Lives, unclaimed: bool) -> None:
        self._keys = keys
        self._lives = lives
        self._unclaimed = unclaimed

    def wanted(self, record: TokenRecord) -> dict[str, str]:
        """Return the keys that should lead to a record, with the pointers' names."""
        return {key: name for name in pointer_names(record) for key in self._keys.every(name)}

    def leads_to(self, key: str, value: str) -> list[str]:
        """Return the ids to which a pointer or a redirect leads."""
        kind = self._keys.kind(key)
        if kind == "user":
            return list(read_user_pointer(value).values())
        if kind == "gone":
            return [value.removeprefix("merged ")] if value.startswith("merged ") else []
        return [value] if kind in POINTERS and value else []

    def of_record(self, record_id: str, sight: Sight) -> Verdict:
        """Return what is wrong with a record, its entries in lists, and what leads to it."""
        verdict = Verdict(record_id, revisions={record_id: sight.rev(record_id)})
        if sight.keys[self._keys.token(record_id)].type == "none":
            self._absent(record_id, sight, verdict)
        elif record_id in sight.unreadable:
            verdict = Verdict(record_id, faults=[Fault("unreadable", record_id)])
        else:
            record = sight.records[record_id]
            self._entries(record, sight, verdict)
            self._life(record, sight, verdict)
            self._pointers(record, sight, verdict)
            self._absorbed(record, sight, verdict)
            self._tombstone(record, sight, verdict)
        return verdict

    def sound(self, record_id: str, sight: Sight) -> Iterator[str]:
        """Yield the keys of a record with which nothing is wrong that need not be looked at by themselves any more."""
        yield self._keys.token(record_id)
        yield self._keys.access(record_id)
        for key, name in sight.wanted[record_id].items():
            seen = sight.keys[key]
            endless = seen.left_ms == -1 and name.startswith("access-token:")
            if not endless and (seen.value == record_id or self.leads_to(key, seen.value) == [record_id]):
                yield key

    def _absent(self, record_id: str, sight: Sight, verdict: Verdict) -> None:
        listed, ends = sight.listed[record_id]
        ended = ends and float(ends) <= sight.now_ms  # by itself: whoever lists the records forgets it
        if (listed or ends) and not ended:
            keys = (self._keys.ids, self._keys.expiring)
            verdict.add(Fault("stale", record_id, tuple((key, "ZREM", record_id) for key in keys)))

    def _entries(self, record: TokenRecord, sight: Sight, verdict: Verdict) -> None:
        listed, ends = sight.listed[record.id]
        left_ms = sight.keys[self._keys.token(record.id)].left_ms
        if not listed:
            verdict.add(Fault("unlisted", record.id, ((self._keys.ids, "ZADD", "0", record.id),)))
        if left_ms == -1:
            if ends and record.refreshable:
                verdict.add(Fault("stale", record.id, ((self._keys.expiring, "ZREM", record.id),)))
            return
        ends_ms = sight.now_ms + left_ms
        if not ends or abs(float(ends) - ends_ms) > SLACK_MS:
            verdict.add(Fault("unlisted", record.id, ((self._keys.expiring, "ZADD", str(ends_ms), record.id),)))

    def _life(self, record: TokenRecord, sight: Sight, verdict: Verdict) -> None:
        token, access = self._keys.token(record.id), self._keys.access(record.id)
        if sight.keys[access].left_ms == -1:
            verdict.add(Fault("endless", record.id, lives=((access, self._access_left(record, sight)),)))
        if sight.keys[token].left_ms == -1 and not record.refreshable:
            ends = str(sight.now_ms + (self._access_left(record, sight) if record.access else 1))
            writes: tuple[Write, ...] = ((self._keys.expiring, "ZADD", ends, record.id), (token, "PEXPIREAT", ends))
            verdict.add(Fault("endless", record.id, writes))

    def _access_left(self, record: TokenRecord, sight: Sight) -> int:
        """Return how long a record's access part has to live, ms."""
        left_ms = sight.keys[self._keys.access(record.id)].left_ms
        if left_ms >= 0:
            return max(left_ms, 1)
        expires_ms = record.access.expires_ms if record.access else 0
        return max(expires_ms - sight.now_ms, 1) if expires_ms else self._lives.access

    def _pointers(self, record: TokenRecord, sight: Sight, verdict: Verdict) -> None:
        access, client = self._keys.access(record.id), client_digest(record.client_id)
        for key, name in sight.wanted[record.id].items():
            seen = sight.keys[key]
            entries = read_user_pointer(seen.value) if name.startswith("user:") else None
            led = seen.value if entries is None else entries.get(client, "")
            if led == record.id or seen.type not in ("string", "none"):  # what is of a wrong type is an unknown key
                continue
            if led:
                if led in sight.unreadable or self._claims(sight.records.get(led), name, user_entry(record)):
                    continue
                verdict.revisions[led] = sight.rev(led)
            verdict.values[key] = seen.value
            left_ms = sight.keys[self._keys.token(record.id)].left_ms
            if name.startswith("access-token:"):
                # Both end in one millisecond: one that has just ended is not missing.
                verdict.values[access] = sight.keys[access].value
                left_ms = self._access_left(record, sight)
            value = record.id
            if entries is not None:
                entries[client] = record.id
                value = write_user_pointer(entries)
                left_ms = left_ms if len(entries) == 1 else -1
            until = ("PXAT", str(sight.now_ms + left_ms)) if left_ms >= 0 else ()
            verdict.add(Fault("mismatched" if led else "missing", record.id, ((key, "SET", value, *until),)))

    def _claims(self, record: TokenRecord | None, name: str, entry: tuple[str, str] | None) -> bool:
        """Return whether a record says itself that a pointer leads to it."""
        if record is None:
            return False
        return user_entry(record) == entry if entry and name == entry[0] else name in pointer_names(record)

    def _absorbed(self, record: TokenRecord, sight: Sight, verdict: Verdict) -> None:
        for absorbed in sight.absorbed[record.id]:
            key = self._keys.key(tombstone(absorbed))
            other, seen = sight.records.get(absorbed), sight.keys[key]
            if other is not None:
                # It was merged into this one, and has come back from an older state.
                verdict.revisions[absorbed] = other.rev
                verdict.add(Fault("contradicted", absorbed, reunion=record.id if compatible(record, other) else ""))
            elif absorbed not in sight.unreadable and seen.type == "none":
                verdict.revisions[absorbed] = ""
                verdict.values[key] = ""
                left_ms = sight.keys[self._keys.token(record.id)].left_ms
                until = ("PXAT", str(sight.now_ms + left_ms)) if left_ms >= 0 else ()
                verdict.add(Fault("redirect", absorbed, ((key, "SET", f"merged {record.id}", *until),)))

    def _tombstone(self, record: TokenRecord, sight: Sight, verdict: Verdict) -> None:
        key = self._keys.key(tombstone(record.id))
        seen = sight.keys[key]
        if seen.type != "string":
            return
        for led in self.leads_to(key, seen.value):
            if led in sight.unreadable or record.id in sight.absorbed.get(led, ()):
                return  # that is found with the other
            verdict.revisions[led] = sight.rev(led)
        verdict.values[key] = seen.value
        if is_later(seen.value, record):
            verdict.add(Fault("contradicted", record.id, buried=True))
        else:
            verdict.add(Fault("contradicted", record.id, ((key, "DEL"),)))

    def of_key(self, key: str, sight: Sight) -> Verdict:
        """Return what is wrong with a key that is no record."""
        kind, seen, verdict = self._keys.kind(key), sight.keys[key], Verdict(key)
        if seen.type == "none":  # it has gone since it was listed
            return verdict
        if kind in POINTERS and seen.type == "string":
            self._pointer(key, seen, sight, verdict)
        elif kind in TYPES and seen.type == TYPES[kind]:
            verdict.faults += self._other(key, kind, seen, sight, verdict)
        elif FIXED.get(kind) != seen.type or self._keys.name(key):
            verdict.add(Fault("unknown", ""))
        return verdict

    def _pointer(self, key: str, seen: Seen, sight: Sight, verdict: Verdict) -> None:
        entries = read_user_pointer(seen.value) if self._keys.kind(key) == "user" else {"": seen.value}
        kept = dict(entries)
        found = {
            client: kind for client in entries if (kind := self._misled(key, client, entries[client], seen, sight))
        }
        for client, kind in found.items():
            verdict.revisions[entries[client]] = sight.rev(entries[client])
            if kind == "dangling" or self._unclaimed:
                del kept[client]
        if kept == entries and entries:
            changes: tuple[Write, ...] = ()
        else:
            changes = ((key, "SET", write_user_pointer(kept), "KEEPTTL") if kept else (key, "DEL"),)
        if found or not entries:
            verdict.values[key] = seen.value
        for client, kind in found.items():
            verdict.add(Fault(kind, entries[client], changes if client not in kept else ()))
        if not entries:
            verdict.add(Fault("dangling", "", changes))
        record = sight.records.get(seen.value)
        if record and not found and self._keys.kind(key) == "access-token" and seen.left_ms == -1:
            verdict.add(Fault("endless", record.id, lives=((key, self._access_left(record, sight)),)))

    def _misled(self, key: str, client: str, record_id: str, seen: Seen, sight: Sight) -> Kind | None:
        """Return what is wrong with where a pointer leads, for one client if it is a user name's."""
        record = sight.records.get(record_id)
        if record_id in sight.unreadable or (self._keys.kind(key) == "access-token" and 0 <= seen.left_ms <= LAST_MS):
            return None
        if record is None:
            return "dangling"
        entry = user_entry(record)
        if key in sight.wanted[record_id] and (not client or (entry is not None and entry[1] == client)):
            return None
        # An access token's may outlive it a little, if its end was not known.
        return None if self._keys.kind(key) == "access-token" and seen.left_ms >= 0 else "unclaimed"

    def _other(self, key: str, kind: str, seen: Seen, sight: Sight, verdict: Verdict) -> Iterator[Fault]:
        name = self._keys.name(key)
        if kind == "access":
            if sight.keys[self._keys.token(name)].type == "none":
                verdict.values[key], verdict.revisions[name] = seen.value, ""
                yield Fault("orphaned", name, ((key, "DEL"),))
        elif kind == "gone" and seen.value.startswith("merged "):
            yield from self._redirect(key, name, seen, sight, verdict)
        elif kind == "gone" and not seen.value.startswith("deleted "):
            yield Fault("unknown", "")
        elif kind != "token" and seen.left_ms == -1:
            yield Fault("endless", "" if ":" in name else name, lives=((key, getattr(self._lives, kind)),))

    def _redirect(self, key: str, name: str, seen: Seen, sight: Sight, verdict: Verdict) -> Iterator[Fault]:
        (heir_id,) = self.leads_to(key, seen.value)
        if heir_id in sight.unreadable or name in sight.absorbed.get(heir_id, ()):
            return
        verdict.values[key], verdict.revisions[heir_id] = seen.value, sight.rev(heir_id)
        yield Fault("redirect", name, ((key, "DEL"),))


def is_later(buried: str, record: TokenRecord) -> bool:
    """Return whether a tombstone says that a record was deleted after it was last saved."""
    kind, _, fence = buried.partition(" ")
    return kind == "deleted" and fence.isdigit() and int(fence) >= int(record.fence)


def plan_burial(record_id: str, snapshot: Snapshot) -> Change | None:
    """Plan to delete a record that has come back after its deletion; None if it has not."""
    record, buried = snapshot.record(record_id), snapshot.string(tombstone(record_id))
    return Change("deleted", (record,), None) if record and is_later(buried, record) else None


def plan_reunion(stays_id: str, goes_id: str, snapshot: Snapshot, now_ms: int) -> Change | None:
    """Plan to merge a record once more that has come back after it was merged; None if that is not so.

    Args:
        stays_id: The one that has taken the other in.
        goes_id: The other.
        snapshot: What is stored.
        now_ms: Redis's time, ms.
    """
    stays, goes = snapshot.record(stays_id), snapshot.record(goes_id)
    if stays is None or goes is None or goes_id not in stays.bookkeeping().absorbed or not compatible(stays, goes):
        return None
    after = fold(stays, goes)
    book = after.bookkeeping()
    book = replace(book, absorbed=tuple(dict.fromkeys(book.absorbed)))
    rev, ops = stays.next_rev(), after.next_ops(now_ms)
    return Change("saved", (stays, goes), after._replace(rev=rev, ops=ops, meta=book.pack()))
