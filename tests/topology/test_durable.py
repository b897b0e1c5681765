"""Saves of new refresh tokens that count only when replicas have them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from contract.tokens import make_token, refreshed
from topologies import ClusterServers, SentinelServers, wait_until
from zoho_token_store import NotDurable, RedisTokenStore, StoreUnavailable

pytestmark = pytest.mark.topology

Servers = SentinelServers | ClusterServers
OpenStores = Callable[..., list[RedisTokenStore]]
LOGINS = 20
BUDGET = 4.0
"""More than replicas take that lag behind, seconds."""


def log_in(store: RedisTokenStore, number: int) -> bool:
    """Save a new refresh token; return whether that was acknowledged."""
    try:
        store.save_token(make_token(f"user {number}", refresh=f"rt {number}", access="at"))
    except StoreUnavailable:
        return False
    return True


def stored(store: RedisTokenStore) -> set[str]:
    """Return all refresh tokens that are there."""
    return {token.get_refresh_token() for token in store.get_tokens()}


def lag_then_fail(servers: Servers, namespace: str, work: Callable[[], Any]) -> Any:
    """Cut the replicas off while something is done, and kill the master before they can have it."""
    home, replicas = servers.home(namespace), servers.replicas(namespace)
    for replica in replicas:
        replica.pause()
    with home.client() as client:
        client.execute_command("CLIENT KILL", "TYPE", "replica")  # else it would lie in their sockets
    try:
        outcome = work()
        home.kill()
    finally:
        for replica in replicas:
            replica.resume()
    assert servers.home(namespace) is not home
    return outcome


@pytest.fixture
def reader(servers: Servers, open_stores: OpenStores, namespace: str) -> RedisTokenStore:
    """Return a store that only looks; its connection is not that of a save."""
    (store,) = open_stores(1, servers.url(), namespace, operation_timeout=10.0)
    return store


def test_without_it_a_failover_loses_logins(
    servers: Servers, open_stores: OpenStores, reader: RedisTokenStore, namespace: str
) -> None:
    """Every save is acknowledged, no replica has any, the master dies: all are gone."""
    (store,) = open_stores(1, servers.url(), namespace)
    acknowledged = lag_then_fail(servers, namespace, lambda: [log_in(store, number) for number in range(LOGINS)])
    assert all(acknowledged)
    lost = {f"rt {number}" for number in range(LOGINS)} - stored(reader)
    assert len(lost) == LOGINS


def test_with_it_nothing_is_lost(
    servers: Servers, open_stores: OpenStores, reader: RedisTokenStore, namespace: str
) -> None:
    """No save is acknowledged that no replica has; and those are stored in the end all the same."""
    stores = open_stores(4, servers.url(), namespace, min_replicas=1, operation_timeout=0.5)
    (patient,) = open_stores(1, servers.url(), namespace, min_replicas=1, operation_timeout=10.0)
    before = [log_in(patient, number) for number in range(100, 100 + LOGINS)]
    assert all(before)

    def work() -> list[bool]:
        return [log_in(store, number) for number, store in enumerate(stores)]

    assert not any(lag_then_fail(servers, namespace, work))
    everything = {f"rt {number}" for number in (*range(len(stores)), *range(100, 100 + LOGINS))}
    acknowledged = {f"rt {number}" for number in range(100, 100 + LOGINS)}
    assert acknowledged <= stored(reader)
    servers.repair()
    wait_until(lambda: everything <= stored(reader), "what was kept is stored on the new master")
    wait_until(lambda: not any(store._kept._short or len(store._kept) for store in stores), "and has its replicas")
    for store in stores:
        assert store.stats()["saves_not_durable"] == 1


def test_a_save_that_lacks_replicas(servers: Servers, open_stores: OpenStores, namespace: str) -> None:
    """It is an error in good time, which says how many; token and id are there, and look-ups go on."""
    (store,) = open_stores(1, servers.url(), namespace, min_replicas=1, operation_timeout=BUDGET)
    assert log_in(store, 0)
    replicas = servers.replicas(namespace)
    token = make_token("ada", refresh="rt", access="at")
    for replica in replicas:
        replica.pause()
    try:
        began = time.monotonic()
        with pytest.raises(NotDurable) as caught:
            store.save_token(token)
        assert 0.9 * BUDGET < time.monotonic() - began < BUDGET + 5
        assert (caught.value.replicas, caught.value.wanted) == (0, 1)
        assert token.get_refresh_token() == "rt"
        began = time.monotonic()
        found = store.find_token_by_id(token.get_id())
        assert found.get_access_token() == "at"
        store.save_token(refreshed(found, "at2"))  # an access token can be had again: no replica is waited for
        assert time.monotonic() - began < BUDGET / 2
        assert store._kept._short
    finally:
        for replica in replicas:
            replica.resume()
    wait_until(lambda: not store._kept._short, "replicas have it")
    assert store.get(token.get_id()).get_access_token() == "at2"
    assert store.stats()["saves_dropped"] == 0


def test_more_replicas_than_there_are(servers: Servers, open_stores: OpenStores, namespace: str) -> None:
    """Every save is refused that way, and the message says how many there are."""
    (store,) = open_stores(1, servers.url(), namespace, min_replicas=5, operation_timeout=0.5)
    with pytest.raises(NotDurable) as caught:
        store.save_token(make_token("ada", refresh="rt"))
    assert caught.value.replicas == len(servers.replicas(namespace))
    assert f"{caught.value.replicas} of 5" in str(caught.value)
