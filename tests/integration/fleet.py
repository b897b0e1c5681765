"""Workers as processes of their own, forked from one template that has imported the SDK, as gunicorn --preload does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from integration.desk import RESOURCES
from integration.replies import Failure, Reply

PATIENCE = 60.0
"""Longest time that a test waits for a worker, seconds."""


class WorkerFailed(AssertionError):
    """A command has failed where it should not have."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.kind}: {failure.text}\n{failure.trace}")


class Worker:
    """One worker process.

    Attributes:
        pid: Its number.
    """

    def __init__(self, pid: int, connection: Connection) -> None:
        self.pid = pid
        self._connection = connection

    def start(self, name: str, /, *args: Any, **options: Any) -> None:
        """Give the worker a command."""
        self._connection.send((name, args, options))

    def finish(self, at_most: float = PATIENCE) -> Reply:
        """Return the outcome of the command that was given last.

        Args:
            at_most: Longest wait, seconds.
        """
        assert self._connection.poll(at_most), f"worker {self.pid} has not answered within {at_most} s"
        reply: Reply = self._connection.recv()
        return reply

    def busy(self, for_seconds: float = 0.0) -> bool:
        """Return whether its command is still under way after a time."""
        return not self._connection.poll(for_seconds)

    def attempt(self, name: str, /, *args: Any, **options: Any) -> Reply:
        """Have a command carried out; it may fail."""
        self.start(name, *args, **options)
        return self.finish()

    def do(self, name: str, /, *args: Any, **options: Any) -> Any:
        """Have a command carried out, which must not fail, and return its value."""
        return value_of(self.attempt(name, *args, **options))

    def signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return _exists(self.pid)

    def end(self, number: int | None = None) -> None:
        """Return when the process is gone: killed by a signal, or without one at the end of its commands."""
        if number is None:
            self._connection.close()
        else:
            self.signal(number)
        wait_until(lambda: not self.alive, "the worker is gone")

    def dispose(self) -> None:
        """End the process, stopped or not; it may be gone already."""
        try:
            while self._connection.poll():  # replies that nobody wanted; then the end, if the process is gone
                self._connection.recv()
        except (EOFError, OSError):
            return
        with suppress(ProcessLookupError):  # it may end at this very moment
            self.signal(signal.SIGKILL)
        self._connection.close()


class Fleet:
    """Starts workers, and sees to it that none is left.

    Args:
        folder: Where the workers' SDK may keep files; workers that are killed cannot tidy up after themselves.
    """

    def __init__(self, folder: Path) -> None:
        self._control, theirs = socket.socketpair()
        command = [sys.executable, "-m", "integration.template", str(theirs.fileno())]
        self._template = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=python_environment(folder))
        theirs.close()
        assert self._control.recv(1) == b"R", "the template process has not started"
        self._workers: list[Worker] = []

    def start(self, count: int = 1) -> list[Worker]:
        """Return new workers, which wait for commands."""
        started = []
        for _ in range(count):
            ours, theirs = Pipe()
            socket.send_fds(self._control, [b"F"], [theirs.fileno()])
            started.append(Worker(int.from_bytes(self._control.recv(8), "big"), ours))
            theirs.close()
        self._workers += started
        return started

    def dispose(self) -> None:
        """End every worker."""
        while self._workers:
            self._workers.pop().dispose()

    def close(self) -> None:
        """End every worker and the template."""
        self.dispose()
        self._control.close()
        self._template.wait(PATIENCE)


def python_environment(folder: Path) -> dict[str, str]:
    """Return an environment in which another Python finds what this one finds, and goes through no proxy.

    Args:
        folder: Where its SDK may keep files.
    """
    folders = [str(Path(__file__).parent.parent), *map(os.path.abspath, sys.path)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(folders), "NO_PROXY": "127.0.0.1", RESOURCES: str(folder)}


def start_all(workers: Sequence[Worker], name: str, /, *args: Any, **options: Any) -> None:
    """Give all workers one command."""
    for worker in workers:
        worker.start(name, *args, **options)


def attempt_all(workers: Sequence[Worker], name: str, /, *args: Any, **options: Any) -> list[Reply]:
    """Have all workers carry out one command at once; it may fail."""
    start_all(workers, name, *args, **options)
    return [worker.finish() for worker in workers]


def do_all(workers: Sequence[Worker], name: str, /, *args: Any, **options: Any) -> list[Any]:
    """Have all workers carry out one command at once, which must not fail, and return the values."""
    return [value_of(reply) for reply in attempt_all(workers, name, *args, **options)]


def value_of(reply: Reply) -> Any:
    """Return the value of an outcome that must not be a failure."""
    if reply.failure:
        raise WorkerFailed(reply.failure)
    return reply.value


def wait_until(condition: Callable[[], Any], what: str, at_most: float = 30.0) -> None:
    """Return when a condition holds.

    Args:
        condition: Asked again and again.
        what: What it says, for the error.
        at_most: Longest wait, seconds.
    """
    deadline = time.monotonic() + at_most
    while not condition():
        assert time.monotonic() < deadline, f"not within {at_most:g} s: {what}"
        time.sleep(0.005)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
