"""How a command that runs on and on is ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGINT interrupt the main thread; a second one does not cut the ending short.

    An exception, since a handler that sets an Event might interrupt the main thread while it holds the Event's lock.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    yield
