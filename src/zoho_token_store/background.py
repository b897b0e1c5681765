"""Work that nobody waits for: a few threads, started when there is something to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MOST = 4
"""Refreshes that a process does in the background at a time; further ones are left to other processes."""


class Background:
    """Runs jobs in threads of their own."""

    def __init__(self) -> None:
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start empty: the parent's threads stay with the parent."""
        self._running: set[threading.Thread] = set()

    @property
    def has_room(self) -> bool:
        """Whether another job would be welcome."""
        return len(self._running) < MOST

    def run(self, job: Callable[[], None]) -> None:
        """Run a job, which must not raise. It is run even if there is no room: who asks has checked before."""

        def work() -> None:
            try:
                job()
            finally:
                self._running.discard(thread)

        thread = threading.Thread(target=work, name="zoho-token-store-refresh", daemon=True)
        self._running.add(thread)
        thread.start()

    def join(self, at_most: float) -> None:
        """Wait for what is running, for some seconds at most."""
        ends = time.monotonic() + at_most
        for thread in list(self._running):
            thread.join(max(0.0, ends - time.monotonic()))
