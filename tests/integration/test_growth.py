"""A worker that runs for months: what the store remembers, here and in Redis, stays bounded."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import pytest

from integration.desk import make_token
from servers import Server
from zoho_token_store import RedisTokenStore, TokenStoreError
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.stats import NAMES

FOR_EVER = -1
"""What Redis answers for the life of a key without end; of one that has gone meanwhile it says -2."""
ROUNDS = 100
STRETCHES = 6
LEASE = 0.1
"""Life of a lease, seconds."""
CLIENT = {"client_id": "client", "client_secret": "secret"}


@pytest.fixture
def store(real_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> RedisTokenStore:
    """Give a store whose leases run out at once, and whose memories are small: thousands would take long to fill."""
    for memory in ("finder.HINTS", "redis_repository.SEEN", "lease.CLAIMS"):
        monkeypatch.setattr(f"zoho_token_store.{memory}", 1)
    return RedisTokenStore.from_url(real_server.url, namespace, lease_ttl=LEASE, wait_timeout=0.5)


def look_by_user(store: RedisTokenStore, number: int) -> None:
    """Look for users who have no token."""
    store.find_token(make_token(user=f"user {number}", **CLIENT))


def save_and_look(store: RedisTokenStore, number: int) -> None:
    """Log a user in, look the token up by each selector, and log the user out."""
    token = make_token(user=f"user {number}", refresh_token=f"refresh {number}", access_token="access", **CLIENT)
    token.set_expires_in(str(int((time.time() + 3600) * 1000)))
    store.save_token(token)
    store.find_token(make_token(user=f"user {number}", **CLIENT))
    store.find_token(make_token(refresh_token=f"refresh {number}", **CLIENT))
    store.delete_token(token.get_id())


def failed_login(store: RedisTokenStore, number: int) -> None:
    """Take the lease on a code that Zoho then refuses: nothing is saved, and nobody says so."""
    assert store.find_token(make_token(grant_token=f"code {number}", **CLIENT)) is None


def failed_refresh(store: RedisTokenStore, number: int) -> None:
    """Take the lease on a record whose refresh token Zoho then refuses."""
    token = make_token(user=f"user {number}", refresh_token=f"refresh {number}", **CLIENT)
    store.save_token(token)
    store.find_token_by_id(token.get_id())
    store.delete_token(token.get_id())


def unknown_id(store: RedisTokenStore, number: int) -> None:
    """Ask for ids that were never seen."""
    with pytest.raises(TokenStoreError):
        store.find_token_by_id(f"id-{number}")


WORK = [look_by_user, save_and_look, failed_login, failed_refresh, unknown_id]


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_memory_of_the_process(store: RedisTokenStore, work: Callable[[RedisTokenStore, int], None]) -> None:
    """What is forgotten after each piece of work, or kept once for all, does not add up to anything.

    Of several stretches one must add next to nothing: what stays behind each time shows in all of them, whereas
    memories with a limit fill up in some. Python's own of attributes would take too long, and is emptied: until 3.11
    each ``case`` of a class looks an attribute up by a new text.
    """
    tracemalloc.start()
    try:
        size = []
        for start in range(0, STRETCHES * ROUNDS, ROUNDS):
            for number in range(start, start + ROUNDS):
                work(store, number)
            time.sleep(2 * LEASE)
            work(store, start + ROUNDS - 1)  # leases that have run out are forgotten when another is taken
            gc.collect()
            sys._clear_type_cache()
            size.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    least = min(after - before for before, after in pairwise(size))
    assert least < ROUNDS * 40, f"{least / ROUNDS:.0f} bytes stay behind each time"


@pytest.mark.parametrize("work", [failed_login, look_by_user, unknown_id], ids=lambda work: work.__name__)
def test_keys_in_redis(
    store: RedisTokenStore, real_server: Server, namespace: str, work: Callable[[RedisTokenStore, int], None]
) -> None:
    """What leads to no record leaves nothing in Redis that does not go by itself, but the fleet's sums."""
    for number in range(50):
        work(store, number)
    with real_server.client() as client:
        for key in {*client.scan_iter(f"*{{{namespace}}}*")} - {Keyspace(namespace).counted.encode()}:
            left_ms = client.pttl(key)
            assert left_ms != FOR_EVER, key
            assert left_ms <= 120_000, key


def test_keys_of_a_fleet_that_has_come_and_gone(store: RedisTokenStore, real_server: Server, namespace: str) -> None:
    """After logins and logouts, nothing without an end is left but events and sums, and they are bounded."""
    for number in range(50):
        save_and_look(store, number)
        failed_refresh(store, number)
    store.close()
    with real_server.client(decode_responses=True) as client:
        lasting = {key for key in client.scan_iter(f"*{{{namespace}}}*") if client.pttl(key) == FOR_EVER}
        assert {key.rpartition(":")[2] for key in lasting} == {"events", "counted"}
        assert client.hlen(Keyspace(namespace).counted) <= 1 + len(NAMES)


def test_the_event_stream_is_bounded(store: RedisTokenStore, real_server: Server, namespace: str) -> None:
    """The stream of events is cut at about ten thousand."""
    token = make_token(user="ada", refresh_token="refresh", **CLIENT)
    store.save_token(token)
    with real_server.client(decode_responses=True) as client:
        (events,) = client.scan_iter(f"*{{{namespace}}}:events")
        pipeline = client.pipeline(transaction=False)
        for _ in range(12_000):
            pipeline.xadd(events, {"event": "saved", "id": "x"})
        pipeline.execute()
        token.set_refresh_token("another")
        store.save_token(token)
        assert client.xlen(events) < 10_500
