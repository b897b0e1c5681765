"""Our store against what a user would pick instead, on the same machine in the same rounds."""

from __future__ import annotations

import tempfile
from argparse import ArgumentTypeError
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import fleets, sizes
from benchmarks.comparison import Comparison
from benchmarks.rivals import Site

NAMES = ("compare_find", "compare_save", "compare_scan", "compare_memory", "compare_storm", "compare_boot")
SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (10, 1_000)
SMALLEST, LARGEST = 2, 1_000_000


def sizes_for(quick: bool) -> tuple[int, ...]:
    """Return the numbers of tokens to measure with if none are asked for."""
    return QUICK_SIZES if quick else SIZES


def read_sizes(text: str) -> list[int]:
    """Return the numbers in ``10,1000``, in rising order.

    Raises:
        ArgumentTypeError: They cannot be used.
    """
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise ArgumentTypeError(f"numbers of tokens look like 10,1000, not like {text!r}") from None
    if not SMALLEST <= counts[0] <= counts[-1] <= LARGEST:
        raise ArgumentTypeError(f"numbers of tokens are {SMALLEST} to {LARGEST}")
    return counts


def measure(names: Collection[str], quick: bool, counts: Sequence[int]) -> Iterator[Comparison]:
    """Measure every store.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer rounds and processes.
        counts: Numbers of tokens, in rising order.
    """
    by_size = [name for name, group in sizes.GROUPS.items() if group in names]
    by_fleet = [name for name, group in fleets.GROUPS.items() if group in names]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="zoho-bench-", ignore_cleanup_errors=True))
        site = Site(stack, Path(folder))
        stores = sizes.Sizes(site, by_size, rounds=3 if quick else 15)
        if by_fleet:  # first: what a million tokens leave behind in this process makes its threads slower
            yield from fleets.measure(site, by_fleet, quick)
        for tokens in counts if by_size else ():
            stores.measure(tokens)
        yield from stores.comparisons()
