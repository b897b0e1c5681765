"""Fixtures for tests that do something to a Sentinel set or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from segment import HERE, Segment, can_be_made
from servers import newest_binary
from topologies import ClusterServers, SentinelServers, TopologyPool
from zoho_token_store import RedisTokenStore


@pytest.fixture(scope="session")
def segment() -> Iterator[Segment | None]:
    """Make a network, if that is possible."""
    made = Segment() if can_be_made() else None
    yield made
    if made:
        made.close()


@pytest.fixture(scope="session")
def network_pool(segment: Segment | None) -> Iterator[TopologyPool]:
    """Keep the session's sets of servers that stand in that network."""
    pool = TopologyPool(newest_binary(), segment.places() if segment else HERE)
    yield pool
    pool.stop()


@pytest.fixture(params=["sentinel", "cluster"])
def servers(request: pytest.FixtureRequest, topology_pool: TopologyPool) -> SentinelServers | ClusterServers:
    """Give each set of servers, whole and empty, to do to it what a test wants."""
    made: SentinelServers | ClusterServers = topology_pool.get_to_disturb(request.param)
    return made


@pytest.fixture
def open_stores() -> Iterator[Callable[..., list[RedisTokenStore]]]:
    """Return a function that makes stores, which stand for processes of their own: ``(count, url, namespace)``."""
    with ExitStack() as stack:

        def make(count: int, url: str, namespace: str, **options: Any) -> list[RedisTokenStore]:
            return [stack.enter_context(RedisTokenStore.from_url(url, namespace, **options)) for _ in range(count)]

        yield make
