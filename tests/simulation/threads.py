"""What the store takes from :mod:`threading`, simulated: threads of a process are tasks of the scheduler."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from simulation.scheduler import Killed

if TYPE_CHECKING:
    from simulation.scheduler import Scheduler

FOREVER = 10.0**9


class SimulatedThreading:
    """Locks, events, threads and thread-local values of one world.

    Args:
        scheduler: Runs the threads.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def Lock(self) -> Lock:
        """Return a lock."""
        return Lock(self._scheduler)

    def Event(self) -> Event:
        """Return an event."""
        return Event(self._scheduler)

    def Thread(self, target: Callable[[], None], **_: object) -> Thread:
        """Return a thread of the process that makes it."""
        return Thread(self._scheduler, target)

    local = staticmethod(lambda: Local())


class Lock:
    """A lock whose waiters let others go on."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False

    def acquire(self, timeout: float = FOREVER) -> bool:
        """Take it, or give up after a time in seconds."""
        if self._held:
            self._scheduler.pause(timeout, lambda: not self._held)
        if self._held:
            return False
        self._held = True
        return True

    def release(self) -> None:
        """Let the next one have it."""
        self._held = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Event:
    """An event whose waiters let others go on."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False

    def set(self) -> None:
        """Wake all who wait."""
        self._set = True

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._set

    def wait(self, timeout: float = FOREVER) -> bool:
        """Wait until it is set, or for a time in seconds."""
        if not self._set:
            self._scheduler.pause(max(timeout, 0.0), lambda: self._set)
        return self._set


class Thread:
    """A thread of the process that makes it."""

    def __init__(self, scheduler: Scheduler, target: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._target = target

    def start(self) -> None:
        """Begin; it ends with its process at the latest."""
        owner = self._scheduler.current().owner
        self._scheduler.spawn("thread", self._run, owner)

    def _run(self) -> None:
        if self._scheduler.current().owner.dead:
            raise Killed
        self._target()


class Local:
    """Values of the thread that asks."""

    def __init__(self) -> None:
        object.__setattr__(self, "_values", {})

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[getcurrent(), name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: object) -> None:
        self._values[getcurrent(), name] = value
