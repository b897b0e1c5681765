"""`find_token`: by which selectors, in which order, and what comes back."""

from __future__ import annotations

import pytest

from contract.tokens import (
    CLIENT,
    OTHER_CLIENT,
    SECRET,
    by_access,
    by_user,
    contents,
    make_token,
    seconds_left,
    user_of,
)
from zoho_token_store import AmbiguousToken, InvalidToken, RedisTokenStore, TokenNotFound

FULL = {
    "refresh": "rt",
    "grant": "gt",
    "access": "at",
    "redirect": "https://app/cb",
    "domain": "https://www.zohoapis.eu",
}


@pytest.fixture
def saved(store: RedisTokenStore) -> str:
    """Save a full record of ada's; return its id."""
    token = make_token("ada", **FULL)
    store.save_token(token)
    return str(token.get_id())


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(lambda _: by_user("ada"), id="user"),
        pytest.param(lambda _: by_user("ada", CLIENT), id="user and client"),
        pytest.param(lambda _: by_access("at"), id="access"),
        pytest.param(lambda _: make_token(grant="gt"), id="grant"),
        pytest.param(lambda _: make_token(refresh="rt"), id="refresh"),
        pytest.param(lambda _: make_token(refresh="rt", client_id=None, secret=None), id="refresh without client"),
        pytest.param(lambda id: make_token(id=id, client_id=None, secret=None), id="id"),
    ],
)
def test_each_selector_finds_the_whole_record(other: RedisTokenStore, saved: str, asked) -> None:
    """Each selector alone leads another process to every field of the record."""
    found = other.find_token(asked(saved))
    assert contents(found) == {
        "id": saved,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "refresh_token": "rt",
        "grant_token": "gt",
        "redirect_url": "https://app/cb",
        "api_domain": "https://www.zohoapis.eu",
        "access_token": "at",
        "user": "ada",
    }
    assert 3590 < seconds_left(found) <= 3600


def test_the_passed_object_is_filled(other: RedisTokenStore, saved: str) -> None:
    """The caller's object has the id and all fields afterwards, as with the SDK's own stores."""
    asked = by_user("ada")
    found = other.find_token(asked)
    assert contents(asked) == contents(found)
    assert asked.get_id() == saved
    assert asked.get_expires_in() == found.get_expires_in()


def test_what_the_passed_object_has_is_kept(other: RedisTokenStore, saved: str) -> None:
    """A find fills gaps; the caller's own durable fields stay, a stored access token takes the place of an old one."""
    asked = make_token("ada", access="stale", redirect="https://mine/cb", secret="rotated")
    other.find_token(asked)
    assert (asked.get_id(), asked.get_redirect_url(), asked.get_client_secret()) == (
        saved,
        "https://mine/cb",
        "rotated",
    )
    assert asked.get_access_token() == "at"


def test_a_new_object_is_returned(other: RedisTokenStore, saved: str) -> None:
    """What comes back is no object that the caller holds already, and another one each time."""
    asked = by_user("ada")
    first, second = other.find_token(asked), other.find_token(asked)
    assert first is not asked
    assert second is not first
    assert other.find_token_by_id(saved) is not other.find_token_by_id(saved)


@pytest.mark.sdk_matrix
@pytest.mark.parametrize("find_user", [True, False])
def test_find_user_is_carried_over(other: RedisTokenStore, saved: str, find_user: bool) -> None:
    """The returned object has the caller's ``find_user``; else the SDK asks CRM for a user unasked."""
    asked = by_user("ada")
    if not hasattr(asked, "_OAuthToken__find_user"):
        pytest.skip("SDK 5.0 has no find_user")
    asked._OAuthToken__find_user = find_user
    assert other.find_token(asked)._OAuthToken__find_user is find_user


@pytest.mark.parametrize(
    "asked",
    [
        by_user("grace"),
        by_access("unknown"),
        make_token(id="unknown", client_id=None, secret=None),
        make_token("grace", access="at"),
    ],
    ids=["user", "access", "id", "access token beside client credentials"],
)
def test_no_match_is_none(other: RedisTokenStore, saved: str, asked) -> None:
    """Without a match the answer is None and the caller's object is left as it was."""
    before = contents(asked)
    assert other.find_token(asked) is None
    assert contents(asked) == before


def test_the_user_goes_before_the_access_token(store: RedisTokenStore, saved: str) -> None:
    """With the name of one user and the access token of another the name decides."""
    store.save_token(make_token("grace", refresh="rt2", access="at2"))
    asked = make_token("ada", access="at2", client_id=None, secret=None)
    assert store.find_token(asked).get_id() == saved


def test_the_grant_code_goes_before_the_refresh_token(store: RedisTokenStore, saved: str) -> None:
    """With the grant code of one record and the refresh token of another the code decides."""
    store.save_token(make_token("grace", refresh="rt2", access="at2"))
    assert store.find_token(make_token(grant="gt", refresh="rt2")).get_id() == saved


def test_the_id_goes_before_everything(store: RedisTokenStore, saved: str) -> None:
    """With an id and another record's name the id decides."""
    store.save_token(make_token("grace", refresh="rt2", access="at2"))
    assert user_of(store.find_token(make_token("grace", id=saved))) == "ada"


def test_an_unknown_id_lets_the_next_selector_decide(store: RedisTokenStore, saved: str) -> None:
    """The first selector that matches counts: an id that was never seen does not hide the record of the user."""
    found = store.find_token(make_token("ada", id="never-seen"))
    assert found is not None
    assert found.get_id() == saved


@pytest.mark.parametrize("credential", [{"refresh": "rt"}, {"grant": "gt"}])
def test_ones_own_credential_goes_before_the_user_name(other: RedisTokenStore, saved: str, credential) -> None:
    """A record that holds the caller's own grant code or refresh token is the caller's, whatever its user name."""
    assert other.find_token(make_token("somebody new", **credential)).get_id() == saved


@pytest.mark.parametrize(
    "selector", [{"user": "ada"}, {"user": "ada", "access": "at"}, {"id": ...}], ids=["user", "user, access", "id"]
)
def test_another_client_finds_nothing(other: RedisTokenStore, saved: str, selector) -> None:
    """A caller that shows another client's id never gets this client's token."""
    asked = make_token(
        client_id=OTHER_CLIENT, **{name: saved if value is ... else value for name, value in selector.items()}
    )
    assert other.find_token(asked) is None
    assert asked.get_id() in (None, saved)


@pytest.mark.parametrize("credential", [{"refresh": "rt"}, {"grant": "gt"}])
def test_a_credential_under_another_client_finds_nothing_and_leases_nothing(
    store: RedisTokenStore, other: RedisTokenStore, saved: str, credential
) -> None:
    """A caller with another client id is not given the record by its credential, and does not hold up the owner."""
    assert other.find_token(make_token(client_id=OTHER_CLIENT, **credential)) is None
    assert other.stats()["leases"] == 0
    assert store.find_token_by_id(saved).get_access_token() == "at"


def test_one_user_under_two_clients(store: RedisTokenStore, saved: str) -> None:
    """With the client id each gets its own; without one it is ambiguous, and the error says between how many."""
    store.save_token(make_token("ada", client_id=OTHER_CLIENT, refresh="rt2", access="at2"))
    assert store.find_token(by_user("ada", CLIENT)).get_access_token() == "at"
    assert store.find_token(by_user("ada", OTHER_CLIENT)).get_access_token() == "at2"
    with pytest.raises(AmbiguousToken) as caught:
        store.find_token(by_user("ada"))
    assert caught.value.clients == 2
    assert "ada" not in str(caught.value)


def test_ambiguity_ends_with_the_second_record(store: RedisTokenStore, saved: str) -> None:
    """Once one of the two is deleted, the name alone leads to the other."""
    second = make_token("ada", client_id=OTHER_CLIENT, refresh="rt2", access="at2")
    store.save_token(second)
    store.delete_token(second.get_id())
    assert store.find_token(by_user("ada")).get_id() == saved


def test_a_stale_hint_is_corrected(store: RedisTokenStore, other: RedisTokenStore, saved: str) -> None:
    """A process that remembers where a name led finds the new record after another process has replaced it."""
    assert other.find_token(by_user("ada")).get_id() == saved
    store.delete_token(saved)
    again = make_token("ada", refresh="rt-new", access="at-new")
    store.save_token(again)
    assert other.find_token(by_user("ada")).get_id() == again.get_id() != saved


@pytest.mark.parametrize("wrong", [None, "token", 7, object()])
def test_only_an_oauth_token_will_do(store: RedisTokenStore, wrong: object) -> None:
    """Anything but an ``OAuthToken`` is refused by name, in find and in save."""
    for call in (store.find_token, store.save_token):
        with pytest.raises(InvalidToken, match="OAuthToken") as caught:
            call(wrong)
        assert caught.value.field == "token"


def test_by_id_gives_the_full_token(other: RedisTokenStore, saved: str) -> None:
    """``find_token_by_id`` gives every field, and a token that ``switch_user`` can work with."""
    found = other.find_token_by_id(saved)
    assert contents(found) == contents(other.get(saved))
    assert vars(found).keys() >= vars(make_token()).keys()


def test_an_unknown_id_is_an_error(store: RedisTokenStore) -> None:
    """An id that was never seen raises, and the error says which."""
    with pytest.raises(TokenNotFound) as caught:
        store.find_token_by_id("never-seen")
    assert caught.value.record_id == "never-seen"


def test_an_access_token_that_is_about_to_end(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """A caller that knows a record by nothing else is elected to refresh it, and gets what that takes."""
    store.save_token(make_token("ada", refresh="rt", access="ending", left=5))
    found = other.find_token(by_access("ending"))
    assert (found.get_access_token(), found.get_refresh_token(), user_of(found)) == (None, "rt", "ada")
