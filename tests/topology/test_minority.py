"""A master that is cut off together with a worker: it goes on taking writes for a while, and loses them afterwards."""

from __future__ import annotations

import time

import pytest

from contract.tokens import make_token
from segment import NO_NETWORK, Segment
from topologies import ClusterServers, SentinelServers, TopologyPool, cut_off, wait_until
from zoho_token_store import NotDurable, RedisTokenStore, StoreUnavailable

pytestmark = pytest.mark.topology

Servers = SentinelServers | ClusterServers
LOGINS = 5
BUDGET = 1.0


@pytest.fixture(params=["sentinel", "cluster"])
def servers(request: pytest.FixtureRequest, network_pool: TopologyPool) -> Servers:
    """Give each set of servers in the network, whole and empty."""
    made: Servers = network_pool.get_to_disturb(request.param)
    return made


def log_in(store: RedisTokenStore, number: int) -> str:
    """Save a new refresh token; return what came of it."""
    try:
        store.save_token(make_token(f"user {number}", refresh=f"rt {number}", access="at"))
    except StoreUnavailable as error:
        return type(error).__name__
    return "acknowledged"


@pytest.mark.parametrize("min_replicas", [0, 1])
def test_its_writes_are_lost(servers: Servers, segment: Segment | None, namespace: str, min_replicas: int) -> None:
    """Without `min_replicas` logins are acknowledged there and gone later; with it, none is acknowledged.

    The worker beside the master is one that reaches it by its Unix socket, which no cable has to do with.
    """
    if segment is None:
        pytest.skip(NO_NETWORK)
    old = servers.home(namespace)
    options = {"operation_timeout": BUDGET, "min_replicas": min_replicas}
    with (
        RedisTokenStore.from_url(servers.url(), namespace, operation_timeout=20.0) as other,
        RedisTokenStore.from_url(old.url, namespace, **options) as beside,
    ):
        beside.ping()
        with cut_off(segment, old):
            outcomes = [log_in(beside, number) for number in range(1 if min_replicas else LOGINS)]
            wait_until(lambda: servers.home(namespace) is not old, "another is the master")
            other.save_token(make_token("ada", refresh="rt", access="at"))
            assert bool(beside._kept._short) == bool(min_replicas), "what nobody acknowledged is kept"
            beside._kept.close()
        wait_until(servers.is_settled, "all know who the master is")
        there = {token.get_refresh_token() for token in other.get_tokens()}
        assert there == {"rt"}, "the minority's writes are gone, the majority's are not"
        assert [finding for step in other.audit() for finding in step.findings] == []
    expected = NotDurable.__name__ if min_replicas else "acknowledged"
    assert outcomes == [expected] * len(outcomes)


def test_a_cluster_ends_it(network_pool: TopologyPool, segment: Segment | None, namespace: str) -> None:
    """A cluster's master that is alone refuses after a time: then calls get StoreUnavailable."""
    if segment is None:
        pytest.skip(NO_NETWORK)
    cluster: ClusterServers = network_pool.get_to_disturb("cluster")
    old = cluster.home(namespace)
    with RedisTokenStore.from_url(old.url, namespace, operation_timeout=BUDGET) as beside:
        began = time.monotonic()
        with cut_off(segment, old):
            number = iter(range(10_000))
            wait_until(lambda: log_in(beside, next(number)) == "StoreUnavailable", "it refuses", 20)
        assert time.monotonic() - began < 15, "cluster-node-timeout is 1.5 s"
