"""Stores for the contract suite, on each back end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import ALL, EVERYTHING, LIMITED, backends, find_backend
from contract.local import LOCAL, PARTITIONED, PARTITIONS, LocalPlace, PartitionedPlace, make_place
from contract.underneath import Underneath, UnderPartitions, UnderRedis, UnderTables
from servers import Backend, Protocol, ServerPool, newest_binary
from zoho_token_store import AesGcmCipher, CoordinatedTokenStore, RedisTokenStore
from zoho_token_store.codec import Codec, SealedCodec
from zoho_token_store.keyring import new_key

MakeStore = Callable[..., CoordinatedTokenStore]

SEALED: tuple[str, Protocol] = ("sealed", 3)
"""The newest server, for stores that seal all they can: whatever else they promise holds for them too."""

# Under an ACL the newest server does all that it does without: that again is for the matrix.
READABLE = backends(*(place for place in ALL if EVERYTHING or place != ALL[-1]), *LIMITED)

LOCALS = [pytest.param((name, 0), id=name) for name in LOCAL]
EVERY = [*READABLE, pytest.param(SEALED, id=f"{SEALED[0]}-resp{SEALED[1]}"), *LOCALS]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what looks into Redis where a store keeps its tokens elsewhere, and what partitions do not do."""
    left_out = {item for item in items if _is_left_out(item, _parameter(item)[0])}
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


def _is_left_out(item: pytest.Item, place: str) -> bool:
    is_undivided = item.get_closest_marker("undivided") is not None
    return (place in LOCAL and _looks_into_redis(item)) or (place in PARTITIONED and is_undivided)


def _looks_into_redis(item: pytest.Item) -> bool:
    information = getattr(item, "_fixtureinfo", None)
    if information is None:
        return False
    asked = {*information.argnames} & {"backend"} or {*information.names_closure} & {"raw", "codec"}
    return bool(asked) or item.get_closest_marker("redis") is not None


def _parameter(item: pytest.Item) -> Any:
    return getattr(getattr(item, "callspec", None), "params", {}).get("backend") or ("", 0)


@pytest.fixture(params=EVERY)
def backend(
    request: pytest.FixtureRequest, server_pool: ServerPool, namespace: str, tmp_path: Path
) -> Iterator[Backend | LocalPlace]:
    """Give every back end, with the workers' ACL too and for stores with keys, and places that need no server."""
    with make_backend(request, server_pool, namespace, tmp_path) as made:
        yield made


@contextmanager
def make_backend(
    request: pytest.FixtureRequest, server_pool: ServerPool, namespace: str, folder: Path
) -> Iterator[Backend | LocalPlace]:
    """Provide the back end that a parameter of the test names."""
    if request.param[0] in LOCAL:
        yield make_place(request.param[0], folder, lambda: server_pool.get(newest_binary().name))
    elif request.param == SEALED:
        yield Backend(*SEALED, server_pool.get(newest_binary().name))
    else:
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
def make_store(backend: Backend | LocalPlace, keys: dict[str, Any], namespace: str) -> Iterator[MakeStore]:
    """Make stores in the test's namespace; each stands for a process of its own."""
    standard = keys if "sealed" in backend.name else {}
    with ExitStack() as stack:

        def make(namespace: str = namespace, **options: Any) -> Any:
            options = standard | options
            if isinstance(backend, Backend):
                backend.admit(namespace)
                return stack.enter_context(RedisTokenStore(backend.client(), namespace, **options))
            return stack.enter_context(backend.store(namespace, **options))

        yield make


@pytest.fixture
def store(make_store: MakeStore) -> CoordinatedTokenStore:
    """Return a store."""
    return make_store()


@pytest.fixture
def fake_store(fake: Backend, namespace: str) -> Iterator[RedisTokenStore]:
    """Return a store on fakeredis, for what is decided before anything reaches a server."""
    with RedisTokenStore(fake.client(), namespace) as made:
        yield made


@pytest.fixture
def other(make_store: MakeStore) -> CoordinatedTokenStore:
    """Return the store of another process in the same namespace."""
    return make_store()


@pytest.fixture
def codec(backend: Backend, keys: dict[str, Any], namespace: str) -> Codec:
    """Return how the stores of the test write records, to look underneath."""
    if not backend.name.startswith("sealed"):
        return Codec()
    return SealedCodec(keys["cipher"], namespace, hides_identity=True, takes_readable=False)


@pytest.fixture
def underneath(backend: Backend | LocalPlace, namespace: str, request: pytest.FixtureRequest) -> Underneath:
    """Return what sees and changes what is stored, past the store."""
    if isinstance(backend, Backend):
        return UnderRedis(request.getfixturevalue("raw"), request.getfixturevalue("codec"), namespace)
    store = request.getfixturevalue("make_store")()
    if not isinstance(backend, PartitionedPlace):
        return UnderTables(store._repository._database)
    if backend.server is None:
        inside: list[Underneath] = [UnderTables(each._repository._database) for each in store.stores]
    else:
        client = backend.server.client(decode_responses=True)
        inside = [UnderRedis(client, Codec(), f"{namespace}.{number}") for number in range(PARTITIONS)]
    return UnderPartitions(inside, store._partitions.with_id)


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
