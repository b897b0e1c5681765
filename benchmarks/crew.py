"""Worker processes that carry out tasks at one moment.

They are forked by a server process that has imported the SDK, as gunicorn --preload would, so that even 48 of them
are there within a second.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple

PATIENCE = 90.0
"""Longest time for one task, seconds."""
TOGETHER = 0.1
"""Seconds from giving a task to all workers until all begin with it."""


class Reply(NamedTuple):
    """What a task came to.

    Attributes:
        value: What it returned.
        error: What it raised, for people; None if it did not.
        ended_at: When, by the machine's monotonic clock, which all processes share.
    """

    value: Any
    error: str | None
    ended_at: float


class Crew:
    """Worker processes; none outlives the context.

    Args:
        size: How many.
    """

    def __init__(self, size: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["benchmarks.tasks", "benchmarks.asking"])
        self.size = size
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(5)
            process.kill()
            process.join()
            process.close()

    def start(self, task: Callable[..., Any], *args: Any) -> None:
        """Give all workers a task, a function of a module; they begin together."""
        begin_at = time.monotonic() + TOGETHER
        for pipe in self._pipes:
            pipe.send((begin_at, task, args))

    def share(self, task: Callable[..., Any], shares: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Have each worker carry out a task with arguments of its own; return the values."""
        for pipe, args in zip(self._pipes, shares, strict=True):
            pipe.send((0.0, task, args))
        return values(self.finish())

    def finish(self) -> list[Reply]:
        """Return what the task came to for each."""
        replies = []
        for pipe in self._pipes:
            if not pipe.poll(PATIENCE):
                raise TimeoutError(f"a worker has not ended its task within {PATIENCE:.0f} s")
            replies.append(pipe.recv())
        return replies

    def kill(self) -> None:
        """Kill all workers with SIGKILL, in the middle of whatever they do; returns when they are gone."""
        for process in self._processes:
            process.kill()
            process.join()

    def attempt(self, task: Callable[..., Any], *args: Any) -> list[Reply]:
        """Have all carry out a task at once; it may fail."""
        self.start(task, *args)
        return self.finish()

    def do(self, task: Callable[..., Any], *args: Any) -> list[Any]:
        """Have all carry out a task at once, which must not fail, and return the values."""
        return values(self.attempt(task, *args))


def values(replies: list[Reply]) -> list[Any]:
    """Return the values of replies of which none may be an error."""
    errors = [reply.error for reply in replies if reply.error]
    if errors:
        raise RuntimeError(f"{len(errors)} of {len(replies)} workers have failed: {errors[0]}")
    return [reply.value for reply in replies]


def _serve(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the benchmark, whose end closes the pipe
    while True:
        try:
            begin_at, task, args = pipe.recv()
        except EOFError:
            return
        time.sleep(max(0.0, begin_at - time.monotonic()))
        value, error = None, None
        try:
            value = task(*args)
        except Exception as raised:  # whatever it is, it is what was measured
            error = f"{type(raised).__name__}: {raised}\n{traceback.format_exc()}"
        pipe.send(Reply(value, error, time.monotonic()))
