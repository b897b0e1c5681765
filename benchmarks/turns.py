"""Time stores in turns of which one may take a thousand times as long as another."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from time import perf_counter
from typing import NamedTuple

from benchmarks.interleave import Batch, time_calls

ROUND = 0.03
"""Seconds that a round of one store should take, if one call does not take longer."""
PATIENCE = 1.5
"""Seconds for all rounds of one store, but for the first :data:`LEAST`."""
LEAST = 3
WARM = 100
"""Calls, not counted, after which everything is warm."""


class _Plan(NamedTuple):
    """How many rounds of how many calls."""

    rounds: int
    calls: int


def time_in_turns(batches: Mapping[str, Batch], rounds: int, calls: int) -> dict[str, list[float]]:
    """Time operations round by round; who goes first changes from round to round.

    Args:
        batches: The operations by name.
        rounds: How many rounds; fewer of an operation that takes long.
        calls: How many calls of an operation in a round, at most.

    Returns:
        The median of one call in each round, microseconds, by name: the rounds of all begin with the same one.
    """
    names = list(batches)
    plans = {name: _plan(batches[name], rounds, calls) for name in names}
    medians: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if turn < plans[name].rounds:
                medians[name].append(time_calls(batches[name](plans[name].calls)))
    return medians


def _plan(batch: Batch, rounds: int, calls: int) -> _Plan:
    """Call until connections and caches are warm, if that does not take long, and see how long a call takes."""
    took: list[float] = []
    while len(took) < WARM and sum(took) < 2 * ROUND:
        (call,) = batch(1)
        began = perf_counter()
        call()
        took.append(perf_counter() - began)
    seconds = statistics.median(took)
    each = max(1, min(calls, int(ROUND / seconds)))
    return _Plan(min(rounds, max(LEAST, round(PATIENCE / (seconds * each)))), each)
