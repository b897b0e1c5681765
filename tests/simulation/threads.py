"""What the store takes from :mod:`threading`, simulated: threads of a process are tasks of the scheduler."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
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
        self._numbers = count()

    def Lock(self) -> Lock:
        """Return a lock."""
        return Lock(self._scheduler)

    def Event(self) -> Event:
        """Return an event."""
        return Event(self._scheduler)

    def Thread(self, target: Callable[[], None], **_: object) -> Thread:
        """Return a thread of the process that makes it."""
        return Thread(self._scheduler, target, next(self._numbers))

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

    def __init__(self, scheduler: Scheduler, target: Callable[[], None], number: int) -> None:
        self._scheduler = scheduler
        self._target = target
        self._number = number
        self._ended = False

    def __hash__(self) -> int:
        # Not by its address: a set of threads shall have the same order in each run.
        return self._number

    def start(self) -> None:
        """Begin; it ends with its process at the latest."""
        owner = self._scheduler.current().owner
        self._scheduler.spawn("thread", self._run, owner)

    def join(self, timeout: float = FOREVER) -> None:
        """Wait until it has ended, or for a time in seconds."""
        if not self._ended:
            self._scheduler.pause(timeout, lambda: self._ended)

    def _run(self) -> None:
        if self._scheduler.current().owner.dead:
            raise Killed
        try:
            self._target()
        finally:
            self._ended = True


class Pool:
    """What the store takes from `ThreadPoolExecutor`: jobs in threads of the process, and their results.

    Args:
        threading: Makes the threads.
    """

    def __init__(self, threading: SimulatedThreading) -> None:
        self._threading = threading
        self._jobs: list[Job] = []

    def __call__(self, *_: object) -> Pool:
        """Return a pool of its own, as the class would."""
        return Pool(self._threading)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def submit(self, function: Callable[..., Any], *args: Any) -> Job:
        """Start a job; all run at once."""
        job = Job(lambda: function(*args))
        job.thread = self._threading.Thread(target=job.run)
        job.thread.start()
        self._jobs.append(job)
        return job

    def shutdown(self, cancel_futures: bool = False) -> None:
        """Wait for all."""
        for job in self._jobs:
            job.thread.join()


class Job:
    """A job of a pool."""

    thread: Thread

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._value: Any = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Do it."""
        try:
            self._value = self._function()
        except Exception as error:
            self._error = error

    def result(self) -> Any:
        """Wait for the end, and return what came of it."""
        self.thread.join()
        if self._error:
            raise self._error
        return self._value


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
