"""A look-up that the near cache answers, over redis-py's bare ``HGETALL`` of the same fields."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from functools import partial

from benchmarks.figure import Figure, Spread
from benchmarks.interleave import interleave, ratios
from benchmarks.server import open_server
from benchmarks.tokens import fields, full_token

NAMES = ("near",)
REACH = 1 / 30
REACH_US = 6.0


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure this figure.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer rounds.
    """
    rounds, calls = (10, 20) if quick else (150, 50)
    with open_server() as server, server.client() as client, server.store("near", near_cache=True) as store:
        token = full_token(0)
        store.save_token(token)
        client.hset("plain", mapping=fields(token))
        find = partial(store.find_token_by_id, token.get_id())
        while not store.stats()["near_hits"]:  # its reader of events is not there yet
            find()
            time.sleep(0.01)
        asked = store.stats()["finds"]
        took = interleave(
            {"near": lambda calls: [find] * calls, "hgetall": lambda calls: [partial(client.hgetall, "plain")] * calls},
            rounds,
            calls,
        )
        asked = store.stats()["finds"] - asked
    spread, each = ratios(took["near"], took["hgetall"]), Spread.of(took["near"])
    yield Figure(
        "near",
        "`find_token_by_id` from the near cache, p50, over a bare `HGETALL`",
        f"at most 1/30, under {REACH_US:g} µs",
        spread,
        spread.median <= REACH and each.median < REACH_US,
        digits=3,
        note=f"{each.text(1)} µs",
        details={"near_us": each.median, "hgetall_us": Spread.of(took["hgetall"]).median, "asked_redis": asked},
    )
