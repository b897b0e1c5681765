"""What the workers have reported, added up."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

REJECTED = 401
"""CRM's answer to an access token that it does not know."""
STALE = 1.0
"""A worker that has said nothing for this long is waiting for something, seconds."""


@dataclass
class WorkerTally:
    """One worker.

    Attributes:
        ready: Whether it has imported the SDK.
        up_at_once: Whether its first boot went well; None before it has ended.
        up: Whether any did.
        ended: Whether it has ended in good order.
        failing: Whether the last thing that it did went wrong.
        calls: Calls answered by CRM with success.
        heard_at: When it last reported, by the monotonic clock.
    """

    ready: bool = False
    up_at_once: bool | None = None
    up: bool = False
    ended: bool = False
    failing: bool = False
    calls: int = 0
    heard_at: float = 0.0

    def state(self, now: float) -> str:
        """Return in one word what it is doing: starting, ready, booting, failing, waiting or working."""
        if not self.ready:
            return "starting"
        if self.failing:
            return "failing"
        if not self.up:
            return "booting"
        return "waiting" if now - self.heard_at > STALE and not self.ended else "working"


@dataclass
class FleetTally:
    """The whole fleet. Fed by one thread for each worker.

    Attributes:
        workers: Each one's.
        errors: Everything that went wrong, by message; but for CRM's rejections, which the stand-in counts.
        slowest_call: Longest call after the boot, seconds.
        slowest_boot: Longest boot that went well, seconds.
        statistics: The stores' own counters.
    """

    workers: list[WorkerTally]
    errors: Counter[str] = field(default_factory=Counter)
    slowest_call: float = 0.0
    slowest_boot: float = 0.0
    statistics: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, number: int, event: Mapping[str, Any]) -> None:
        """Take in one line of a worker."""
        worker = self.workers[number]
        with self._lock:
            worker.heard_at = time.monotonic()
            if event["event"] == "ready":
                worker.ready = True
            elif event["event"] == "boot":
                self._take_boot(worker, event["error"], event["seconds"])
            elif event["event"] == "call":
                self._take_call(worker, event["error"], event["status"], event["seconds"])
            elif event["event"] == "swallowed":
                self.errors[event["error"]] += 1
            elif event["event"] == "end":
                worker.ended = True
                self.statistics.update(event["statistics"])

    def fail(self, number: int, error: str) -> None:
        """Take note of what a worker can no longer report itself."""
        with self._lock:
            self.workers[number].failing = True
            self.errors[error] += 1

    def up(self) -> int:
        """Return how many workers are up."""
        return sum(worker.up for worker in self.workers)

    def up_at_once(self) -> int:
        """Return how many were up after their first boot."""
        return sum(bool(worker.up_at_once) for worker in self.workers)

    def calls(self) -> int:
        """Return how many calls CRM has answered with success."""
        return sum(worker.calls for worker in self.workers)

    def failed(self) -> int:
        """Return how many errors there were."""
        with self._lock:
            return sum(self.errors.values())

    def _take_boot(self, worker: WorkerTally, error: str | None, seconds: float) -> None:
        worker.failing = error is not None
        if worker.up_at_once is None:
            worker.up_at_once = error is None
        if error is None:
            worker.up = True
            self.slowest_boot = max(self.slowest_boot, seconds)
        else:
            self.errors[f"boot: {error}"] += 1

    def _take_call(self, worker: WorkerTally, error: str | None, status: int | None, seconds: float) -> None:
        worker.failing = error is not None
        self.slowest_call = max(self.slowest_call, seconds)
        if error is None:
            worker.calls += 1
        elif status != REJECTED:
            self.errors[error] += 1
