"""Twenty thousand tokens, and a million with ``make soak``: what they take, and how the server fares."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import pytest
from benchmarks.beside import pinging
from benchmarks.mould import id_of, pour
from benchmarks.server import BenchmarkServer
from benchmarks.tokens import fields, full_token

from servers import Server
from zoho_token_store import RedisTokenStore, TokenDeleted
from zoho_token_store.clearing import PAGE, STEP
from zoho_token_store.redis_repository import READ_AT_ONCE

NAMESPACE = "many"
MEMORY = 2200
"""Bytes that a token may take."""
LEFT = 500
"""Bytes that may be left of it, in tombstones and the server's own tables."""
HELD_MS = 5
"""How long a command may hold the server."""


@dataclass
class Many:
    """A server that holds many tokens.

    Attributes:
        server: The server.
        count: How many.
        timed: Whether they are enough to take the time.
        bytes_each: What each takes.
    """

    server: BenchmarkServer
    count: int
    timed: bool
    bytes_each: float = 0.0

    def used(self) -> int:
        """Return the server's memory, bytes."""
        with self.server.client() as client:
            return int(client.info("memory")["used_memory"])

    def scripts(self, work: Callable[[], object]) -> tuple[int, float]:
        """Do some work; return how many scripts the server has run for it, and how long one took in the mean, ms."""
        with self.server.client() as client:
            client.config_resetstat()
            work()
            told = client.info("commandstats")["cmdstat_evalsha"]
        return told["calls"], told["usec_per_call"] / 1000


@pytest.fixture(params=[20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def many(request: pytest.FixtureRequest) -> Iterator[Many]:
    """Have a server with so many tokens."""
    count: int = request.param
    with Server() as server:
        made = Many(BenchmarkServer(server.url, "a server"), count, timed=count > 100_000)
        before = made.used()
        pour(made.server, NAMESPACE, count)
        made.bytes_each = (made.used() - before) / count
        yield made


@pytest.fixture
def store(many: Many) -> Iterator[RedisTokenStore]:
    """Return a store of them."""
    with many.server.store(NAMESPACE) as made:
        made.ping()
        yield made


def test_they_are_what_the_store_writes(many: Many, store: RedisTokenStore) -> None:
    """Whatever was loaded is found like any token, and lies there as the store writes it: an audit finds no fault."""
    for number in (0, many.count // 2, many.count - 1):
        found, saved = (fields(token) for token in (store.find_token(full_token(number)), full_token(number)))
        assert found | {"expires_in": "", "id": ""} == saved | {"expires_in": "", "id": ""}
        assert found["id"] == id_of(number)
    began = time.monotonic()
    assert [finding for progress in store.audit() for finding in progress.findings] == []
    assert not many.timed or time.monotonic() - began < 180


def test_what_they_take(many: Many) -> None:
    """Each takes a bounded part of the server's memory."""
    assert many.bytes_each < MEMORY


def test_going_through_them(many: Many, store: RedisTokenStore) -> None:
    """All are seen once, in the memory that a page takes, by scripts of which none holds the server."""
    seen, began = 0, time.monotonic()

    def walk() -> None:
        nonlocal seen
        seen = sum(1 for _ in store.iter_tokens())

    calls, mean_ms = many.scripts(walk)
    assert not many.timed or seen / (time.monotonic() - began) >= 20_000
    assert seen == many.count
    assert calls <= many.count / READ_AT_ONCE * 1.2 + 10
    assert mean_ms < HELD_MS
    tracemalloc.start()
    try:
        assert sum(1 for _ in islice(store.iter_tokens(), 10 * PAGE)) == 10 * PAGE
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_deleting_all(many: Many, store: RedisTokenStore) -> None:
    """None is left, after few scripts of which none holds the server; what is left of each is that it was deleted."""
    before = many.used()
    with pinging(many.server) as waits:
        calls, mean_ms = many.scripts(store.delete_tokens)
    assert calls <= many.count * (1 / STEP + 1.2 / READ_AT_ONCE + 1 / PAGE) + 10
    assert mean_ms < HELD_MS
    assert store.get_tokens() == []
    assert [finding for progress in store.audit() for finding in progress.findings] == []
    with pytest.raises(TokenDeleted):
        store.find_token_by_id(id_of(many.count // 2))
    assert before - many.used() > many.count * (many.bytes_each - LEFT)
    if many.timed:
        assert waits.at(0.99) < HELD_MS
