"""Fixtures for tests with processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from integration.fleet import Fleet, Worker
from integration.site import Site
from servers import Server
from topologies import Home, TopologyPool
from zoho_token_store.testing import FakeZoho


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Keep one template process for the session."""
    fleet = Fleet(tmp_path_factory.mktemp("sdk"))
    yield fleet
    fleet.close()


@pytest.fixture
def start_workers(fleet: Fleet) -> Iterator[Callable[[int], list[Worker]]]:
    """Start workers that do not outlive the test."""
    yield fleet.start
    fleet.dispose()


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """Run a stand-in for Zoho of this test's own, with Zoho's real limits."""
    with FakeZoho() as zoho:
        yield zoho


@pytest.fixture(
    params=["server", *(pytest.param(name, marks=pytest.mark.topology) for name in ("sentinel", "cluster"))]
)
def home(request: pytest.FixtureRequest, namespace: str) -> Server | Home:
    """Give the server that a namespace lives on: one alone, or whichever it is in one of the topologies."""
    if request.param == "server":
        alone: Server = request.getfixturevalue("real_server")
        return alone
    pool: TopologyPool = request.getfixturevalue("topology_pool")
    return Home(pool.get_to_disturb(request.param), namespace)


@pytest.fixture
def site(home: Server | Home, namespace: str, zoho: FakeZoho) -> Site:
    """Give a namespace, on one server or one of the topologies, and a stand-in."""
    return Site(home, namespace, zoho)
