"""Three leases in a row without a save: the fleet cools down instead of hammering a dead endpoint."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.tokens import by_user, make_token, refreshed
from contract.underneath import Underneath
from zoho_token_store import RedisTokenStore, RefreshFailing


@pytest.fixture
def due(store: RedisTokenStore) -> str:
    """Save a record whose access token is due; return its id."""
    token = make_token("ada", refresh="rt", access="at1", left=5)
    store.save_token(token)
    return str(token.get_id())


def fail(store: RedisTokenStore, id: str, times: int = 3) -> None:
    """Take the lease and never save; the same thread asking again says that its refresh has failed."""
    for _ in range(times):
        assert store.find_token_by_id(id).get_access_token() is None


def test_after_three_leases_the_fleet_cools_down(store: RedisTokenStore, other: RedisTokenStore, due: str) -> None:
    """The fourth look-up, in the failing process and in every other, is told when to come again."""
    fail(store, due)
    for each in (store, other):
        with pytest.raises(RefreshFailing) as caught:
            each.find_token_by_id(due)
        assert caught.value.record_id == due
        assert 0 < caught.value.retry_at - time.time() <= 5
        assert each.stats()["failing"] == 1
    with pytest.raises(RefreshFailing):
        other.find_token(by_user("ada"))


def test_two_failures_are_not_enough(store: RedisTokenStore, due: str) -> None:
    """The third lease is given, and its save ends the count."""
    fail(store, due, 2)
    token = store.find_token_by_id(due)
    store.save_token(refreshed(token, "at2", left=5))
    assert store.stats()["takeovers"] == 2
    fail(store, due, 3)
    with pytest.raises(RefreshFailing):
        store.find_token_by_id(due)


def test_failures_of_several_processes_add_up(make_store, due: str) -> None:
    """Three workers that fail one after another are enough, each without asking again."""
    for _ in range(3):
        assert make_store(lease_ttl=0.1).find_token_by_id(due).get_access_token() is None
    with pytest.raises(RefreshFailing):
        make_store(lease_ttl=0.1).find_token_by_id(due)


def test_a_usable_token_is_used_during_the_pause(store: RedisTokenStore, underneath: Underneath, due: str) -> None:
    """While the old token can still be used, the fleet uses it instead of failing."""
    fail(store, due)
    underneath.leave(due, 10, life=3600)
    assert store.find_token_by_id(due).get_access_token() == "at1"


def test_any_save_ends_the_pause(store: RedisTokenStore, other: RedisTokenStore, due: str) -> None:
    """A worker that gets a token after all, by a new login say, ends the cool-down for all."""
    fail(store, due)
    other.save_token(make_token("ada", refresh="rt2", access="at2"))
    assert store.find_token_by_id(due).get_access_token() == "at2"


def test_after_the_pause_one_tries_again_and_the_pauses_grow(
    store: RedisTokenStore, other: RedisTokenStore, due: str, underneath: Underneath
) -> None:
    """When the pause is over one lease is given; the next failure gives a pause twice as long."""
    fail(store, due)
    with pytest.raises(RefreshFailing):
        store.find_token_by_id(due)
    underneath.end_pause(due)
    fail(store, due, 1)
    with pytest.raises(RefreshFailing) as caught:
        store.find_token_by_id(due)
    assert 5 < caught.value.retry_at - time.time() <= 10


def test_those_who_wait_are_told_at_once(store: RedisTokenStore, other: RedisTokenStore, due: str, wait_for) -> None:
    """A worker that waits behind the third failing lease is woken by the cool-down, not by its own timeout."""
    fail(store, due)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.find_token_by_id, due)
        wait_for(lambda: other.stats()["waits"])
        with pytest.raises(RefreshFailing):
            store.find_token_by_id(due)
        with pytest.raises(RefreshFailing):
            waiting.result(6)


def test_another_record_is_not_concerned(store: RedisTokenStore, due: str) -> None:
    """One user's dead refresh token does not stop the others."""
    grace = make_token("grace", refresh="rt-grace", access="at", left=5)
    store.save_token(grace)
    fail(store, due)
    with pytest.raises(RefreshFailing):
        store.find_token_by_id(due)
    assert store.find_token_by_id(grace.get_id()).get_access_token() is None


def test_a_credential_without_record_cools_down_too(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """A boot on a code that Zoho refuses is given up after three tries."""
    for _ in range(3):
        assert store.find_token(make_token(grant="gt")) is None
    for each in (store, other):
        with pytest.raises(RefreshFailing) as caught:
            each.find_token(make_token(grant="gt"))
        assert caught.value.record_id is None
