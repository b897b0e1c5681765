"""`invalidate_access_token`: CRM has rejected a token before its expiry."""

from __future__ import annotations

import pytest

from contract.tokens import by_access, by_user, make_token, refreshed
from zoho_token_store import RedisTokenStore


@pytest.fixture
def saved(store: RedisTokenStore) -> str:
    """Save a fresh record of ada's; return its id."""
    token = make_token("ada", refresh="rt", access="at")
    store.save_token(token)
    return str(token.get_id())


@pytest.mark.parametrize("access_token", [None, "at"])
def test_the_next_find_refreshes(store: RedisTokenStore, other: RedisTokenStore, saved: str, access_token) -> None:
    """The rejected token is gone for every process, the record is not, and one worker is elected."""
    store.invalidate_access_token(saved, access_token)
    assert other.find_token(by_access("at")) is None
    found = other.find_token(by_user("ada"))
    assert (found.get_access_token(), found.get_refresh_token()) == (None, "rt")
    assert store.stats()["invalidations"] == 1


def test_a_second_report_does_not_end_the_successor(store: RedisTokenStore, other: RedisTokenStore, saved: str) -> None:
    """Two workers were rejected with one token; after the first one's refresh the second one's report is void."""
    store.invalidate_access_token(saved, "at")
    store.save_token(refreshed(store.find_token_by_id(saved), "at2"))
    other.invalidate_access_token(saved, "at")
    assert other.find_token_by_id(saved).get_access_token() == "at2"
    assert other.stats()["invalidations"] == 0


def test_a_save_with_an_old_object_does_not_bring_it_back(
    store: RedisTokenStore, other: RedisTokenStore, saved: str
) -> None:
    """A worker that still holds the rejected token and saves another field does not store it again."""
    held = other.find_token_by_id(saved)
    store.invalidate_access_token(saved, "at")
    held.set_api_domain("https://d")
    other.save_token(held)
    stored = store.get(saved)
    assert (stored.get_access_token(), stored.get_api_domain()) == (None, "https://d")


@pytest.mark.parametrize("id", ["never-seen", "deleted"])
def test_without_a_record_nothing_happens(store: RedisTokenStore, saved: str, id: str) -> None:
    """An unknown or deleted id is no error: there is nothing left to reject."""
    if id == "deleted":
        store.delete_token(saved)
        id = saved
    store.invalidate_access_token(id)
    assert store.stats()["invalidations"] == 0


def test_an_access_token_only_record_goes(store: RedisTokenStore, wait_for) -> None:
    """Without a refresh token nothing is left of the record."""
    token = make_token("ada", access="at")
    store.save_token(token)
    store.invalidate_access_token(token.get_id(), "at")
    assert store.get(token.get_id()) is None
    assert store.find_token(by_user("ada")) is None
    assert store.get_tokens() == []
