"""Stores in three settings, for whoever would attack them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from conftest import EVERYTHING, REAL
from contract.conftest import wait_for  # noqa: F401 - a fixture
from security.town import Attacker, Town
from servers import Backend, ServerPool
from zoho_token_store import AesGcmCipher, RedisTokenStore
from zoho_token_store.keyring import new_key

# Nothing in an attack depends on the server's age.
PLACES = REAL if EVERYTHING else REAL[-1:]

SEALED = {"cipher": AesGcmCipher([new_key()])}
SETTINGS: dict[str, dict[str, Any]] = {
    "clear": {},
    "sealed": SEALED,
    "hidden": {**SEALED, "encrypt_identity": True, "pointer_keys": [new_key(), "plain"]},
}
"""The options of stores without keys, with the identity readable, and with all that can be hidden."""

BRIEF = {"lease_ttl": 0.1, "wait_timeout": 0.2, "operation_timeout": 0.4, "tombstone_ttl": 3600.0}
"""So that an attack that only holds things up is over soon."""


@pytest.fixture(params=PLACES, ids=[f"{name}-resp{protocol}" for name, protocol in PLACES])
def backend(request: pytest.FixtureRequest, server_pool: ServerPool) -> Backend:
    """Give the servers."""
    name, protocol = request.param
    return Backend(name, protocol, server_pool.get(name))


@pytest.fixture
def make_town(backend: Backend) -> Iterator[Callable[..., Town]]:
    """Make namespaces with a few users' tokens in them; the options are those of their stores."""
    with ExitStack() as stack:
        raw = stack.enter_context(backend.client(decode_responses=False))

        def make(setting: str, namespace: str, **options: Any) -> Town:
            settings = {**BRIEF, **SETTINGS[setting], **options}

            def open_store(**more: Any) -> RedisTokenStore:
                return stack.enter_context(RedisTokenStore(backend.client(), namespace, **{**settings, **more}))

            return Town(open_store, Attacker(raw, namespace, settings))

        yield make
