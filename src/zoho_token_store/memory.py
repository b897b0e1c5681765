"""Tables in this process's memory: dictionaries under one lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from heapq import nsmallest
from typing import Generic, NamedTuple, TypeVar

from zoho_token_store.clock import SystemClock
from zoho_token_store.commit import DropRecord, Point, RewriteRecord, StoreAccess, StoreRecord, Tell, Unpoint, Write
from zoho_token_store.errors import StoreClosed
from zoho_token_store.record import TokenRecord
from zoho_token_store.tables import Tables
from zoho_token_store.tenure import NO_TENURE, Tenure
from zoho_token_store.verdict import Head

SWEEP_EVERY_MS = 60_000
"""How often what has ended by itself is thrown away; until then nobody sees it."""

V = TypeVar("V")


class _Ending(dict[str, tuple[V, int]], Generic[V]):
    """Values by name, each with the time of its end, ms; 0 for never."""

    def alive(self, name: str, now_ms: int) -> V | None:
        value, ends_ms = self.get(name, (None, 0))
        return None if 0 < ends_ms <= now_ms else value

    def sweep(self, now_ms: int) -> None:
        for name in [name for name, (_, ends_ms) in self.items() if 0 < ends_ms <= now_ms]:
            del self[name]


class _Space:
    """One namespace."""

    def __init__(self) -> None:
        self.records: _Ending[TokenRecord] = _Ending()
        self.access_ends: dict[str, int] = {}
        self.strings: _Ending[str] = _Ending()
        self.tenures: _Ending[Tenure] = _Ending()
        self.calls: _Ending[list[int]] = _Ending()
        self.swept_ms = 0

    def sweep(self, now_ms: int) -> None:
        if 0 <= now_ms - self.swept_ms < SWEEP_EVERY_MS:
            return
        for each in (self.records, self.strings, self.tenures, self.calls):
            each.sweep(now_ms)
        self.access_ends = {name: ends_ms for name, ends_ms in self.access_ends.items() if name in self.records}
        self.swept_ms = now_ms


class Memory:
    """Tokens of one process. Stores that are given the same one share them, namespace by namespace.

    A forked child goes on with a copy.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._spaces: dict[str, _Space] = {}

    def space(self, namespace: str) -> _Space:
        """Return what a namespace holds; to be called under ``changed``."""
        return self._spaces.setdefault(namespace, _Space())

    def reset_after_fork(self) -> None:
        """Go on with a copy: whoever holds a lease is in the parent."""
        self.changed = threading.Condition()
        for space in self._spaces.values():
            space.tenures.clear()


class MemoryRow(NamedTuple):
    """See :class:`~zoho_token_store.tables.Row`."""

    record: TokenRecord

    @property
    def rev(self) -> str:
        """See :class:`Row`."""
        return self.record.rev

    def head(self, client_id: str) -> Head:
        """See :class:`Row`."""
        record, access = self.record, self.record.access
        return Head(
            int(record.schema),
            int(record.fence),
            record.refreshable,
            record.rejected,
            bool(client_id) and record.client_id not in (None, client_id),
            access and (access.expires_ms, access.life_ms),
        )

    def open(self) -> TokenRecord:
        """See :class:`Row`."""
        return self.record


class MemoryTables:
    """See :class:`~zoho_token_store.tables.Tables`."""

    def __init__(self, space: _Space, now_us: int) -> None:
        self._space = space
        self.now_us = now_us
        self._now_ms = now_us // 1000

    def row(self, record_id: str) -> MemoryRow | None:
        """See :class:`Tables`."""
        record = self._space.records.alive(record_id, self._now_ms)
        if record is None:
            return None
        if record.access and self._space.access_ends[record_id] <= self._now_ms:
            record = record._replace(access=None)
        return MemoryRow(record)

    def string(self, name: str) -> str:
        """See :class:`Tables`."""
        return self._space.strings.alive(name, self._now_ms) or ""

    def tenure(self, name: str) -> Tenure:
        """See :class:`Tables`."""
        return self._space.tenures.alive(name, self._now_ms) or NO_TENURE

    def put_tenure(self, name: str, tenure: Tenure | None) -> None:
        """See :class:`Tables`."""
        if tenure is None:
            self._space.tenures.pop(name, None)
        else:
            self._space.tenures[name] = tenure, tenure.ends_ms

    def calls(self, credential: str) -> list[int]:
        """See :class:`Tables`."""
        return self._space.calls.alive(credential, self._now_ms) or []

    def put_calls(self, credential: str, calls: Sequence[int], ends_ms: int) -> None:
        """See :class:`Tables`."""
        self._space.calls[credential] = list(calls), ends_ms

    def ids(self, after: str, most: int) -> list[str]:
        """See :class:`Tables`."""
        return nsmallest(most, (record_id for record_id in self._space.records if record_id > after))

    def count(self) -> int:
        """See :class:`Tables`."""
        return len(self._space.records)

    def leads(self, name: str, record_id: str) -> bool:
        """See :class:`Tables`: there are no pointer keys."""
        return True

    def write(self, write: Write) -> None:
        """See :class:`Tables`."""
        space = self._space
        match write:
            case StoreRecord(before, after, ends_ms):
                _, ended_ms = space.records.get(after.id, (None, 0))
                access = before.access if before else None
                record = after._replace(access=access, stale=False)
                space.records[after.id] = record, ended_ms if ends_ms is None else ends_ms
            case StoreAccess(record_id, access, ends_ms):
                record, lives = space.records[record_id]
                space.records[record_id] = record._replace(access=access), lives
                space.access_ends[record_id] = ends_ms
            case DropRecord(record_id):
                space.records.pop(record_id, None)
                space.access_ends.pop(record_id, None)
            case Point(name, value, ends_ms):
                space.strings[name] = value, ends_ms
            case Unpoint(name):
                space.strings.pop(name, None)
            case RewriteRecord() | Tell():
                pass  # there is one way in which records lie here, and nobody who reads events
            case _:
                raise AssertionError(write)


class MemoryDatabase:
    """See :class:`~zoho_token_store.tables.Database`.

    Args:
        memory: Where.
        namespace: Whose.
        clock: This machine's clocks.
    """

    def __init__(self, memory: Memory, namespace: str, clock: SystemClock) -> None:
        self._memory = memory
        self._namespace = namespace
        self._clock = clock
        self._closed = False

    @contextmanager
    def reading(self) -> Iterator[Tables]:
        """See :class:`Database`."""
        with self._memory.changed:
            yield self._tables()

    @contextmanager
    def writing(self) -> Iterator[Tables]:
        """See :class:`Database`."""
        with self._memory.changed:
            tables = self._tables()
            self._memory.space(self._namespace).sweep(tables.now_us // 1000)
            yield tables
            self._memory.changed.notify_all()

    def wait(self, changed: Callable[[Tables], bool], at_most: float) -> None:
        """See :class:`Database`."""
        with self._memory.changed:
            self._memory.changed.wait_for(lambda: changed(self._tables()), at_most)

    def close(self) -> None:
        """See :class:`Database`; what is stored stays for the other stores of this memory."""
        self._closed = True
        with self._memory.changed:
            self._memory.changed.notify_all()

    def reset_after_fork(self) -> None:
        """See :class:`Database`."""
        self._memory.reset_after_fork()

    def _tables(self) -> MemoryTables:
        if self._closed:
            raise StoreClosed
        return MemoryTables(self._memory.space(self._namespace), int(self._clock.wall() * 1_000_000))
