"""How a command that runs on and on is ended: by an interrupt where it works, by a message where it waits."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import NoReturn

ENDINGS = (signal.SIGINT, signal.SIGTERM)
SLICE = 0.5
"""Longest time that a signal may go unseen, seconds."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGINT interrupt the main thread; a second one does not cut the ending short.

    Not where it waits for an Event, or for anything else with a Condition: an interrupt may come when the lock of that
    is taken and nobody is there yet to give it back.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for ending in ENDINGS:
            signal.signal(ending, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in ENDINGS:
        signal.signal(number, stop)
    yield


def tell_endings(ended: SimpleQueue[bool]) -> None:
    """Let SIGTERM and SIGINT put True into a queue: it may be written in the midst of its own work, unlike an Event."""
    for number in ENDINGS:
        signal.signal(number, lambda *_: ended.put(True))


def wait_for_ending(ended: SimpleQueue[bool]) -> bool:
    """Return what is put into the queue first. For the main thread: the handlers of signals run there.

    In slices: a signal that comes when all is ready to wait, and just not waiting yet, is only seen after the wait.
    """
    while True:
        with suppress(Empty):
            return ended.get(timeout=SLICE)
