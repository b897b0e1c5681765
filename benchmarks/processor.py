"""One processor for a measurement that compares two servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_processor() -> Iterator[None]:
    """Keep this process, and what it starts, on one processor, where the system can.

    On an idle machine a reply from a server on the same processor comes in a third of the time of one that has to wake
    another processor. Which it is differs from server to server, and has nothing to do with what is measured.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
