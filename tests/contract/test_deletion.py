"""Deleted tokens stay deleted, whoever still holds them; a new login is a new record."""

from __future__ import annotations

import pytest

from contract.tokens import OTHER_CLIENT, by_access, by_user, make_token, refreshed, user_of
from zoho_token_store import RedisTokenStore, TokenDeleted


@pytest.fixture
def saved(store: RedisTokenStore) -> str:
    """Save a full record of ada's; return its id."""
    token = make_token("ada", grant="gt", refresh="rt", access="at")
    store.save_token(token)
    return str(token.get_id())


def test_a_deleted_token_is_found_by_nothing(store: RedisTokenStore, other: RedisTokenStore, saved: str) -> None:
    """After a deletion no process finds the record by name, access token or listing; by id it is an error."""
    assert other.find_token(by_user("ada")).get_id() == saved
    store.delete_token(saved)
    assert other.find_token(by_user("ada")) is None
    assert other.find_token(by_access("at")) is None
    assert other.get(saved) is None
    assert other.get_tokens() == []
    with pytest.raises(TokenDeleted):
        other.find_token_by_id(saved)


def test_a_spent_grant_code_stays_spent(store: RedisTokenStore, other: RedisTokenStore, saved: str) -> None:
    """A worker that boots with the code of a deleted token is told so, instead of spending the code again."""
    store.delete_token(saved)
    with pytest.raises(TokenDeleted):
        other.find_token(make_token(grant="gt"))


def test_deleting_is_idempotent(store: RedisTokenStore, other: RedisTokenStore, saved: str) -> None:
    """Deleting again, from anywhere, or an id that never was, changes nothing and is no error."""
    store.delete_token(saved)
    store.delete_token(saved)
    other.delete_token(saved)
    store.delete_token("never-seen")
    assert store.stats()["deletes"] == 1
    assert other.stats()["deletes"] == 0


def test_deleting_one_leaves_the_others(store: RedisTokenStore, saved: str) -> None:
    """Other users, and the same user under another client, keep their tokens and pointers."""
    store.save_token(make_token("ada", client_id=OTHER_CLIENT, refresh="rt2", access="at2"))
    store.save_token(make_token("grace", refresh="rt3", access="at3"))
    store.delete_token(saved)
    assert store.find_token(by_user("ada")).get_access_token() == "at2"
    assert store.find_token(by_user("grace")).get_access_token() == "at3"


@pytest.mark.parametrize("how", ["find_token", "find_token_by_id", "get", "saved object"])
def test_a_later_save_does_not_bring_it_back(
    store: RedisTokenStore, other: RedisTokenStore, saved: str, how: str
) -> None:
    """However a worker got its object, its save after the deletion raises and stores nothing."""
    held = {
        "find_token": lambda: other.find_token(by_user("ada")),
        "find_token_by_id": lambda: other.find_token_by_id(saved),
        "get": lambda: other.get(saved),
        "saved object": lambda: make_token("ada", id=saved, refresh="rt", access="at"),
    }[how]()
    store.delete_token(saved)
    with pytest.raises(TokenDeleted):
        other.save_token(refreshed(held, "at-late"))
    assert store.get_tokens() == []
    assert store.find_token(by_user("ada")) is None


def test_a_refresh_that_is_under_way_does_not_bring_it_back(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """A worker that holds the lease when the token is deleted cannot store what it got for it."""
    token = make_token("ada", refresh="rt", access="at", left=5)
    store.save_token(token)
    mine = other.find_token(by_user("ada"))
    assert mine.get_access_token() is None
    store.delete_token(token.get_id())
    with pytest.raises(TokenDeleted):
        other.save_token(refreshed(mine, "at2"))
    assert store.get_tokens() == []


def test_an_exchange_that_is_under_way_does_not_bring_it_back(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """The lease on a credential is older than the deletion of the record that another worker made with it."""
    mine = make_token("ada", grant="gt")
    assert other.find_token(mine) is None
    theirs = make_token("ada", grant="gt", refresh="rt", access="at")
    store.save_token(theirs)
    store.delete_token(theirs.get_id())
    with pytest.raises(TokenDeleted):
        other.save_token(refreshed(mine, "at2", refresh="rt2"))
    assert store.get_tokens() == []


def test_a_new_login_after_the_deletion(store: RedisTokenStore, other: RedisTokenStore, saved: str) -> None:
    """The same user logs in again with a new code: a new record under a new id, found by all."""
    store.delete_token(saved)
    token = make_token("ada", grant="gt2")
    assert store.find_token(token) is None
    store.save_token(refreshed(token, "at2", refresh="rt2"))
    assert token.get_id() != saved
    assert other.find_token(by_user("ada")).get_id() == token.get_id()


def test_logging_in_again_with_the_same_refresh_token(
    store: RedisTokenStore, other: RedisTokenStore, saved: str
) -> None:
    """A worker that comes with the deleted token's refresh token after the deletion starts a new record."""
    store.delete_token(saved)
    token = make_token("ada", refresh="rt")
    assert store.find_token(token) is None
    store.save_token(refreshed(token, "at2"))
    assert token.get_id() != saved
    assert other.find_token(by_user("ada")).get_access_token() == "at2"


def test_a_deleted_id_cannot_be_chosen_again(store: RedisTokenStore) -> None:
    """A caller that chooses its ids cannot give a deleted one to another user."""
    store.save_token(make_token("ada", id="tenant", refresh="rt", access="at"))
    store.delete_token("tenant")
    with pytest.raises(TokenDeleted):
        store.save_token(make_token("grace", id="tenant", refresh="rt2", access="at2"))
    assert store.get_tokens() == []


def test_the_deletion_is_remembered_for_tombstone_ttl(make_store, raw, namespace: str) -> None:
    """Tombstones live as long as the option says and hold no secret."""
    store = make_store(tombstone_ttl=1000)
    token = make_token("ada", grant="gt-secret", refresh="rt-secret", access="at-secret")
    store.save_token(token)
    store.delete_token(token.get_id())
    tombs = list(raw.scan_iter(f"zts:{{{namespace}}}:gone:*"))
    assert f"zts:{{{namespace}}}:gone:{token.get_id()}" in tombs
    assert all(990 < raw.ttl(key) <= 1000 for key in tombs)
    text = repr([(key, raw.get(key)) for key in tombs])
    assert not any(secret in text for secret in ("gt-secret", "rt-secret", "at-secret", "ada"))


def test_those_who_wait_learn_of_the_deletion(store: RedisTokenStore, make_store, wait_for) -> None:
    """A worker that waits for a refresh is woken by the deletion and told of it."""
    from concurrent.futures import ThreadPoolExecutor

    token = make_token("ada", refresh="rt", access="at", left=5)
    store.save_token(token)
    assert store.find_token_by_id(token.get_id()).get_access_token() is None
    waiter = make_store()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.find_token_by_id, token.get_id())
        wait_for(lambda: waiter.stats()["waits"])
        store.delete_token(token.get_id())
        with pytest.raises(TokenDeleted):
            waiting.result(10)


def test_a_deletion_reaches_merged_ids(store: RedisTokenStore) -> None:
    """Deleting a record that another was merged into deletes both ids for good."""
    first = make_token("ada", refresh="rt1", access="at1")
    second = make_token(refresh="rt2", access="at2")
    store.save_token(first)
    store.save_token(second)
    merged_away = {first.get_id(), second.get_id()}
    store.save_token(make_token("ada", id=second.get_id()))
    assert [user_of(token) for token in store.get_tokens()] == ["ada"]
    store.delete_token(second.get_id())
    for id in merged_away:
        with pytest.raises(TokenDeleted):
            store.find_token_by_id(id)
