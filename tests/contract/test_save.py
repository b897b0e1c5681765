"""`save_token`: what is updated, what is made, and what stays."""

from __future__ import annotations

import pytest

from contract.tokens import CLIENT, by_access, by_user, contents, make_token, refreshed, user_of
from zoho_token_store import InvalidToken, RedisTokenStore
from zoho_token_store.zoho_sdk import SDKException


def count(store: RedisTokenStore) -> int:
    return len(store.get_tokens())


def test_a_first_save_makes_a_record_and_sets_its_id(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """The object gets an id under which every process finds it."""
    token = make_token("ada", refresh="rt", access="at")
    store.save_token(token)
    assert token.get_id()
    assert contents(other.find_token_by_id(token.get_id())) == contents(token)


def test_ids_are_never_used_again(store: RedisTokenStore) -> None:
    """The next user does not get a deleted user's id."""
    ids = set()
    for user in ("ada", "grace", "ada"):
        token = make_token(user, refresh=f"rt {user} {len(ids)}")
        store.save_token(token)
        ids.add(token.get_id())
        store.delete_token(token.get_id())
    assert len(ids) == 3


@pytest.mark.parametrize(
    "again",
    [
        {"user": "ada"},
        {"user": "ada", "refresh": "rt"},
        {"refresh": "rt"},
        {"grant": "gt"},
        {"user": "ada", "client_id": None, "secret": None},
    ],
    ids=["user", "user and refresh token", "refresh token", "grant code", "user without client"],
)
def test_a_save_updates_what_it_matches(store: RedisTokenStore, other: RedisTokenStore, again) -> None:
    """Whatever selector a later save comes with, it updates the one record and is told its id."""
    first = make_token("ada", refresh="rt", grant="gt", access="at")
    store.save_token(first)
    second = make_token(access="at2", **again)
    other.save_token(second)
    assert second.get_id() == first.get_id()
    assert count(store) == 1
    assert store.find_token_by_id(first.get_id()).get_access_token() == "at2"


def test_the_id_goes_first(store: RedisTokenStore) -> None:
    """A token with an id updates that record, although its user name is another's."""
    ada, grace = make_token("ada", refresh="rt1"), make_token("grace", refresh="rt2")
    store.save_token(ada)
    store.save_token(grace)
    store.save_token(make_token("grace", id=ada.get_id(), access="at1"))
    assert store.get(ada.get_id()).get_access_token() == "at1"
    assert user_of(store.get(ada.get_id())) == "ada"
    assert store.get(grace.get_id()).get_access_token() is None


def test_an_access_token_alone_finds_its_record(store: RedisTokenStore) -> None:
    """A token of nothing but an access token updates the record that has it."""
    store.save_token(make_token("ada", refresh="rt", access="at"))
    late = by_access("at")
    late.set_api_domain("https://www.zohoapis.in")
    store.save_token(late)
    assert count(store) == 1
    assert store.get(late.get_id()).get_api_domain() == "https://www.zohoapis.in"


def test_a_chosen_id_is_used(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """A new record goes under the id that the caller chose."""
    store.save_token(make_token("ada", id="tenant-7.ada@example.com", refresh="rt", access="at"))
    assert user_of(other.find_token_by_id("tenant-7.ada@example.com")) == "ada"


def test_a_chosen_id_is_not_a_second_record(store: RedisTokenStore) -> None:
    """Choosing an id for a user that has a record already does not make another."""
    first = make_token("ada", refresh="rt", access="at")
    store.save_token(first)
    second = make_token("ada", id="chosen", access="at2")
    store.save_token(second)
    assert count(store) == 1
    assert second.get_id() == first.get_id()


def test_none_erases_nothing(store: RedisTokenStore) -> None:
    """A save with nothing but an id and an access token leaves all other fields."""
    full = {"refresh": "rt", "grant": "gt", "redirect": "https://app/cb", "domain": "https://d"}
    token = make_token("ada", access="at", **full)
    store.save_token(token)
    bare = make_token(id=token.get_id(), client_id=None, secret=None, access="at2")
    store.save_token(bare)
    assert contents(store.get(token.get_id())) == {**contents(token), "access_token": "at2"}


def test_empty_text_erases_nothing(store: RedisTokenStore) -> None:
    """The SDK's empty strings mean the same as None."""
    token = make_token("ada", refresh="rt", access="at")
    store.save_token(token)
    empty = make_token(
        "", id=token.get_id(), client_id="", secret="", refresh="", grant="", access="", redirect="", domain=""
    )
    store.save_token(empty)
    assert contents(store.get(token.get_id())) == contents(token)


def test_without_an_access_token_the_stored_one_stays(store: RedisTokenStore) -> None:
    """A save that brings no access token does not end the one that is stored."""
    token = make_token("ada", refresh="rt", access="at")
    store.save_token(token)
    store.save_token(make_token("ada", redirect="https://new/cb"))
    stored = store.get(token.get_id())
    assert (stored.get_access_token(), stored.get_redirect_url()) == ("at", "https://new/cb")


@pytest.mark.parametrize("token", [make_token("ada"), make_token(id="x"), make_token()], ids=["user", "id", "client"])
def test_nothing_to_store_is_an_error(store: RedisTokenStore, token) -> None:
    """A new token without access, refresh or grant token is refused, as the SDK's stores do, and nothing is written."""
    with pytest.raises(SDKException) as caught:
        store.save_token(token)
    assert isinstance(caught.value, InvalidToken)
    assert caught.value.code == "TOKEN_STORE"
    assert count(store) == 0


def test_saving_twice_is_as_good_as_once(store: RedisTokenStore) -> None:
    """The same object saved again and again stays one record with the same contents."""
    token = make_token("ada", refresh="rt", access="at")
    for _ in range(3):
        store.save_token(token)
    assert [contents(stored) for stored in store.get_tokens()] == [contents(token)]


class TestThreeWay:
    """What a worker changed is written; what it merely held is not."""

    def test_an_old_object_puts_nothing_back(self, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """A worker with an old object saves one field; fields that others have changed since keep their new values."""
        store.save_token(make_token("ada", refresh="rt1", access="at1", redirect="https://old", domain="https://d1"))
        old = other.find_token(by_user("ada"))
        store.save_token(make_token("ada", refresh="rt2", access="at2", redirect="https://new"))
        old.set_api_domain("https://d2")
        other.save_token(old)
        now = contents(store.get(old.get_id()))
        assert (now["refresh_token"], now["redirect_url"], now["api_domain"]) == ("rt2", "https://new", "https://d2")
        assert now["access_token"] == "at2"

    def test_an_access_token_of_the_old_grant_does_not_go_before_the_new(
        self, store: RedisTokenStore, other: RedisTokenStore
    ) -> None:
        """After a new login, a refresh with the old refresh token does not replace the new login's access token."""
        store.save_token(make_token("ada", refresh="rt1", access="at1"))
        old = other.find_token(by_user("ada"))
        store.save_token(make_token("ada", refresh="rt2", access="at2"))
        other.save_token(refreshed(old, "at of rt1"))
        assert store.get(old.get_id()).get_access_token() == "at2"

    def test_a_changed_field_is_written(self, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """What differs from what was handed out is meant: a rotated secret and a new refresh token are stored."""
        store.save_token(make_token("ada", refresh="rt1", access="at1"))
        mine = other.find_token(by_user("ada", CLIENT))
        mine.set_client_secret("rotated")
        other.save_token(refreshed(mine, "at2", refresh="rt2"))
        now = contents(store.get(mine.get_id()))
        assert (now["client_secret"], now["refresh_token"], now["access_token"]) == ("rotated", "rt2", "at2")

    def test_a_saved_object_becomes_the_new_baseline(self, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """An object saved twice writes the second time only what has changed since the first."""
        mine = make_token("ada", refresh="rt1", access="at1")
        store.save_token(mine)
        other.save_token(make_token("ada", refresh="rt2", access="at2"))
        mine.set_api_domain("https://d")
        store.save_token(mine)
        now = store.get(mine.get_id())
        assert (now.get_refresh_token(), now.get_api_domain()) == ("rt2", "https://d")
