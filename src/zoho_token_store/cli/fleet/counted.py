"""What all processes of a fleet together have counted, as they have told Redis."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from zoho_token_store.record import is_number
from zoho_token_store.stats import NAMES

SUMS = ("since_ms", *NAMES)
"""Fields of the hash."""

SPAN_MS = 60_000
"""How far readings go back that a pace is taken from, ms."""
LEAST_MS = 20_000
"""Readings that are less apart say little, ms: a process tells what it has counted every ten seconds."""


class Counted(NamedTuple):
    """The sums.

    Attributes:
        since_ms: When the first of them was told, ms by Redis's clock; None if none was.
        counts: By the name of the counter (:data:`zoho_token_store.stats.NAMES`).
    """

    since_ms: int | None
    counts: Counter[str]

    @property
    def look_ups(self) -> int:
        """How many there were, by near caches and by asking Redis."""
        return self.counts["finds"] + self.counts["near_hits"]

    @property
    def hit_rate(self) -> float | None:
        """Which part of them near caches have answered; None if there were none."""
        return self.counts["near_hits"] / self.look_ups if self.look_ups else None


def read_counted(stored: Sequence[Any]) -> Counted:
    """Return the sums in what Redis has; what is no number is none of ours.

    Args:
        stored: The values of ``SUMS``.
    """
    since_ms, *sums = (int(text) if is_number(text) else None for text in stored)
    return Counted(since_ms, Counter({name: number or 0 for name, number in zip(NAMES, sums, strict=True)}))


class Pace(NamedTuple):
    """What was counted in some time.

    Attributes:
        seconds: How long that was, seconds.
        of: What was counted.
    """

    seconds: float
    of: Counted


class Readings:
    """The sums as they were read in the last minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, Counted]] = deque()

    def add(self, now_ms: int, counted: Counted) -> Pace | None:
        """Take one more reading.

        Args:
            now_ms: Redis's time, ms.
            counted: What was read.

        Returns:
            The pace of the last minute; as long as that is not known, that of the whole time. None if nothing was ever
            told.
        """
        if self._seen and not _goes_on(self._seen[-1], now_ms, counted):
            self._seen.clear()
        self._seen.append((now_ms, counted))
        while self._seen[0][0] < now_ms - SPAN_MS:
            self._seen.popleft()
        if counted.since_ms is None:
            return None
        began_ms, before = self._seen[0]
        if now_ms - began_ms < LEAST_MS:
            began_ms, before = counted.since_ms, Counted(None, Counter())
        return Pace(max(now_ms - began_ms, 1) / 1000, Counted(began_ms, counted.counts - before.counts))


def _goes_on(last: tuple[int, Counted], now_ms: int, counted: Counted) -> bool:
    """Return whether sums are later ones of the same; not if they were deleted meanwhile, or Redis's clock was set."""
    then_ms, before = last
    grown = all(counted.counts[name] >= number for name, number in before.counts.items())
    return then_ms <= now_ms and grown and before.since_ms in (None, counted.since_ms)
