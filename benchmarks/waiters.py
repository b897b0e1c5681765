"""How long the last of many waiting processes waits after the token is there: woken by us, or polling a Lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import redis

from benchmarks import tasks
from benchmarks.crew import Crew, values
from benchmarks.figure import Figure, Spread
from benchmarks.server import BenchmarkServer, open_server
from benchmarks.tokens import expires_in, fields, full_token, secret
from zoho_token_store import RedisTokenStore
from zoho_token_store.keyspace import Keyspace

NAMES = ("wake",)
NAMESPACE = "waiters"
REACH = 1 / 5
HELD = 0.4
"""Seconds for which lock and lease are held at the least."""
PATIENCE = 7.0
"""Longest time for all workers to come and wait, seconds: less than the lease lives."""


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure from the end of ``save_token``, and from the release of redis-py's ``Lock``, to the last waiter's return.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer processes and rounds.
    """
    size, rounds = (6, 2) if quick else (48, 12)
    ours, theirs = [], []
    with open_server() as server, Crew(size) as crew, server.store(NAMESPACE) as store, server.client() as client:
        token = full_token(0)
        store.save_token(token)
        client.hset("plain", mapping=fields(token))
        crew.do(tasks.open_store, server.url, NAMESPACE, token.get_id())
        for turn in range(rounds + 1):
            waits = _on_our_lease(server, store, crew, token.get_id(), turn), _on_a_lock(client, crew)
            if turn:  # the first round is not counted
                ours.append(waits[0])
                theirs.append(waits[1])
    spread = Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])
    yield Figure(
        "wake",
        f"last of {size} waiting processes after the save, over the same wait on redis-py's `Lock`",
        "at most 1/5",
        spread,
        spread.median <= REACH,
        note=f"{Spread.of([wait * 1000 for wait in ours]).text(0)} ms",
        beside=f"`Lock`: {Spread.of([wait * 1000 for wait in theirs]).text(0)} ms",
        details={"ours_s": ours, "lock_s": theirs},
    )


def _on_our_lease(server: BenchmarkServer, store: RedisTokenStore, crew: Crew, record_id: str, turn: int) -> float:
    """Return the last wait in seconds, after a lease that this process held."""
    with server.client() as client:
        client.delete(Keyspace(NAMESPACE).access(record_id))  # as at the access token's expiry
        leased = store.find_token_by_id(record_id)
        assert leased.get_access_token() is None, "this process holds the lease"
        crew.start(tasks.find, record_id)
        _hold_until(lambda: int(client.info("clients")["blocked_clients"]) == crew.size)
    return _save_and_wait(store, leased, crew, secret(f"turn {turn}", 0))


def _save_and_wait(store: RedisTokenStore, leased: Any, crew: Crew, access_token: str) -> float:
    leased.set_access_token(access_token)
    leased.set_expires_in(expires_in())
    store.save_token(leased)
    saved_at = time.monotonic()
    replies = crew.finish()
    assert set(values(replies)) == {access_token}
    return max(reply.ended_at for reply in replies) - saved_at


def _on_a_lock(client: redis.Redis, crew: Crew) -> float:
    """Return the last wait in seconds, after a Lock that this process held."""
    client.delete("waiting")
    with client.lock("lock", timeout=30):
        crew.start(tasks.read_under_lock, "lock")
        _hold_until(lambda: int(client.get("waiting") or 0) == crew.size)
    released_at = time.monotonic()
    replies = crew.finish()
    values(replies)
    return max(reply.ended_at for reply in replies) - released_at


def _hold_until(all_wait: Callable[[], bool]) -> None:
    """Return when all workers wait, and no sooner than after :data:`HELD`."""
    began = time.monotonic()
    while not all_wait() or time.monotonic() < began + HELD:
        assert time.monotonic() < began + PATIENCE, "the workers do not wait"
        time.sleep(0.01)
