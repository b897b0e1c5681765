"""A long look at a store, a slice at a time, so that a view can be drawn meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

SHARE = 0.1
"""Part of the time that is spent on looking: what takes long is done seldom."""


class Rounds(Generic[T]):
    """Walks again and again.

    Args:
        walk: Yields what it has so far, again and again; the last is the result.
        every: Shortest time from the end of one walk to the beginning of the next, seconds.
        clock: Tells seconds.

    Attributes:
        result: What the last complete walk has come to; None before there was one.
        partial: What the walk that goes on has so far.
    """

    def __init__(
        self, walk: Callable[[], Iterator[T]], every: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._walk = walk
        self._every = every
        self._clock = clock
        self._going: Iterator[T] | None = None
        self._next = clock()
        self._spent = 0.0
        self.result: T | None = None
        self.partial: T | None = None

    def step(self, at_most: float) -> None:
        """Go on for some seconds, unless it is time to rest.

        Raises:
            TokenStoreError: The store cannot be looked at; the next step begins anew.
        """
        began = self._clock()
        if self._going is None:
            if began < self._next:
                return
            self._going, self._spent = self._walk(), 0.0
        try:
            ended = self._go_on(self._going, began + at_most)
        except BaseException:
            self._going = None
            raise
        self._spent += self._clock() - began
        if ended:
            self.result, self._going = self.partial, None
            self._next = self._clock() + max(self._every, self._spent * (1 / SHARE - 1))

    def _go_on(self, going: Iterator[T], deadline: float) -> bool:
        """Return whether the walk has ended."""
        while (found := next(going, None)) is not None:
            self.partial = found
            if self._clock() >= deadline:
                return False
        return True
