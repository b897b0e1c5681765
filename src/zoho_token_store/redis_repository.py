"""Records in Redis: the only caller of the scripts that read and write them, and the place where replies get types."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from zoho_token_store.change import Change, pointer_names
from zoho_token_store.clock import ServerClock, SystemClock
from zoho_token_store.codec import STORED, Codec
from zoho_token_store.commands import CommandBuilder, Commands
from zoho_token_store.commit import EVENTS_KEPT, Commit
from zoho_token_store.errors import CorruptRecord, DecryptionFailed, StoreUnavailable, TokenStoreError
from zoho_token_store.keyspace import Keyspace, is_id, pointer, read_user_pointer
from zoho_token_store.lease import Lease
from zoho_token_store.link import RedisLink
from zoho_token_store.options import USABLE, Options
from zoho_token_store.question import Answer, Fresh, Leased, Pause, Question, Wait, read_answer
from zoho_token_store.recent import Recent
from zoho_token_store.record import SCHEMA, TokenRecord
from zoho_token_store.script import BOUND, COMMIT, FIND, LOOK, PAGE, READ, REFRESH, RELEASE, RENEW, Script, understood
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.storage import LeaseLost, Repository, read_page
from zoho_token_store.tally import Tally
from zoho_token_store.terms import REMEMBERED_MS, terms_of
from zoho_token_store.walk import walk_keys, walk_members


class Seen(NamedTuple):
    """A key as it was seen.

    Attributes:
        type: What Redis says that it is.
        left_ms: How long it has to live, ms; -1 for ever.
        value: What a string holds.
    """

    type: str = "none"
    left_ms: int = -2
    value: str = ""

    def __repr__(self) -> str:
        return f"Seen(type={self.type!r}, left_ms={self.left_ms})"  # an access part holds a token


READ_AT_ONCE = 60
"""Most records that one script reads: a millisecond or so of the server's time."""

SEEN = 1024
"""How many records a process keeps to compare revisions by."""

_REV = STORED.index("rev")
_USABLE_MS = int(USABLE * 1000)


class RedisRepository(Repository):
    """The records of one namespace in Redis; see :class:`Repository`.

    Args:
        link: The way to Redis.
        keys: The key names.
        codec: How records lie in Redis.
        options: Margins and lives.
        clock: This machine's clocks.
        tally: Told when Redis has answered a look-up or a save.
    """

    def __init__(
        self, link: RedisLink, keys: Keyspace, codec: Codec, options: Options, clock: SystemClock, tally: Tally
    ) -> None:
        self._link = link
        self.keys = keys
        self._codec = codec
        self.options = options
        self.seals_on_sight = codec.seals_on_sight
        self._clock = clock
        self._tally = tally
        self.server_clock = ServerClock(clock)
        self._lease_ms = int(options.lease_ttl * 1000)
        self._budget = (options.refresh_budget, int(options.refresh_window * 1000))
        self._terms = terms_of(options).pack()
        self._author = options.author
        self._seen: Recent[str, tuple[TokenRecord, str]] = Recent(SEEN)

    def over(self, link: RedisLink) -> RedisRepository:
        """Return the same records over another link, by the same clock of Redis."""
        other = RedisRepository(link, self.keys, self._codec, self.options, self._clock, self._tally)
        other.server_clock = self.server_clock
        return other

    def find(self, question: Question) -> Answer:
        """Ask for a record by Redis's clock; at most one caller is given the lease. One round trip.

        Raises:
            StoreUnavailable: See :meth:`RedisLink.run`.
            CorruptRecord: What is stored was changed by something else.
            DecryptionFailed: The record cannot be opened.
        """
        record_id, lease, owner, nonce, margin, client_id, claims, pointers, values = question
        keys = self.keys.found_by(record_id, lease, question.tombstone)
        if pointers:
            keys += [self.keys.key(name) for name in pointers]
        seen = self._seen.get(record_id)
        rev = seen[0].rev if seen else ""
        limits = (margin.pack(), _USABLE_MS, SCHEMA)
        client = self._codec.client_terms(client_id)
        request = (*limits, rev, *client, owner, nonce, "lease" if claims else "", self._terms, *values)
        reply = self._link.run(FIND, keys, request)
        answer = understood(FIND, self._answer, question, seen, reply)
        self._tally.answered()
        return answer

    def _answer(self, question: Question, seen: tuple[TokenRecord, str] | None, reply: list[Any]) -> Answer:
        """Return the answer that a reply means, given the record and access part that were seen before."""
        self.server_clock.seen(reply[1])
        record_id = question.record_id
        if seen and reply[0] == "SAME":
            record, part = seen
            if reply[2] != part:  # a packed access part says all that there is, so it need not be read again
                record = self._codec.with_access(record, reply[2])
                self._seen.put(record_id, (record, reply[2]))
                self.seal_on_sight(record)
            return Fresh(record)
        try:
            answer = read_answer(record_id, reply, self._codec.read)
            if isinstance(answer, (Fresh, Leased)) and answer.record:
                self.seal_on_sight(answer.record)
        except TokenStoreError:
            if reply[0] == "LEASED":  # others may be able to read the record
                self.decline(Lease(question.lease, question.owner, int(reply[2])))
            raise
        if isinstance(answer, Fresh):
            self._seen.put(record_id, (answer.record, reply[2]))
        return answer

    def ping(self) -> None:
        """Have Redis answer once."""
        self._link.ask("PING")

    def close(self) -> None:
        """Tell what was counted, and close the connections."""
        self._tally.close()
        self._link.close()

    def reset_after_fork(self) -> None:
        """Forget what the parent has seen, and leave its connections to it."""
        self._link.reset_after_fork()
        self._tally.reset_after_fork()
        self._seen.reset_after_fork()

    def load(self, snapshot: Snapshot, strings: Sequence[str], ids: Sequence[str]) -> None:
        """Read strings and records into a snapshot. One round trip.

        Raises:
            CorruptRecord: A record was changed by something else.
            DecryptionFailed: A record cannot be opened.
        """
        values, records = self._read([self.keys.key(name) for name in strings], ids)
        found = {
            record_id: understood(READ, self._codec.read, record_id, *stored) for record_id, stored in records.items()
        }
        snapshot.load(dict(zip(strings, values, strict=True)), {record_id: found.get(record_id) for record_id in ids})

    def _read(self, strings: Sequence[str], ids: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """Return the values of strings, and the stored parts of those records that are there."""
        keys = [*strings]
        for record_id in ids:
            keys += (self.keys.token(record_id), self.keys.access(record_id))
        reply = self._link.run(READ, keys, (len(strings),))
        return understood(READ, self._parts, len(strings), ids, reply)

    def _parts(self, strings: int, ids: Sequence[str], reply: list[Any]) -> tuple[list[str], dict[str, Any]]:
        now_ms, values, records = reply
        self.server_clock.seen(now_ms)
        if len(values) != strings or not all(isinstance(value, str) for value in values):
            raise ValueError
        return values, {record_id: stored for record_id, stored in zip(ids, records, strict=True) if stored}

    def pages(
        self, size: int, on_unreadable: Callable[[TokenStoreError], None] | None = None
    ) -> Iterator[list[TokenRecord]]:
        """See :class:`Repository`. Ids whose record has ended by itself are forgotten."""
        for ids in self.ids(size):
            yield read_page(self._readers([each for each in ids if is_id(each)]), on_unreadable)

    def _readers(self, ids: Sequence[str]) -> Iterator[Callable[[], TokenRecord]]:
        for first in range(0, len(ids), READ_AT_ONCE):
            stored = self._read((), ids[first : first + READ_AT_ONCE])[1]
            for record_id, parts in stored.items():
                yield partial(understood, READ, self._codec.read, record_id, *parts)

    def ids(self, size: int) -> Iterator[list[str]]:
        """Yield the id of every record, in order, ``size`` at a time.

        Those that have ended by themselves are left out, and forgotten. What somebody else has put there may be no id.

        Raises:
            CorruptRecord: They are in no order.
        """
        after = ""
        while ids := self._ids(after, size):
            yield ids
            after = ids[-1]

    def _ids(self, after: str, size: int) -> list[str]:
        begin = f"({after}" if after else "-"
        ids: list[str] = self._link.run(PAGE, [self.keys.ids, self.keys.expiring], [begin, size])
        order = understood(PAGE, _in_bytes, [after] if after else [], ids)
        # In any other order, which scores would give it, a listing might never end.
        if order != sorted({*order}):
            raise CorruptRecord(None, "the list of records")
        return ids

    def readable(self, ids: Sequence[str]) -> tuple[dict[str, TokenRecord], set[str]]:
        """Return those of some records that can be read, and the ids of those that are there and cannot."""
        records, unreadable = {}, set()
        for record_id, stored in self._read((), ids)[1].items():
            try:
                record = self._codec.read(record_id, *stored)
                known = int(record.schema) <= SCHEMA and record.bookkeeping() is not None
                record.spare_tokens()
            except (CorruptRecord, DecryptionFailed):
                known = False
            if known:
                records[record_id] = record
            else:
                unreadable.add(record_id)
        return records, unreadable

    def look(self, keys: Sequence[str], ids: Sequence[str] = ()) -> tuple[int, dict[str, Seen], list[tuple[str, str]]]:
        """Return Redis's time in ms, what keys are, and for ids the scores of both lists. One round trip."""
        now_ms, looked, listed = self._link.run(LOOK, [self.keys.ids, self.keys.expiring, *keys], ids)
        self.server_clock.seen(now_ms)
        seen = map(Seen, looked[::3], looked[1::3], looked[2::3])
        return now_ms, dict(zip(keys, seen, strict=True)), list(zip(listed[::2], listed[1::2], strict=True))

    def bound(self, lives: Iterable[tuple[str, int]]) -> None:
        """Give keys that have no end one: each with how long it shall live from now, ms."""
        keys, left_ms = zip(*lives, strict=True)
        self._link.run(BOUND, keys, left_ms)

    def scan(self, size: int) -> Iterator[tuple[int, list[str]]]:
        """Yield all keys of the namespace, some of them twice, with how many keys of the database were passed by then.

        Args:
            size: About how many are passed in one step.
        """
        return walk_keys(self._link, self.keys.ids, self.keys.pattern, size)

    def ending(self, size: int) -> Iterator[list[str]]:
        """Yield the ids of all records that end by themselves, some of them twice, about ``size`` at a time."""
        return walk_members(self._link, self.keys.expiring, size)

    def size(self) -> int:
        """Return about how many keys the server has, in all its databases; 0 if it does not tell."""
        return sum(map(int, re.findall(r"^db\d+:keys=(\d+)", str(self._link.ask("INFO", "keyspace")), re.MULTILINE)))

    def count(self) -> int:
        """Return about how many records there are: those that have ended by themselves may be among them."""
        number = self._link.ask("ZCARD", self.keys.ids)
        if not isinstance(number, int):
            raise StoreUnavailable("Redis's reply to ZCARD makes no sense", passing=False)
        return number

    def unread(self, record_id: str) -> dict[str, str] | None:
        """See :class:`Repository`. Two round trips."""
        key = self.keys.token(record_id)
        kind = self.look([key])[1][key].type
        if kind != "hash":
            return None if kind == "none" else {}
        # Without its access part, which may be of another type.
        _, records = self._parts(0, [record_id], self._link.run(READ, [key, self.keys.nothing], (0,)))
        return {record_id: records[record_id][1][_REV] if records else ""}

    def in_place(self, records: Iterable[TokenRecord]) -> set[str]:
        """Return the ids of those records that lie as they are written now, their pointers too. One round trip."""
        groups = {
            record.id: [self.keys.every(name) for name in pointer_names(record)]
            for record in records
            if not record.stale
        }
        keys = list(chain.from_iterable(chain.from_iterable(groups.values())))
        held = dict(zip(keys, self._read(keys, ())[0], strict=True))

        def leads(group: Sequence[str], record_id: str) -> bool:
            value = held[group[0]]
            known = value == record_id or record_id in read_user_pointer(value).values()
            return known and all(held[key] == value for key in group)

        return {record_id for record_id, each in groups.items() if all(leads(group, record_id) for group in each)}

    def commit(self, commit: Commit) -> bool:
        """Write a plan if nothing that it was made from has changed. One round trip.

        Returns:
            Whether it was written.
        """
        written = self.run(CommandBuilder(self.keys, self._codec).build(commit))
        self._tally.answered()
        return written

    def run(self, commands: Commands) -> bool:
        """Run commands if all that they are compared with is still so. One round trip.

        Returns:
            Whether they were run.
        """
        return self._is_written(COMMIT, commands.keys, commands.args)

    def refresh(self, change: Change) -> bool:
        """Write the save of an ordinary refresh if the record is still the one that was handed out. One round trip.

        Returns:
            Whether it was written.
        """
        before, after, lease, keys = change.before[0], change.after, change.lease, self.keys
        if after is None or after.access is None:
            return False
        new = pointer("access-token", after.access.token)
        old = pointer("access-token", before.access.token) if before.access else new
        own = (keys.token(after.id), keys.access(after.id), keys.lease(after.id), keys.wake(after.id), keys.events)
        pointers = [key for pair in zip(keys.every(old), keys.every(new), strict=True) for key in pair]
        ends_ms = after.access.ends_ms(self.server_clock.now_ms())
        access = self._codec.access(after.id, after.access)
        record = (before.rev, after.rev, after.fence, after.ops or "", access, ends_ms, after.id)
        owner = (lease.owner, lease.fence) if lease else ("", 0)
        told = (change.event, EVENTS_KEPT, self._author())
        written = self._is_written(REFRESH, (*own, *pointers), (*record, *owner, *told))
        self._tally.answered()
        return written

    def release(self, leases: Iterable[Lease], pause: Pause | None = None) -> None:
        """Give leases back that have not led to a save.

        Args:
            leases: Which.
            pause: For how long nobody shall be given them; None leaves that to the number of leases in a row.
        """
        keys: list[str] = []
        args: list[str | int] = []
        for lease in leases:
            keys += (self.keys.lease(lease.name), self.keys.wake(lease.name))
            args += (lease.owner, lease.fence)
            seconds, reason = pause or (None, "")
            args += ("" if seconds is None else int(seconds * 1000), reason)
        if keys:
            self._link.run(RELEASE, keys, args)

    def renew(self, lease: Lease) -> bool:
        """Make a lease last its full time from now on; return whether it is still the caller's."""
        return bool(self._renew(lease, lease.name, 0)[0] != "LOST")

    def take_call(self, lease: Lease, credential: str) -> int | None:
        """Take a call to Zoho from the fleet's budget, under a lease, which is renewed.

        Args:
            lease: See above.
            credential: Name of the pointer of what will be offered: Zoho counts for each refresh token.

        Returns:
            None if the call may be made; else when the next one may be, ms by Redis's clock.

        Raises:
            LeaseLost: The lease has ended, or passed to another.
        """
        reply = self._renew(lease, credential, self._budget[0])
        if reply[0] == "LOST":
            raise LeaseLost
        return understood(RENEW, lambda: int(reply[2])) if reply[0] == "SPENT" else None

    def _renew(self, lease: Lease, credential: str, most_calls: int) -> list[Any]:
        keys = (self.keys.lease(lease.name), self.keys.calls(credential))
        terms = (self._lease_ms, REMEMBERED_MS, most_calls, self._budget[1])
        return self._run(RENEW, keys, (lease.owner, lease.fence, *terms))

    def _is_written(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> bool:
        return bool(self._run(script, keys, args)[0] == "OK")

    def _run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> list[Any]:
        """Run a script whose reply begins with a word and Redis's time, ms."""
        reply: list[Any] = self._link.run(script, keys, args)
        understood(script, lambda: self.server_clock.seen(reply[1]))
        return reply

    def wait(self, lease: str, answer: Wait, at_most: float) -> None:
        """Block until a lease ends, its time has passed or a while has."""
        self._link.wait(self.keys.wake(lease), answer.wake_id, min(answer.left_ms, int(at_most * 1000)))


def _in_bytes(known: list[str], ids: list[str]) -> list[bytes]:
    """Return ids as Redis orders them."""
    return [each.encode("utf-8", "surrogateescape") for each in known + ids]
