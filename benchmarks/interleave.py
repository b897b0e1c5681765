"""Time several operations in turns, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns

from benchmarks.figure import Spread

Batch = Callable[[int], Sequence[Callable[[], object]]]
"""Makes as many calls as it is told, ready to be timed: what a call needs is made before the clock runs."""


def interleave(batches: Mapping[str, Batch], rounds: int, calls: int) -> dict[str, list[float]]:
    """Time operations round by round; who goes first changes from round to round.

    Args:
        batches: The operations by name.
        rounds: How many rounds.
        calls: How many calls of each operation in a round.

    Returns:
        The median of one call in each round, microseconds, by name.
    """
    names = list(batches)
    for name in names:
        time_calls(batches[name](calls))  # not counted: connections, scripts and caches are warm after it
    medians: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            medians[name].append(time_calls(batches[name](calls)))
    return medians


def ratios(these: Sequence[float], those: Sequence[float]) -> Spread:
    """Return how many times as long one operation took as another, round by round."""
    return Spread.of([this / that for this, that in zip(these, those, strict=True)])


def time_calls(calls: Sequence[Callable[[], object]]) -> float:
    """Return the median time of calls, microseconds."""
    took = []
    for call in calls:
        began = perf_counter_ns()
        call()
        took.append(perf_counter_ns() - began)
    return statistics.median(took) / 1000
