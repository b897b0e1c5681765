"""First saves, updates, merges and deletions at the same moment: one record, whoever comes first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from contract.tokens import OTHER_CLIENT, by_user, make_token, user_of
from zoho_token_store import RedisTokenStore, TokenDeleted

WORKERS = 6


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run calls in threads that start together; return their results, an error as itself."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(10)
        try:
            return call()
        except TokenDeleted as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture
def stores(make_store) -> list[RedisTokenStore]:
    """Return stores that are connected, so that a race is about the save alone."""
    made = [make_store() for _ in range(WORKERS)]
    for store in made:
        store.ping()
    return made


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(lambda n: {"user": "ada", "refresh": f"rt{n}"}, id="one user, six logins"),
        pytest.param(lambda n: {"user": "ada", "access": f"at{n}"}, id="one user, access tokens only"),
        pytest.param(lambda n: {"refresh": "rt", "access": f"at{n}"}, id="one refresh token"),
        pytest.param(lambda n: {"grant": "gt", "refresh": f"rt{n}"}, id="one grant code"),
        pytest.param(lambda n: {"user": "ada" if n % 2 else None, "refresh": "rt"}, id="named and nameless"),
        pytest.param(
            lambda n: {"user": "ada", "client_id": "1000.ONE" if n % 2 else None, "refresh": "rt"},
            id="with and without client",
            marks=pytest.mark.undivided,
        ),
        pytest.param(lambda n: {"id": "chosen", "user": "ada", "refresh": f"rt{n}"}, id="one chosen id"),
        pytest.param(lambda n: {"id": f"chosen{n}", "user": "ada", "refresh": f"rt{n}"}, id="six chosen ids"),
    ],
)
def test_first_saves_at_once_make_one_record(stores: list[RedisTokenStore], fields) -> None:
    """Six processes save the same grant for the first time: one record, and all six objects have its id."""
    tokens = [make_token(**fields(number)) for number in range(WORKERS)]
    at_once([lambda s=store, t=token: s.save_token(t) for store, token in zip(stores, tokens, strict=True)])
    (record,) = stores[0].get_tokens()
    assert {token.get_id() for token in tokens} == {record.get_id()}


def test_two_clients_at_once_are_two_records(stores: list[RedisTokenStore]) -> None:
    """The same user under two clients, all at once: a record for each client, and neither has the other's token."""
    tokens = [
        make_token("ada", client_id=OTHER_CLIENT, refresh=f"two{n}") if n % 2 else make_token("ada", refresh=f"one{n}")
        for n in range(WORKERS)
    ]
    at_once([lambda s=store, t=token: s.save_token(t) for store, token in zip(stores, tokens, strict=True)])
    records = {token.get_client_id(): token for token in stores[0].get_tokens()}
    assert len(stores[0].get_tokens()) == len(records) == 2
    assert records[OTHER_CLIENT].get_refresh_token().startswith("two")
    assert records["1000.ONE"].get_refresh_token().startswith("one")


def test_names_learnt_at_once_merge(stores: list[RedisTokenStore]) -> None:
    """Six nameless records of one user learn the name at the same moment: one record is left, all ids lead to it."""
    tokens = [make_token(refresh=f"rt{number}", access=f"at{number}") for number in range(WORKERS)]
    for token in tokens:
        stores[0].save_token(token)
    ids = [token.get_id() for token in tokens]
    at_once(
        [lambda s=store, i=id: s.save_token(make_token("ada", id=i)) for store, id in zip(stores, ids, strict=True)]
    )
    (record,) = stores[0].get_tokens()
    assert user_of(record) == "ada"
    assert {stores[1].get(id).get_id() for id in ids} == {record.get_id()}
    for number in range(WORKERS):
        assert stores[2].find_token(make_token(refresh=f"rt{number}")).get_id() == record.get_id()


def test_different_fields_at_once_are_all_stored(stores: list[RedisTokenStore]) -> None:
    """Workers that each change another field of one record lose none of the changes."""
    stores[0].save_token(make_token("ada", refresh="rt", access="at"))
    held = [store.find_token(by_user("ada")) for store in stores[:3]]
    held[0].set_api_domain("https://d")
    held[1].set_redirect_url("https://r")
    held[2].set_client_secret("rotated")
    at_once([lambda s=store, t=token: s.save_token(t) for store, token in zip(stores, held, strict=False)])
    now = stores[3].find_token(by_user("ada"))
    assert (now.get_api_domain(), now.get_redirect_url(), now.get_client_secret()) == (
        "https://d",
        "https://r",
        "rotated",
    )


def test_a_deletion_among_saves_is_final(stores: list[RedisTokenStore]) -> None:
    """While five workers save a record one deletes it: it is gone, whichever save came first."""
    token = make_token("ada", refresh="rt", access="at")
    stores[0].save_token(token)
    id = token.get_id()
    saves = [
        lambda s=store, n=number: s.save_token(make_token("ada", id=id, access=f"at{n}"))
        for number, store in enumerate(stores[1:])
    ]
    at_once([lambda: stores[0].delete_token(id), *saves])
    assert stores[1].get_tokens() == []
    assert stores[1].find_token(by_user("ada")) is None


def test_deletions_at_once(stores: list[RedisTokenStore]) -> None:
    """Several processes empty the namespace at the same time, and nothing is left or goes wrong."""
    for number in range(12):
        stores[0].save_token(make_token(f"user{number}", refresh=f"rt{number}"))
    at_once([store.delete_tokens for store in stores])
    assert stores[0].get_tokens() == []
    assert sum(store.stats()["deletes"] for store in stores) == 12
