"""How many calls to Zoho may be made with one credential: a rule without I/O. ``renew-2.lua`` counts by the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Spending(NamedTuple):
    """What a call comes to.

    Attributes:
        calls: When calls were made that still count, this one included if it may be made; ms.
        retry_ms: When the next call may be made; None if this one may.
    """

    calls: list[int]
    retry_ms: int | None


def spend(calls: Sequence[int], most: int, window_ms: int, now_ms: int) -> Spending:
    """Take a call from the budget.

    Args:
        calls: When earlier calls were made, ms, oldest first.
        most: Calls in a window.
        window_ms: Its length.
        now_ms: The store's time, ms.
    """
    recent = [made_ms for made_ms in calls if abs(now_ms - made_ms) < window_ms]
    if len(recent) >= most:
        return Spending(recent, recent[len(recent) - most] + window_ms)
    return Spending([*recent, now_ms], None)
