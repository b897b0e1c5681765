"""Stores for the contract suite, on each back end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from conftest import ALL, LIMITED, backends, find_backend
from contract.aging import Aging
from servers import Backend, Protocol, ServerPool, newest_binary
from zoho_token_store import AesGcmCipher, RedisTokenStore
from zoho_token_store.codec import Codec, SealedCodec
from zoho_token_store.keyring import new_key

MakeStore = Callable[..., RedisTokenStore]

SEALED: tuple[str, Protocol] = ("sealed", 3)
"""The newest server, for stores that seal all they can: whatever else they promise holds for them too."""

READABLE = backends(*ALL, *LIMITED)


@pytest.fixture(params=[*READABLE, pytest.param(SEALED, id=f"{SEALED[0]}-resp{SEALED[1]}")])
def backend(request: pytest.FixtureRequest, server_pool: ServerPool, namespace: str) -> Iterator[Backend]:
    """Give every back end, one under the workers' ACL, and one for stores with keys."""
    if request.param == SEALED:
        yield Backend(*SEALED, server_pool.get(newest_binary().name))
        return
    with find_backend(request, namespace) as made:
        yield made


@pytest.fixture(params=READABLE)
def readable_backend(request: pytest.FixtureRequest, namespace: str) -> Iterator[Backend]:
    """Give every back end for stores without keys, where a test is about what lies there in the clear."""
    with find_backend(request, namespace) as made:
        yield made


@pytest.fixture(scope="session")
def keys() -> dict[str, Any]:
    """Return the options of a store that seals all that it can."""
    return {
        "cipher": AesGcmCipher([new_key()]),
        "encrypt_identity": True,
        "pointer_keys": [new_key(), "plain"],
    }


@pytest.fixture
def make_store(backend: Backend, keys: dict[str, Any], namespace: str) -> Iterator[MakeStore]:
    """Make stores in the test's namespace; each stands for a process of its own."""
    standard = keys if backend.name.startswith("sealed") else {}
    with ExitStack() as stack:

        def make(namespace: str = namespace, **options: Any) -> RedisTokenStore:
            backend.admit(namespace)
            options = standard | options
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
def codec(backend: Backend, keys: dict[str, Any], namespace: str) -> Codec:
    """Return how the stores of the test write records, to look underneath."""
    if not backend.name.startswith("sealed"):
        return Codec()
    return SealedCodec(keys["cipher"], namespace, hides_identity=True, takes_readable=False)


@pytest.fixture
def aging(raw: Any, codec: Codec, namespace: str) -> Aging:
    """Return what makes access tokens old."""
    return Aging(raw, codec, namespace)


@pytest.fixture
def raw(backend: Backend, namespace: str) -> Iterator[Any]:
    """Return a client that looks underneath, where the test's namespace lives, and answers with text."""
    client = backend.inside(namespace, decode_responses=True)
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
