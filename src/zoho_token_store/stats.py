"""Counters of what a store has done in this process."""

from __future__ import annotations

import threading
from collections import Counter

NAMES = (
    "finds",  # look-ups that asked Redis
    "leases",  # look-ups that were given the lease to refresh
    "takeovers",  # leases taken after an earlier one ended without a save
    "waits",  # look-ups that waited for another worker
    "wait_timeouts",  # waits that ended without a token
    "failing",  # look-ups refused because the fleet cools down
    "saves",  # saves that were stored
    "late_saves",  # saves whose lease had passed to another, merged
    "name_conflicts",  # saves stored without their user name, which another record has
    "merges",  # records merged into another
    "conflicts",  # plans made anew because something else was written first
    "deletes",  # records deleted
    "invalidations",  # access tokens invalidated
    "retries",  # exchanges with Redis tried again
    "unavailable",  # operations that Redis did not take within the budget
    "saves_kept",  # saves kept in the process because Redis could not take them
    "saves_dropped",  # kept saves that were refused in the end
)


class Stats:
    """Thread-safe counters; every name is always present."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counter(dict.fromkeys(NAMES, 0))

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += by

    def read(self) -> dict[str, int]:
        """Return all counters."""
        with self._lock:
            return dict(self._counts)

    def reset_after_fork(self) -> None:
        """Start anew in a forked child; the lock may have been held at the fork."""
        self.__init__()  # type: ignore[misc]
