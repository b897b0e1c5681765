"""Time: this machine's clocks, and what they say of Redis's."""

from __future__ import annotations

import time

AGREE_MS = 1000
"""Clocks that differ by less are taken as one, so that an expiry comes back as it was saved."""


class SystemClock:
    """The clocks of this machine; tests inject others."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class ServerClock:
    """Redis's clock, as last seen in a reply and carried on by the monotonic clock.

    It lags by the time that the reply was under way and never runs ahead, so what is judged by it is judged a little
    too strictly.
    """

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._ahead_ms: float | None = None

    def seen(self, now_ms: int) -> None:
        """Take note of Redis's time in a reply, ms."""
        self._ahead_ms = now_ms - self._clock.monotonic() * 1000

    @property
    def known(self) -> bool:
        """Whether any reply was seen."""
        return self._ahead_ms is not None

    def now_ms(self) -> int:
        """Return Redis's time, ms; this machine's as long as no reply was seen."""
        if self._ahead_ms is None:
            return int(self._clock.wall() * 1000)
        return int(self._clock.monotonic() * 1000 + self._ahead_ms)

    def to_server_ms(self, here_ms: int) -> int:
        """Return by Redis's clock what this machine's clock calls ``here_ms``."""
        skew = self._skew_ms()
        return here_ms if abs(skew) < AGREE_MS else here_ms - skew

    def to_here_ms(self, server_ms: int) -> int:
        """Return by this machine's clock what Redis's clock calls ``server_ms``."""
        skew = self._skew_ms()
        return server_ms if abs(skew) < AGREE_MS else server_ms + skew

    def _skew_ms(self) -> int:
        return int(self._clock.wall() * 1000) - self.now_ms()


class MachineClock(ServerClock):
    """The clock of a store that has no server: this machine's own."""

    @property
    def known(self) -> bool:
        """There is nothing to find out."""
        return True

    def seen(self, now_ms: int) -> None:
        """There is nothing to note: all who share the store go by the same clock."""
