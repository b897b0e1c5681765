"""What this process was told lately, kept in memory; the event stream says what of it has become untrue.

The look-up comes before every CRM request and takes no lock: it reads a dictionary that only ever holds whole entries.
Everything else is rare, and locked.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from itertools import count
from math import inf
from typing import Generic, NamedTuple, TypeVar

from zoho_token_store.clock import SystemClock
from zoho_token_store.recent import Recent

V = TypeVar("V")

ENDED = 4096
"""How many deleted records a process remembers."""

SILENCE = 3.0
"""Longest time that this process may have heard nothing of Redis and still count as connected, seconds.

A reader that listens hears of Redis every second. One that was stopped for longer (a suspended process, a machine too
busy to run it) may have missed a deletion, and its look-ups ask Redis until it has caught up.
"""


class _Entry(NamedTuple):
    value: object
    fresh_until: float
    usable_until: float
    record_id: str


class Near(Generic[V]):
    """A bounded cache of values by record id and by selector; safe to share between threads, and without I/O.

    Args:
        entries: How many it holds; what was put in first goes first.
        max_age: Longest time that an entry is served without asking Redis again, seconds.
        outage_ttl: How long entries are served after Redis was last heard of, seconds.
        clock: This machine's clocks.

    Attributes:
        is_connected: Whether events arrive, so that what is held is known to be true.
    """

    def __init__(self, entries: int, max_age: float, outage_ttl: float, clock: SystemClock) -> None:
        self._most = entries
        self._max_age = max_age
        self._outage_ttl = outage_ttl
        self._now = clock.monotonic
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start empty and not connected; the lock may have been held at the fork."""
        self._lock = threading.RLock()  # a store that the garbage collector finds in the middle of this is closed here
        self._entries: dict[Hashable, _Entry] = {}
        self._keys: dict[str, set[Hashable]] = {}  # record id -> every key that leads to it
        self._ended: Recent[str, bool] = Recent(ENDED)
        self._sequence = 0
        self.is_connected = False
        self._heard = -inf
        self._served_until = -inf  # whatever the entries say; see _judge
        self._count_hit, self._count_outage_hit = count().__next__, count().__next__
        self._reads = 0

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: Hashable) -> V | None:
        """Return what is held under a key, if it may be served now.

        While events arrive that is a fresh entry, during an outage one that is still usable.

        Args:
            key: A record id, or a selector as a tuple.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, fresh_until, usable_until, _ = entry
        now = self._now()
        if now >= self._served_until:
            return None
        if self.is_connected:
            if now >= fresh_until:
                return None
            self._count_hit()
        elif now >= usable_until:
            return None
        else:
            self._count_outage_hit()
        return value  # type: ignore[return-value]

    def last_resort(self, key: Hashable) -> V | None:
        """Return what may be served of a key in an outage: for a caller whose own request Redis has not answered.

        From then on this is an outage for all, until the reader hears of Redis again.
        """
        self.lost()
        entry = self._entries.get(key)
        now = self._now()
        if entry is None or now >= min(entry.usable_until, self._heard + self._outage_ttl):
            return None
        self._count_outage_hit()
        return entry.value  # type: ignore[return-value]

    def ticket(self) -> int | None:
        """Return what :meth:`put` wants to see; taken before Redis is asked. None while events do not arrive."""
        return self._sequence if self.is_connected else None

    def put(
        self, key: Hashable, record_id: str, value: V, fresh_for: float, usable_for: float, ticket: int | None
    ) -> None:
        """Hold an answer of Redis, unless an event came in since it was asked: the answer may be older than that.

        Args:
            key: A record id, or a selector as a tuple.
            record_id: Of the record that it leads to; with this record's next event it goes.
            value: What to hold.
            fresh_for: How long it may be served while events arrive, seconds; ``max_age`` at the most.
            usable_for: How long it may be served during an outage, seconds.
            ticket: From before Redis was asked.
        """
        now = self._now()
        entry = _Entry(value, now + min(fresh_for, self._max_age), now + usable_for, record_id)
        with self._lock:
            if ticket is None or ticket != self._sequence or not self.is_connected:
                return
            self._remove(key)
            if len(self._entries) >= self._most:
                self._remove(next(iter(self._entries)))
            self._entries[key] = entry
            self._keys.setdefault(record_id, set()).add(key)

    def hold(self, record_id: str, value: V, usable_for: float) -> None:
        """Hold what Redis does not know yet, in place of all that is known of a record: for outages alone.

        Args:
            record_id: Of the record.
            value: What to hold.
            usable_for: How long it may be served during an outage, seconds.
        """
        if self._ended.get(record_id):
            return
        entry = _Entry(value, -inf, self._now() + usable_for, record_id)
        with self._lock:
            self._sequence += 1
            keys = {record_id, *self._keys.get(record_id, ())}
            for key in keys:
                self._remove(key)
            self._entries.update(dict.fromkeys(keys, entry))
            self._keys[record_id] = keys

    def drop(self, record_id: str) -> None:
        """Forget a record and every selector that leads to it."""
        with self._lock:
            self._sequence += 1
            for key in list(self._keys.get(record_id, ())):
                self._remove(key)

    def end(self, record_id: str) -> None:
        """Forget a record that was deleted; what this process may still bring of it is not held."""
        self._ended.put(record_id, True)
        self.drop(record_id)

    def drop_selectors(self) -> None:
        """Forget where selectors lead: a new record may change what a user name means."""
        with self._lock:
            self._sequence += 1
            for key in [key for key, entry in self._entries.items() if key != entry.record_id]:
                self._remove(key)

    def empty(self) -> None:
        """Forget everything."""
        with self._lock:
            self._sequence += 1
            self._entries.clear()
            self._keys.clear()

    def connected(self, asked: float) -> None:
        """Events arrive, and all that there were have been seen to; told after each answer that the reader gets.

        Args:
            asked: When Redis was asked for what it has answered last, by the monotonic clock.
        """
        with self._lock:
            self.is_connected = True
            self._heard = asked
            self._served_until = self._judge()

    def lost(self) -> None:
        """Redis is away, or nobody listens to it."""
        with self._lock:
            self._sequence += 1
            self.is_connected = False
            self._served_until = self._judge()

    def entries(self) -> list[V]:
        """Return what is held, one value for each record: the one that was put in last."""
        with self._lock:
            latest = {entry.record_id: entry.value for entry in self._entries.values()}
        return list(latest.values())  # type: ignore[arg-type]

    def hits(self) -> tuple[int, int]:
        """Return how many look-ups were served while connected, and how many during outages."""
        with self._lock:
            seen = self._count_hit() - self._reads, self._count_outage_hit() - self._reads  # reading counts, too
            self._reads += 1
        return seen

    def _judge(self) -> float:
        """Return until when anything at all is served."""
        return self._heard + (SILENCE if self.is_connected else self._outage_ttl)

    def _remove(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        keys = self._keys[entry.record_id]
        keys.discard(key)
        if not keys:
            del self._keys[entry.record_id]
