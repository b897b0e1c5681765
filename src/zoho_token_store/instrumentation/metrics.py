"""The metrics of a store, whoever they are kept by: its counters, and how long things take."""

from __future__ import annotations

from typing import NamedTuple

from zoho_token_store.details import (
    Details,
    FencedDetails,
    FoundDetails,
    RefreshedDetails,
    RefreshFailedDetails,
    SavedDetails,
    WaitedDetails,
)

PREFIX = "zoho_token_store"

Timed = FoundDetails | WaitedDetails | RefreshedDetails | RefreshFailedDetails | SavedDetails | FencedDetails
"""What has an outcome and took some time."""


class Timer(NamedTuple):
    """How long something takes, by namespace and outcome.

    Attributes:
        name: What it is, in one word.
        description: What is timed.
        kinds: The details that say it.
    """

    name: str
    description: str
    kinds: tuple[type[Details], ...]


TIMERS = (
    Timer("find", "look-ups that asked Redis, waiting included", (FoundDetails,)),
    Timer("wait", "waits for the worker that refreshes", (WaitedDetails,)),
    Timer("refresh", "refreshes, from the election to the save", (RefreshedDetails, RefreshFailedDetails)),
    Timer("save", "attempts to save", (SavedDetails, FencedDetails)),
)

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Of the histograms' buckets, seconds: from one round trip to Redis to the default ``wait_timeout``."""


def timer_name(details: Timed) -> str:
    """Return the name of the timer that details belong to."""
    return _TIMERS[type(details)]


_TIMERS = {kind: timer.name for timer in TIMERS for kind in timer.kinds}
