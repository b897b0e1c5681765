"""One call of the store over redis-py's bare ``HGETALL`` of the same fields."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any

from benchmarks.figure import Figure
from benchmarks.file_store import time_file_store
from benchmarks.interleave import Batch, interleave, ratios
from benchmarks.server import BenchmarkServer, open_server
from benchmarks.tokens import expires_in, fields, full_token, named_token, secret

NAMES = ("find_by_id", "find_by_user", "save")
TITLES = {
    "find_by_id": "`find_token_by_id`, p50, over a bare `HGETALL`",
    "find_by_user": "`find_token` by user name, warm, over the same",
    "save": "`save_token` of an existing record, over the same",
}
REACH = {"find_by_id": 1.25, "find_by_user": 1.35, "save": 1.8}
FILE_STORE = {"find_by_user": "find", "save": "save"}
"""What FileStore does that is comparable."""
FILE_STORE_TOKENS = 10_000


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure these figures.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer rounds.
    """
    rounds, calls, tokens = (10, 20, 500) if quick else (150, 50, FILE_STORE_TOKENS)
    with open_server() as server:
        took = interleave(_batches(server, names), rounds, calls)
    compared = {name: FILE_STORE[name] for name in names if name in FILE_STORE}
    file_store = time_file_store([tokens], compared.values(), rounds=5) if compared else {}
    beside = {
        name: f"{statistics.median(file_store[f'{operation} {tokens}']) / 1000:.0f} ms at {tokens:,} tokens"
        for name, operation in compared.items()
    }
    for name in names:
        spread = ratios(took[name], took["hgetall"])
        times = {f"{operation}_us": statistics.median(took[operation]) for operation in ("hgetall", name)}
        reach = REACH[name]
        yield Figure(
            name,
            TITLES[name],
            f"at most {reach:g}",
            spread,
            spread.median <= reach,
            beside=beside.get(name, "-"),
            details=times,
        )


def _batches(server: BenchmarkServer, names: Collection[str]) -> dict[str, Batch]:
    """Store a token, put the same fields into a hash, and return what does one call of each kind."""
    store, client = server.store("look-ups"), server.client()
    token = full_token(0)
    store.save_token(token)
    client.hset("plain", mapping=fields(token))
    record_id = token.get_id()
    fresh = (secret("new access", number) for number in count())

    def by_user(calls: int) -> Sequence[Callable[[], Any]]:
        return [partial(store.find_token, named_token(0)) for _ in range(calls)]

    def refreshed(access_token: str, expiry: str) -> None:
        token.set_access_token(access_token)
        token.set_expires_in(expiry)
        store.save_token(token)

    batches: dict[str, Batch] = {
        "find_by_id": lambda calls: [partial(store.find_token_by_id, record_id)] * calls,
        "find_by_user": by_user,
        "save": lambda calls: [partial(refreshed, next(fresh), expires_in()) for _ in range(calls)],
    }
    plain: dict[str, Batch] = {"hgetall": lambda calls: [partial(client.hgetall, "plain")] * calls}
    return plain | {name: batches[name] for name in names}
