"""Fixtures for every test: real servers, started at their first use, and fakeredis."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from servers import NO_SERVER, Backend, Protocol, Server, ServerPool, close_clients, find_binaries, newest_binary

PROTOCOLS: tuple[Protocol, ...] = (2, 3)
REAL = [(name, protocol) for name in find_binaries() for protocol in PROTOCOLS]
ALL = [("fakeredis", protocol) for protocol in PROTOCOLS] + REAL


def pytest_report_header() -> str:
    """Say which servers the tests run on."""
    return f"servers: {', '.join(find_binaries()) or 'none'}"


def pytest_sessionstart() -> None:
    """Fail at once without a real server: skipping would leave everything that matters untested."""
    if not find_binaries():
        pytest.exit(NO_SERVER, returncode=1)


def _ids(parameters: list[tuple[str, Protocol]]) -> list[str]:
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
    """Give every real server by both protocols, emptied."""
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


@pytest.fixture
def fake() -> Backend:
    """Give a fakeredis of this test's own."""
    return Backend("fakeredis", 2, None)


@pytest.fixture(params=ALL, ids=_ids(ALL))
def backend(request: pytest.FixtureRequest, server_pool: ServerPool) -> Backend:
    """Give fakeredis and every real server by both protocols: for the contract that all of them keep."""
    name, protocol = request.param
    return Backend(name, protocol, None if name == "fakeredis" else server_pool.get(name))


@pytest.fixture
def namespace() -> str:
    """Make up a namespace that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"
