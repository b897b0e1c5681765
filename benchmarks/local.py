"""The store in a SQLite file: a look-up and a save, on the disk that temporary files are on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.figure import Figure, Spread
from benchmarks.interleave import interleave
from benchmarks.tokens import expires_in, full_token, secret
from zoho_token_store import SQLiteTokenStore

NAMES = ("sqlite_find", "sqlite_save")
TITLES = {
    "sqlite_find": "`SQLiteTokenStore`: `find_token_by_id`, p50",
    "sqlite_save": "`SQLiteTokenStore`: `save_token` of an existing record, on the disk when it returns",
}
REACH_US = {"sqlite_find": 100.0, "sqlite_save": 20_000.0}


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure these figures.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer rounds.
    """
    rounds, calls = (5, 10) if quick else (50, 20)
    with (
        tempfile.TemporaryDirectory(prefix="zoho-bench-") as folder,
        SQLiteTokenStore(Path(folder) / "tokens.db") as store,
    ):
        token = full_token(0)
        store.save_token(token)
        fresh = (secret("new access", number) for number in count())

        def refreshed(access_token: str) -> None:
            token.set_access_token(access_token)
            token.set_expires_in(expires_in())
            store.save_token(token)

        def finds(number: int) -> Sequence[Callable[[], object]]:
            return [partial(store.find_token_by_id, token.get_id())] * number

        def saves(number: int) -> Sequence[Callable[[], object]]:
            return [partial(refreshed, next(fresh)) for _ in range(number)]

        took = interleave({"sqlite_find": finds, "sqlite_save": saves}, rounds, calls)
    for name in names:
        spread, in_ms = Spread.of(took[name]), REACH_US[name] >= 1000
        factor, unit = (1000, "ms") if in_ms else (1, "µs")
        yield Figure(
            name,
            TITLES[name],
            f"at most {REACH_US[name] / factor:g} {unit}",
            Spread.of([each / factor for each in took[name]]),
            spread.median <= REACH_US[name],
            digits=1,
            unit=unit,
        )
