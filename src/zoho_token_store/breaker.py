"""Look-ups that need Redis, while it is known to be away: an error at once, and no wait for what is not there."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeVar

from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import StoreUnavailable

T = TypeVar("T")

PROBED = 5.0
"""For how long a vain attempt to reach Redis counts, seconds; the reader of events makes one more often."""


class Breaker:
    """Lets requests through until one of them has found Redis away, and then again when the reader has reached it.

    Nobody who waits for an answer is sent ahead to try: that is done in the background. And the reader alone stops
    nobody, since its connection may be lost where others work.

    Args:
        clock: This machine's clocks.
    """

    def __init__(self, clock: SystemClock) -> None:
        self._now = clock.monotonic
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Let requests through: this process's own have found nothing out yet."""
        self._failure: StoreUnavailable | None = None
        self._probed_at = -inf

    def call(self, request: Callable[[], T]) -> T:
        """Make a request, unless Redis is known to be away.

        Raises:
            StoreUnavailable: It is, or the request has just found it out.
        """
        failure = self._failure
        if failure is not None and self._now() - self._probed_at < PROBED:
            raise StoreUnavailable("Redis is away, and is being looked for in the background", cause=failure.cause)
        failure = None
        try:
            return request()
        except StoreUnavailable as error:
            failure = error if error.passing else None
            raise
        finally:
            self._failure = failure

    def missed(self) -> None:
        """The reader has tried to reach Redis, in vain."""
        self._probed_at = self._now()

    def reached(self) -> None:
        """The reader hears of Redis."""
        self._failure, self._probed_at = None, -inf
