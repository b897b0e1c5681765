"""One request or one reply is lost, in each place of each operation: the outcome is as if nothing had been."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration.desk import describe, make_token
from integration.losses import Lost, NthFault, dump, each_message
from servers import Server
from zoho_token_store import RedisTokenStore
from zoho_token_store.zoho_sdk import OAuthToken

CLIENT = {"client_id": "client", "client_secret": "secret"}
Operation = Callable[[RedisTokenStore, Any], Any]
Preparation = Callable[[RedisTokenStore], Any]


def full_token(**changes: Any) -> Any:
    """Return a token with every selector, and with an hour to live."""
    token = make_token(**({"user": "ada", "refresh_token": "refresh", "access_token": "access"} | CLIENT | changes))
    token.set_expires_in(str(int((time.time() + 3600) * 1000)))
    return token


def nothing(_: RedisTokenStore) -> None:
    """Start from an empty namespace."""


def stored(store: RedisTokenStore) -> Any:
    """Start with one record that has an access token."""
    token = full_token()
    store.save_token(token)
    return token


def due(store: RedisTokenStore) -> Any:
    """Start with one record that has no access token."""
    token = full_token(access_token=None)
    store.save_token(token)
    return token


def leased(store: RedisTokenStore) -> Any:
    """Start with one record that this store has the lease of."""
    return store.find_token_by_id(due(store).get_id())


def claimed(store: RedisTokenStore) -> Any:
    """Start with a grant code that this store has the lease of."""
    token = full_token(access_token=None, refresh_token=None, grant_token="code")
    assert store.find_token(token) is None
    return token


def two_records(store: RedisTokenStore) -> Any:
    """Start with two records that turn out to be one grant."""
    store.save_token(full_token(access_token=None))
    time.sleep(0.002)  # of two that were made in one millisecond, either may stay
    token = full_token(user=None, refresh_token="other refresh", access_token="other access")
    store.save_token(token)
    return token


def refreshed(token: Any) -> Any:
    """Do to a token what the SDK's refresh does."""
    token.set_access_token("new access")
    token.set_expires_in(str(int((time.time() + 3600) * 1000)))
    return token


def named(token: Any) -> Any:
    """Do to a token what the SDK does when it has asked for the user."""
    token.set_user_signature(full_token().get_user_signature())
    return token


def find_after(store: RedisTokenStore, token: Any) -> Any:
    """Look up by user name what was saved before."""
    return store.find_token(make_token(user="ada", **CLIENT))


OPERATIONS: dict[str, tuple[Preparation, Operation]] = {
    "find that leases, by id": (due, lambda store, token: store.find_token_by_id(token.get_id())),
    "find that leases, by user": (due, find_after),
    "find that leases a code": (nothing, lambda store, _: store.find_token(make_token(grant_token="code", **CLIENT))),
    "find of a fresh token": (stored, find_after),
    "save of a new record": (nothing, lambda store, _: store.save_token(full_token())),
    "save of an access token alone": (
        nothing,
        lambda store, _: store.save_token(full_token(user=None, refresh_token=None)),
    ),
    "save with a lease": (leased, lambda store, token: store.save_token(refreshed(token))),
    "save of a spent code": (claimed, lambda store, token: store.save_token(refreshed(token))),
    "save of an existing record": (stored, lambda store, token: store.save_token(refreshed(token))),
    "save without baseline": (stored, lambda store, _: store.save_token(refreshed(full_token()))),
    "save that merges two records": (two_records, lambda store, token: store.save_token(named(token))),
    "delete": (stored, lambda store, token: store.delete_token(token.get_id())),
    "delete all": (two_records, lambda store, _: store.delete_tokens()),
    "invalidate": (stored, lambda store, token: store.invalidate_access_token(token.get_id(), "access")),
    "release": (leased, lambda store, _: store.close()),
    "get": (stored, lambda store, token: store.get(token.get_id())),
    "get all": (stored, lambda store, _: store.get_tokens()),
}


def plain(answer: Any) -> Any:
    """Return an answer without what differs from run to run."""
    if isinstance(answer, list):
        return [plain(token) for token in answer]
    if not isinstance(answer, OAuthToken):
        return answer
    fields = describe(answer) or {}
    return {name: value for name, value in fields.items() if name not in ("id", "expires_in")}


def run(proxy: NthFault, server: Server, steps: tuple[Preparation, Operation], lost: Lost, before: int) -> Any:
    """Carry out an operation in a namespace of its own while one message is lost; return answer and what is stored."""
    prepare, operate = steps
    namespace = f"test-{uuid.uuid4().hex[:12]}"
    with RedisTokenStore.from_url(proxy.url, namespace) as store:
        token = prepare(store)
        proxy.lose(lost, before)
        answer = plain(operate(store, token))
        missed = proxy.lost
        with server.client(decode_responses=True) as client:
            after = dump(client, namespace)
        counts = {name: store.stats()[name] for name in ("late_saves", "leases", "takeovers", "waits")}
    return answer, after, counts, missed


@pytest.fixture
def proxy(real_server: Server) -> Iterator[NthFault]:
    """Stand between the store and the server."""
    with NthFault(real_server) as proxy:
        with RedisTokenStore.from_url(proxy.url, "warm") as store:  # the server knows all scripts from here on
            leased(store)
            store.get_tokens()
        yield proxy


@pytest.mark.parametrize("lost", ["request", "reply"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_lost_message_changes_nothing(proxy: NthFault, real_server: Server, name: str, lost: Lost) -> None:
    """Whichever message of the operation is lost, its answer, its counters and all that is stored are the same."""
    steps = OPERATIONS[name]
    *expected, _ = run(proxy, real_server, steps, lost, 10**6)
    for before in each_message():
        *outcome, missed = run(proxy, real_server, steps, lost, before)
        assert outcome == expected, f"message {before}"
        if missed == 0:
            assert before > 0, "the operation sends no message"
            return
    raise AssertionError("the operation does not come to an end")
