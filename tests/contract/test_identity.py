"""Never two records for one user and client or one credential, and never one user's token for another."""

from __future__ import annotations

import time

import pytest

from contract.tokens import CLIENT, OTHER_CLIENT, by_user, contents, make_token, user_of
from zoho_token_store import AmbiguousToken, InvalidToken, RedisTokenStore


def saved(store: RedisTokenStore, *args, **fields) -> str:
    token = make_token(*args, **fields)
    store.save_token(token)
    return str(token.get_id())


def saved_later(store: RedisTokenStore, *args, **fields) -> str:
    """Save in a later millisecond, so that there is an older and a newer record."""
    time.sleep(0.003)
    return saved(store, *args, **fields)


def users(store: RedisTokenStore) -> list[str | None]:
    return sorted((user_of(token) for token in store.get_tokens()), key=str)


def test_one_user_under_two_clients_is_two_records(store: RedisTokenStore) -> None:
    """Two clients' grants of one user stay apart, each with its own fields."""
    one = saved(store, "ada", refresh="rt1", access="at1")
    two = saved(store, "ada", client_id=OTHER_CLIENT, refresh="rt2", access="at2")
    assert one != two
    assert store.get(one).get_refresh_token() == "rt1"
    assert store.get(two).get_refresh_token() == "rt2"


def test_saving_by_an_ambiguous_name_is_refused(store: RedisTokenStore) -> None:
    """A save that names a user of two clients and no client is refused, and changes neither."""
    one = saved(store, "ada", refresh="rt1", access="at1")
    two = saved(store, "ada", client_id=OTHER_CLIENT, refresh="rt2", access="at2")
    with pytest.raises(AmbiguousToken):
        store.save_token(make_token("ada", client_id=None, secret=None, access="at3"))
    assert [store.get(id).get_access_token() for id in (one, two)] == ["at1", "at2"]


class TestLateNames:
    """The SDK learns the user's name only after the exchange."""

    def test_a_record_without_user_gets_its_name(self, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """A record saved by its credential is completed with the name, and is then found by it."""
        id = saved(store, refresh="rt", access="at")
        saved(store, "ada", refresh="rt")
        assert other.find_token(by_user("ada", CLIENT)).get_id() == id
        assert len(store.get_tokens()) == 1

    def test_a_record_without_client_gets_its_client(self, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """A record saved without a client is completed by a save with one, and then belongs to that client."""
        id = saved(store, "ada", client_id=None, secret=None, refresh="rt", access="at")
        assert saved(store, "ada", access="at2") == id
        assert contents(store.get(id))["client_id"] == CLIENT
        assert other.find_token(by_user("ada", OTHER_CLIENT)) is None
        assert other.find_token(by_user("ada", CLIENT)).get_id() == id

    def test_two_halves_are_merged(self, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """A nameless record that turns out to be a user's second is merged: the older id stays, both work."""
        old = saved(store, "ada", refresh="rt1", access="at1")
        new = saved_later(store, refresh="rt2", access="at2")
        named = store.get(new)
        named.set_user_signature(make_token("ada").get_user_signature())
        store.save_token(named)
        assert named.get_id() == old
        assert [token.get_id() for token in store.get_tokens()] == [old]
        merged = other.find_token_by_id(new)
        assert (merged.get_id(), merged.get_refresh_token(), merged.get_access_token()) == (old, "rt2", "at2")
        for asked in (by_user("ada"), make_token(refresh="rt1"), make_token(refresh="rt2")):
            assert other.find_token(asked).get_id() == old

    def test_a_merged_id_goes_on_working(self, store: RedisTokenStore) -> None:
        """Save, invalidate, get and delete by the id that was merged away reach the record that stayed."""
        old = saved(store, "ada", refresh="rt1", access="at1")
        new = saved_later(store, refresh="rt2", access="at2")
        saved(store, "ada", id=new)
        assert saved(store, id=new, client_id=None, secret=None, access="at3") == old
        assert store.get(new).get_access_token() == "at3"
        store.invalidate_access_token(new)
        assert store.get(old).get_access_token() is None
        store.delete_token(new)
        assert store.get_tokens() == []

    @pytest.mark.undivided
    def test_a_chain_of_merges_leads_to_the_end(self, store: RedisTokenStore) -> None:
        """A record merged into one that is merged in turn is reached by all its ids."""
        oldest = saved(store, "ada", refresh="rt1", access="at1")
        middle = saved_later(store, client_id=None, secret=None, refresh="rt2", access="at2")
        newest = saved_later(store, client_id=None, secret=None, refresh="rt3", access="at3")
        saved(store, id=newest, client_id=None, secret=None, refresh="rt2")
        assert len(store.get_tokens()) == 2
        saved(store, "ada", id=newest)
        assert {store.get(id).get_id() for id in (oldest, middle, newest)} == {oldest}

    def test_a_name_that_another_record_has_is_left_out(self, store: RedisTokenStore) -> None:
        """Nothing is merged across two users: the record keeps its name, the rest is saved, and it is counted."""
        ada = saved(store, "ada", refresh="rt1", access="at1")
        grace = saved(store, "grace", refresh="rt2", access="at2")
        saved(store, "grace", id=ada, access="at3")
        assert users(store) == ["ada", "grace"]
        assert store.get(ada).get_access_token() == "at3"
        assert store.get(grace).get_access_token() == "at2"
        assert store.stats()["name_conflicts"] == 1


class TestCredentials:
    """A grant code or refresh token belongs to one record."""

    @pytest.mark.parametrize("credential", [{"refresh": "rt"}, {"grant": "gt"}])
    def test_another_name_renames(self, store: RedisTokenStore, other: RedisTokenStore, credential) -> None:
        """A save of a known credential under a new name renames the record; the old name finds nothing."""
        id = saved(store, "ada@old", access="at", **credential)
        assert saved(store, "ada@new", **credential) == id
        assert users(store) == ["ada@new"]
        assert other.find_token(by_user("ada@new")).get_id() == id
        assert other.find_token(by_user("ada@old")) is None

    @pytest.mark.parametrize("credential", [{"refresh": "rt"}, {"grant": "gt"}])
    def test_another_client_is_refused(self, store: RedisTokenStore, credential) -> None:
        """A save of a known credential under another client is refused, names the field and changes nothing."""
        id = saved(store, "ada", access="at", **credential)
        with pytest.raises(InvalidToken) as caught:
            store.save_token(make_token("ada", client_id=OTHER_CLIENT, access="stolen", **credential))
        assert caught.value.field == "client_id"
        assert [token.get_id() for token in store.get_tokens()] == [id]
        assert store.get(id).get_access_token() == "at"

    def test_an_id_under_another_client_is_refused(self, store: RedisTokenStore) -> None:
        """A save under a known id that shows another client is refused and changes nothing."""
        id = saved(store, "ada", refresh="rt", access="at")
        with pytest.raises(InvalidToken) as caught:
            store.save_token(make_token(id=id, client_id=OTHER_CLIENT, access="stolen"))
        assert caught.value.field == "client_id"
        assert contents(store.get(id))["access_token"] == "at"

    def test_another_users_refresh_token_is_refused(self, store: RedisTokenStore) -> None:
        """One user's record cannot take another user's refresh token."""
        ada = saved(store, "ada", refresh="rt1", access="at1")
        saved(store, "grace", refresh="rt2", access="at2")
        with pytest.raises(InvalidToken) as caught:
            store.save_token(make_token(id=ada, refresh="rt2"))
        assert caught.value.field == "refresh_token"
        assert store.get(ada).get_refresh_token() == "rt1"

    def test_a_new_login_updates_the_users_record(self, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """A user who logs in again keeps the record; the new refresh token is the one that is handed out."""
        id = saved(store, "ada", refresh="rt1", access="at1")
        assert saved(store, "ada", refresh="rt2", access="at2") == id
        found = other.find_token(by_user("ada"))
        assert (found.get_id(), found.get_refresh_token(), found.get_access_token()) == (id, "rt2", "at2")


class TestSuperseded:
    """Workers booted with an older credential still find the record."""

    def test_the_last_four_refresh_tokens_lead_to_the_record(
        self, store: RedisTokenStore, other: RedisTokenStore
    ) -> None:
        """Of seven refresh tokens the newest and the four before it are found; the older two are not."""
        for number in range(7):
            id = saved(store, "ada", refresh=f"rt{number}", access=f"at{number}")
        for number in range(2, 7):
            found = other.find_token(make_token(refresh=f"rt{number}"))
            assert (found.get_id(), found.get_refresh_token()) == (id, "rt6")
        for number in range(2):
            assert other.find_token(make_token(refresh=f"rt{number}")) is None

    def test_a_superseded_refresh_token_is_not_put_back(self, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """A worker that saves with the refresh token of its configuration does not replace the newer login."""
        id = saved(store, "ada", refresh="rt1", access="at1")
        saved(store, "ada", refresh="rt2", access="at2")
        assert saved(other, "ada", refresh="rt1", access="at3") == id
        assert store.get(id).get_refresh_token() == "rt2"
        assert store.get(id).get_access_token() == "at2"

    def test_a_superseded_grant_code_is_not_put_back(self, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """A spent code of an earlier login still leads to the record, and does not replace the newer one."""
        id = saved(store, "ada", grant="gt1", refresh="rt1", access="at1")
        saved(store, "ada", grant="gt2", refresh="rt2", access="at2")
        assert other.find_token(make_token(grant="gt1")).get_id() == id
        assert saved(other, "ada", grant="gt1") == id
        assert store.get(id).get_grant_token() == "gt2"
