"""What a process has counted, told to Redis now and then, so that the whole fleet's sums can be read there.

It rides along with what Redis is asked anyway, and may get lost: the sums say how a fleet fares, and nothing rests on
them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from math import inf

from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import StoreUnavailable
from zoho_token_store.stats import Stats

log = logging.getLogger("zoho_token_store")

EVERY = 10.0
"""Shortest time from one telling to the next, seconds; and from the first answer of Redis to the first telling."""

PATIENCE = 0.5
"""Longest time that the end of a store waits for a thread that is telling, seconds."""

Send = Callable[[Sequence["str | int"]], bool]
"""Called with names of counters, each followed by what was added to it. False: nothing was sent; never tried again."""


class Tally:
    """Tells what was counted since it told last.

    That counts as told before it is sent: a request that is lost loses it, and none is ever added twice.

    Args:
        stats: What is counted.
        send: See :data:`Send`.
        clock: This machine's clocks.
    """

    def __init__(self, stats: Stats, send: Send, clock: SystemClock) -> None:
        self._stats = stats
        self._send = send
        self._now = clock.monotonic
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Begin anew: what the parent has counted the parent tells."""
        self._telling = threading.Lock()
        self._told: dict[str, int] = {}
        self._due = -inf  # nothing of this store's was answered yet
        self._was_refused = False

    def answered(self) -> None:
        """Redis has just answered: tell, if it is time to. Never raises, and waits for no other thread."""
        now = self._now()
        if now < self._due or not self._telling.acquire(blocking=False):
            return
        try:
            if now < self._due:  # another thread has told meanwhile
                return
            is_first, self._due = self._due == -inf, now + EVERY
            if not is_first:
                self._tell()
        finally:
            self._telling.release()

    def close(self) -> None:
        """Tell a last time; not if Redis has answered no look-up or save: who only looks on writes nothing."""
        if self._due == -inf or not self._telling.acquire(timeout=PATIENCE):
            return
        try:
            self._tell()
        finally:
            self._telling.release()

    def _tell(self) -> None:
        counts, before = self._stats.read(), self._told
        news: list[str | int] = []
        for name, count in counts.items():
            if more := count - before.get(name, 0):
                news += (name, more)
        if not news:
            return
        self._told = counts
        try:
            if not self._send(news):
                self._told = before
        except StoreUnavailable as error:
            level = logging.DEBUG if error.passing or self._was_refused else logging.WARNING
            self._was_refused = self._was_refused or not error.passing
            log.log(level, "what this process counts is missing in the fleet's sums: %s", error)
        except Exception:
            log.exception("what this process counts could not be told")
