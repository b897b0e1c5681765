"""Counters of what a store has done in this process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from zoho_token_store.hooks import Hooks

NAMES = {
    "finds": "look-ups that asked Redis",
    "leases": "look-ups that were given the lease to refresh",
    "takeovers": "leases taken after an earlier one ended without a save",
    "waits": "look-ups that waited for another worker",
    "wait_timeouts": "waits that ended without a token",
    "failing": "look-ups refused because the fleet cools down",
    "refreshes": "access tokens that this process has got from Zoho",
    "refreshes_failed": "calls to Zoho that brought none, and may bring one later",
    "refreshes_throttled": "refreshes that Zoho or the budget did not allow",
    "refreshes_rejected": "refreshes that Zoho refused for good",
    "saves": "saves that were stored",
    "late_saves": "saves whose lease had passed to another, merged",
    "name_conflicts": "saves stored without their user name, which another record has",
    "merges": "records merged into another",
    "conflicts": "plans made anew because something else was written first",
    "adoptions": "tokens taken over from another store",
    "deletes": "records deleted",
    "revocations": "records ended both at Zoho and here",
    "invalidations": "access tokens invalidated",
    "retries": "exchanges with Redis tried again",
    "unavailable": "operations that Redis did not take within the budget",
    "saves_kept": "saves kept in the process because Redis could not take them",
    "saves_not_durable": "saves kept in the process because too few replicas have them",
    "saves_dropped": "kept saves that were refused in the end",
    "near_hits": "look-ups answered by the near cache",
    "near_outage_hits": "of these, those while Redis was away",
    "near_emptied": "times that the near cache had to start anew",
    "restored": "records that Redis had lost and this process has given back",
}
"""Every counter, and what it counts."""


class Stats:
    """Thread-safe counters; every name is always present.

    Args:
        hooks: Who is told of each count.

    Attributes:
        hooks: Who wants to know what happens.
    """

    def __init__(self, hooks: Hooks | None = None) -> None:
        self.hooks = hooks or Hooks()
        self._elsewhere: Callable[[], dict[str, int]] = dict
        self.reset_after_fork()

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += by
        if self.hooks.any and by:
            self.hooks.count(name, by)

    def include(self, read: Callable[[], dict[str, int]]) -> None:
        """Have counters included that are kept elsewhere, where counting has to cost next to nothing.

        Args:
            read: Returns them.
        """
        self._elsewhere = read

    def read(self) -> dict[str, int]:
        """Return all counters."""
        with self._lock:
            counts = dict(self._counts)
        return counts | self._elsewhere()

    def reset_after_fork(self) -> None:
        """Start anew in a forked child; the lock may have been held at the fork."""
        self._lock = threading.Lock()
        self._counts = Counter(dict.fromkeys(NAMES, 0))
