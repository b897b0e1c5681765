"""A look-up among 100,000 records over one among 100."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from functools import partial

from benchmarks.figure import Figure, Spread
from benchmarks.file_store import time_file_store
from benchmarks.interleave import Batch, interleave, ratios
from benchmarks.loader import fill
from benchmarks.processor import one_processor
from benchmarks.server import BenchmarkServer, open_server
from benchmarks.tokens import named_token

NAMES = ("scale_by_id", "scale_by_user")
TITLES = {
    "scale_by_id": "`find_token_by_id` at {many:,} records over at {few:,}",
    "scale_by_user": "`find_token` by user name at {many:,} records over at {few:,}",
}
REACH = 1.1
FEW, MANY, QUICK_MANY = 100, 100_000, 2_000


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure these figures: the same number of records asked for among few and among many, and random ones out of all.

    A process remembers some records and where pointers led, so the second is about its memory and not about Redis.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer records and rounds.
    """
    many, rounds, calls = (QUICK_MANY, 10, 20) if quick else (MANY, 100, 50)
    with one_processor(), open_server() as small, open_server() as large:
        few_ids, many_ids = fill(small, "few", FEW), fill(large, "many", many)
        batches = _batches(small, "few", few_ids, FEW) | _batches(large, "many", many_ids, many)
        batches |= {f"{name} again": batch for name, batch in _batches(large, "many", many_ids[:FEW], FEW).items()}
        took = interleave(batches, rounds, calls)
    file_store = time_file_store([FEW, many], ["find"], rounds=3)
    file_ratio = ratios(file_store[f"find {many}"], file_store[f"find {FEW}"])
    for name in names:
        kind = name.removeprefix("scale_")
        spread = ratios(took[f"many {kind} again"], took[f"few {kind}"])
        cold = ratios(took[f"many {kind}"], took[f"few {kind}"])
        yield Figure(
            name,
            TITLES[name].format(many=many, few=FEW),
            f"at most {REACH:g}",
            spread,
            spread.median <= REACH,
            note=f"{cold.text()} for random ones, which a process has to read anew",
            beside=f"{file_ratio.median:,.0f}",
            details={"random": cold._asdict(), **_times(took, kind)},
        )


def _batches(server: BenchmarkServer, namespace: str, ids: list[str], count: int) -> dict[str, Batch]:
    """Return look-ups by id and by user name, each of a record chosen at random."""
    store, chance = server.store(namespace), random.Random(7)
    return {
        f"{namespace} by_id": lambda calls: [
            partial(store.find_token_by_id, record_id) for record_id in chance.choices(ids, k=calls)
        ],
        f"{namespace} by_user": lambda calls: [
            partial(store.find_token, named_token(number)) for number in chance.choices(range(count), k=calls)
        ],
    }


def _times(took: dict[str, list[float]], kind: str) -> dict[str, float]:
    return {f"{name}_us": Spread.of(values).median for name, values in took.items() if kind in name}
