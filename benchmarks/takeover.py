"""How long a fleet is without a token when the worker that refreshes is killed in the middle of its call to Zoho."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from benchmarks import asking
from benchmarks.crew import Crew, values
from benchmarks.figure import Figure, Spread
from benchmarks.server import BenchmarkServer, open_server
from benchmarks.tokens import token_of
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.testing import FakeZoho
from zoho_token_store.testing.model import Limits

NAMES = ("takeover",)
NAMESPACE = "takeover"
REACH = 4.0
LATENCY = 0.25
"""Seconds that a token request takes, when it is not the one during which the winner dies."""
RENEWED = 1.0
"""Seconds from one renewal of a lease to the next: the winner dies at any moment between two."""
MOODS: tuple[dict[str, Any], ...] = ({"hang": True}, {"hang": False, "latency": 60.0})
"""How Zoho holds the winner up: before it has worked, and when the new token is made but not said."""
PATIENCE = 8.0
"""Longest time for what leads up to the kill, seconds: less than the winner's patience with Zoho."""


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure from the kill to the last worker's token; the first has it a moment earlier.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer processes and rounds.
    """
    size, rounds = (3, 2) if quick else (8, 12)
    limits = Limits(access_tokens_per_window=1000, live_access_tokens=1000)
    with open_server() as server, FakeZoho(limits=limits) as zoho, Crew(size) as others:
        token = token_of(zoho, 3600)
        with server.store(NAMESPACE) as store:
            store.save_token(token)
        others.do(asking.open_store, server.url, NAMESPACE, zoho.url, token.get_id(), False)
        took = [_take_over(server, zoho, others, token.get_id(), MOODS[turn % 2]) for turn in range(rounds)]
    slowest = max(took)
    yield Figure(
        "takeover",
        f"kill -9 of the worker that refreshes, to the last of {size} others' token, longest",
        f"within {REACH:g} s",
        Spread(slowest, slowest, slowest, rounds),
        slowest <= REACH,
        unit="s",
        note=f"median of {rounds} kills {Spread.of(took).text()} s",
        details={"took_s": took},
    )


def _take_over(server: BenchmarkServer, zoho: FakeZoho, others: Crew, record_id: str, mood: dict[str, Any]) -> float:
    """Return the seconds from the kill to the last worker's token."""
    with server.client() as client, Crew(1) as winner:
        winner.do(asking.open_store, server.url, NAMESPACE, zoho.url, record_id, False)
        client.delete(Keyspace(NAMESPACE).access(record_id))  # as at the access token's expiry
        zoho.reset()
        zoho.faults.set(**mood)
        winner.start(asking.find, record_id)
        _wait(lambda: zoho.max_in_flight() == 1)
        others.start(asking.find, record_id)
        _wait(lambda: int(client.info("clients")["blocked_clients"]) == others.size)
        time.sleep(random.uniform(0, RENEWED))
        winner.kill()
        killed_at = time.monotonic()
        _wait(lambda: len(zoho.requests) == 1)  # Zoho sees that its caller has gone
        zoho.faults.set(hang=False, latency=LATENCY)
        replies = others.finish()
    assert len(set(values(replies))) == 1, "all have the same token"
    return max(reply.ended_at for reply in replies) - killed_at


def _wait(condition: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + PATIENCE, "the workers are not where they should be"
        time.sleep(0.01)
