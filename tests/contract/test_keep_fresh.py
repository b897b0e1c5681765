"""``keep_fresh``: what is due is refreshed before any worker would, and everything else is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from contract.conftest import MakeStore
from contract.tokens import HOUR, make_token, seconds_left
from contract.underneath import Underneath
from zoho_token_store import ConfigurationError, InvalidToken, RedisTokenStore
from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import DataCenter

DUE = HOUR - 500
"""An age at which a token of an hour is due for a keeper (600 s before its end), and for no worker (300 s)."""


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """Run a stand-in with Zoho's real limits."""
    with FakeZoho() as zoho:
        yield zoho


@pytest.fixture
def environment(zoho: FakeZoho) -> Any:
    """Return where the tokens are refreshed."""
    where = (zoho.url, f"{zoho.url}/oauth/v2/token", zoho.url)
    try:
        return DataCenter.Environment(*where)
    except TypeError:  # SDK 5.0 wants a name
        return DataCenter.Environment(*where, "stand-in")


@pytest.fixture
def keeper(make_store: MakeStore, environment: Any) -> RedisTokenStore:
    """Return a store that keeps tokens fresh."""
    return make_store(refresh="managed", environment=environment)


@pytest.fixture
def log_in(store: RedisTokenStore, zoho: FakeZoho, underneath: Underneath) -> Callable[..., str]:
    """Store a token of an hour that Zoho knows, as old as is asked for; return its id."""

    def log_in(user: str, age: float) -> str:
        refresh = zoho.issue_refresh_token()
        client = {"client_id": zoho.client_id, "secret": zoho.client_secret}
        token = make_token(user, refresh=refresh, access=zoho.issue_access_token(refresh), **client)
        store.save_token(token)
        underneath.leave(token.get_id(), HOUR - age)
        return str(token.get_id())

    return log_in


def left(store: RedisTokenStore, record_id: str) -> float:
    """Return how long the access token of a record lives, without any effect on it."""
    return seconds_left(store.get(record_id))


def test_what_is_due_is_refreshed_and_the_rest_is_not(keeper: RedisTokenStore, zoho: FakeZoho, log_in) -> None:
    """Before any worker would, also when nothing usable is left; a young token stays as it is."""
    due, ended, young = log_in("ada", DUE), log_in("grace", HOUR + 1), log_in("alan", 10)
    keeper.keep_fresh()
    assert zoho.counters.refreshes == 2
    assert left(keeper, due) > HOUR - 60
    assert left(keeper, ended) > HOUR - 60
    assert left(keeper, young) <= HOUR - 10
    keeper.keep_fresh()
    assert zoho.counters.refreshes == 2
    assert keeper.stats()["refreshes"] == 2


def test_no_worker_has_found_it_due(keeper: RedisTokenStore, make_store, environment: Any, log_in) -> None:
    """At that age a worker goes on with the token and asks nobody, and with the new one after that."""
    record_id = log_in("ada", DUE)
    worker = make_store(refresh="managed", environment=environment)
    worker.find_token_by_id(record_id)
    keeper.keep_fresh()
    assert seconds_left(worker.find_token_by_id(record_id)) > HOUR - 60
    assert worker.stats()["leases"] == 0


def test_only_the_chosen_ones(keeper: RedisTokenStore, zoho: FakeZoho, log_in) -> None:
    """Others stay as they are, an id that is not there is left out, and one that cannot be is an error."""
    chosen, other = log_in("ada", DUE), log_in("grace", DUE)
    keeper.keep_fresh([chosen, "not-there"])
    assert zoho.counters.refreshes == 1
    assert left(keeper, chosen) > HOUR - 60
    assert left(keeper, other) <= HOUR - DUE
    with pytest.raises(InvalidToken):
        keeper.keep_fresh(["no id"])
    keeper.keep_fresh([])
    assert zoho.counters.refreshes == 1


def test_a_rejected_token_is_not_offered_again(keeper: RedisTokenStore, zoho: FakeZoho, log_in) -> None:
    """Zoho is asked once; the record stays, and the others are refreshed."""
    record_id, other = log_in("ada", DUE), log_in("grace", DUE)
    zoho.accounts.revoke(keeper.get(record_id).get_refresh_token())
    for _ in range(3):
        keeper.keep_fresh()
    assert zoho.counters.rejected == 1
    assert keeper.stats()["refreshes_rejected"] == 1
    assert keeper.get(record_id) is not None
    assert left(keeper, other) > HOUR - 60


def test_a_token_that_cannot_be_refreshed_is_left_alone(keeper: RedisTokenStore, zoho: FakeZoho) -> None:
    """An access token alone ends by itself."""
    keeper.save_token(make_token(access="at", left=5, client_id=None, secret=None))
    assert keeper.keep_fresh() == 60
    assert keeper.stats()["leases"] == 0
    assert zoho.requests == ()


def test_a_failure_ends_nothing_but_its_own_refresh(keeper: RedisTokenStore, zoho: FakeZoho, log_in) -> None:
    """It is counted; others are refreshed, and while the fleet pauses Zoho is not asked for that one again."""
    first, second = log_in("ada", DUE), log_in("grace", DUE)
    zoho.accounts.revoke(keeper.get(second).get_refresh_token())
    zoho.faults.fail_next(times=None, status=503)
    keeper.keep_fresh([first])
    zoho.faults.clear()
    asked = len(zoho.requests)
    assert keeper.stats()["refreshes_failed"] == asked > 0
    third = log_in("alan", DUE)
    keeper.keep_fresh([first, third])
    assert zoho.counters.refreshes == 1
    assert left(keeper, third) > HOUR - 60
    assert left(keeper, first) <= HOUR - DUE


def test_two_at_once_elect(keeper: RedisTokenStore, make_store, environment: Any, zoho: FakeZoho, log_in) -> None:
    """One asks Zoho for each token; nobody waits for it, since the old one can be used."""
    log_in("ada", DUE)
    zoho.faults.set(latency=0.3)
    keepers = [keeper, make_store(refresh="managed", environment=environment)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda each: each.keep_fresh(), keepers))
    assert zoho.counters.refreshes == 1
    assert sum(each.stats()["leases"] for each in keepers) == 1
    assert sum(each.stats()["waits"] for each in keepers) == 0


def test_the_answer_is_when_the_next_one_is_due(keeper: RedisTokenStore, log_in) -> None:
    """A minute at the most, since new ones may come."""
    assert keeper.keep_fresh() == 60
    log_in("ada", 0)
    assert keeper.keep_fresh() == 60
    log_in("grace", HOUR - 640)
    assert 35 < keeper.keep_fresh() <= 40


def test_the_answer_counts_what_was_just_refreshed(keeper: RedisTokenStore, zoho: FakeZoho, log_in) -> None:
    """Tokens that live 30 s are due again after 15, and for a worker after 20."""
    log_in("ada", DUE)
    zoho.accounts.limits = zoho.accounts.limits.__class__(access_token_ttl=30)
    assert 10 < keeper.keep_fresh() <= 15


def test_a_store_that_leaves_refreshes_to_the_sdk_cannot(store: RedisTokenStore) -> None:
    """It says which option it takes."""
    with pytest.raises(ConfigurationError, match="managed") as caught:
        store.keep_fresh()
    assert caught.value.option == "refresh"
