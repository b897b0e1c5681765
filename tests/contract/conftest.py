"""Stores for the contract suite, on each back end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from servers import Backend
from zoho_token_store import RedisTokenStore

MakeStore = Callable[..., RedisTokenStore]


@pytest.fixture
def make_store(backend: Backend, namespace: str) -> Iterator[MakeStore]:
    """Make stores in the test's namespace; each stands for a process of its own."""
    with ExitStack() as stack:

        def make(namespace: str = namespace, **options: Any) -> RedisTokenStore:
            return stack.enter_context(RedisTokenStore(backend.client(), namespace, **options))

        yield make


@pytest.fixture
def store(make_store: MakeStore) -> RedisTokenStore:
    """Return a store."""
    return make_store()


@pytest.fixture
def fake_store(fake: Backend, namespace: str) -> Iterator[RedisTokenStore]:
    """Return a store on fakeredis, for what is decided before anything reaches a server."""
    with RedisTokenStore(fake.client(), namespace) as made:
        yield made


@pytest.fixture
def other(make_store: MakeStore) -> RedisTokenStore:
    """Return the store of another process in the same namespace."""
    return make_store()


@pytest.fixture
def raw(backend: Backend) -> Iterator[Any]:
    """Return a client that looks underneath and answers with text."""
    client = backend.client(decode_responses=True)
    yield client
    client.close()


@pytest.fixture
def wait_for() -> Callable[[Callable[[], Any]], Any]:
    """Return a function that waits until something is true, and fails after 10 s."""

    def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 10
        while not (outcome := condition()):
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.005)
        return outcome

    return wait
