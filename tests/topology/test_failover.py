"""A master is killed, demoted, frozen, or loses a replica: a short outage at most, and nothing is wrong afterwards.

Replication is asynchronous: a failover may lose what was acknowledged in the moment before it. Here that is tolerated
and nothing else; `test_durable.py` is about what prevents it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from contract.tokens import make_token
from integration.observer import Observer
from topologies import ClusterServers, SentinelServers, wait_until
from topology.audit import faults
from topology.traffic import Traffic, traffic
from zoho_token_store import RedisTokenStore

pytestmark = pytest.mark.topology

Servers = SentinelServers | ClusterServers
OpenStores = Callable[..., list[RedisTokenStore]]
WORKERS = 8
BUDGET = 1.0
NEVER = (0.0, 0.0)
SLOW = 3.0
"""What a busy machine may add to the time of a call, seconds."""
AFTERWARDS = 1.0
"""Seconds for which work goes on when the new master is there."""


@pytest.fixture
def stores(servers: Servers, open_stores: OpenStores, namespace: str) -> list[RedisTokenStore]:
    """Return the workers' stores."""
    return open_stores(WORKERS, servers.url(), namespace, operation_timeout=BUDGET)


@pytest.fixture
def watcher(servers: Servers, open_stores: OpenStores, namespace: str) -> Any:
    """Return an observer that looks up a token which its near cache has."""
    (store,) = open_stores(1, servers.url(), namespace, operation_timeout=BUDGET, near_cache=True)
    token = make_token("ada", refresh="rt", access="at")
    store.save_token(token)
    for replica in servers.replicas(namespace):
        with servers.inside(namespace) as client:
            wait_until(lambda: client.execute_command("WAIT", 1, 500), f"{replica!r} has it")

    def warm() -> bool:
        store.find_token_by_id(token.get_id())
        return store.stats()["near_hits"] > 0

    wait_until(warm, "the near cache has it")
    observer = Observer(
        lambda record_id: str(store.find_token_by_id(record_id).get_access_token()), [token.get_id()], 0.01
    )
    yield lambda: (observer.stop(), token.get_id())
    observer.stop()


def check(servers: Servers, namespace: str, seen: Traffic, watcher: Any, trouble: tuple[float, float] = NEVER) -> None:
    """Check what must be true after any trouble.

    Args:
        servers: Where it was.
        namespace: Of the workers.
        seen: What they have seen.
        watcher: Ends the observer of the near cache.
        trouble: Between which moments something may have been lost.
    """
    seen.settle()
    assert not seen.wrong
    assert not [what for at, what in seen.missing if not trouble[0] <= at <= trouble[1]]
    assert not [at for at in seen.outages if not trouble[0] <= at <= trouble[1]]
    assert seen.slowest < 2 * BUDGET + SLOW, "the budget of a call, and of the save that it finds kept"
    view, record_id = watcher()
    assert view.outcomes(record_id) == ["at"], "the near cache goes on serving"
    wait_until(lambda: not faults(servers.inside(namespace, decode_responses=True), namespace), "nothing is wrong")


def test_a_master_is_killed(servers: Servers, stores: list[RedisTokenStore], namespace: str, watcher: Any) -> None:
    """kill -9: a replica is promoted, and every worker goes on with it."""
    with traffic(stores) as seen:
        time.sleep(AFTERWARDS)
        old = servers.home(namespace)
        began = time.monotonic()
        old.kill()
        assert servers.home(namespace) is not old
        back = time.monotonic()
        time.sleep(BUDGET + AFTERWARDS)
    assert seen.recovered_after(back)
    assert seen.outages, "the outage is longer than the budget"
    check(servers, namespace, seen, watcher, (began, back + 2 * BUDGET + SLOW))


def test_an_operator_fails_over(servers: Servers, stores: list[RedisTokenStore], namespace: str, watcher: Any) -> None:
    """A failover on command, with the old master alive: reads and writes move on to the new one."""
    with traffic(stores) as seen:
        time.sleep(AFTERWARDS)
        old = servers.home(namespace)
        began = time.monotonic()
        servers.fail_over(namespace)
        wait_until(lambda: servers.home(namespace) is not old, "another is the master")
        back = time.monotonic()
        time.sleep(BUDGET + AFTERWARDS)
    assert seen.recovered_after(back)
    check(servers, namespace, seen, watcher, (began, back + 2 * BUDGET + SLOW))


def test_a_replica_is_cut_off(servers: Servers, stores: list[RedisTokenStore], namespace: str, watcher: Any) -> None:
    """A replica that stands still is nobody's concern: not one error, nothing lost."""
    with traffic(stores) as seen:
        time.sleep(AFTERWARDS)
        with servers.replicas(namespace)[0].paused():
            time.sleep(3.0)  # until it passes for dead
        time.sleep(AFTERWARDS)
    assert not seen.lost()
    check(servers, namespace, seen, watcher)


def test_a_frozen_master_comes_back(
    servers: Servers, stores: list[RedisTokenStore], open_stores: OpenStores, namespace: str, watcher: Any
) -> None:
    """SIGSTOP, a replica is promoted, SIGCONT: what was acknowledged since the promotion stays."""
    with traffic(stores):
        time.sleep(AFTERWARDS)
        old = servers.home(namespace)
        old.pause()
        new = servers.home(namespace)
        assert new is not old
        time.sleep(BUDGET)
    with traffic(open_stores(WORKERS, servers.url(), namespace, operation_timeout=BUDGET)) as seen:
        time.sleep(AFTERWARDS)
        old.resume()
        time.sleep(2 * BUDGET)
    assert servers.home(namespace) is new
    assert not seen.lost()
    check(servers, namespace, seen, watcher)
