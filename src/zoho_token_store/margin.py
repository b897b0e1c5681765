"""When an access token is due for refresh, before its end. ``find-5.lua`` judges by the same rule."""

from __future__ import annotations

import random
from typing import NamedTuple

from zoho_token_store.options import USABLE, Options
from zoho_token_store.record import Access


class Margin(NamedTuple):
    """How long before its end an access token is due.

    Attributes:
        most_ms: Never longer than this.
        least_ms: Never shorter than this.
        share: Of the life that the token had when it was saved.
    """

    most_ms: int
    least_ms: int
    share: float

    def of(self, life_ms: int) -> float:
        """Return the margin of a token with such a life, ms: at most half of it, and never less than is usable."""
        wanted = max(self.least_ms, min(self.most_ms, life_ms * self.share))
        return max(USABLE * 1000, min(wanted, life_ms / 2))

    def spare_ms(self, access: Access, now_ms: int) -> float:
        """Return how long an access token is not due yet at a time of Redis, ms; infinite if its end is not known."""
        if not access.expires_ms:
            return float("inf")
        return access.expires_ms - now_ms - self.of(access.life_ms)

    def pack(self) -> str:
        """Return the margin as the script takes it."""
        return f"{self.most_ms} {self.least_ms} {self.share:g}"


LATE = Margin(0, 0, 0)
"""Only when the token cannot be used any more."""


def drop_in_margin(options: Options) -> Margin:
    """Return the margin of a store whose refreshes the SDK does: one worker has to stop for each of them."""
    return Margin(int(options.freshness_margin * 1000), 0, 1)


def ahead_margin(options: Options) -> Margin:
    """Return the margin of a process that refreshes in the background: a tenth of the life, within limits.

    Drawn a little shorter for each process, so that not all of them ask at once.
    """
    jitter = random.uniform(0.8, 1)  # noqa: S311 - spreads load, guards nothing
    return Margin(int(options.refresh_ahead * 1000 * jitter), 10_000, 0.1 * jitter)


def keeper_margin(options: Options) -> Margin:
    """Return the margin of a process that keeps tokens fresh for the others: twice theirs, so that it comes first."""
    return Margin(int(options.refresh_ahead * 2000), 20_000, 0.2)
