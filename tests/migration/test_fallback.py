"""The fallback of a store, whatever the old store is; and with Zoho, whoever refreshes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from zohocrmsdk.src.com.zoho.api.authenticator.store import DBStore, FileStore

from contract.tokens import OTHER_CLIENT, by_access, by_user, make_token, user_of
from foreign.article import ArticleList, ArticleMemory, ArticleSQLite
from migration.moving import move
from zoho_token_store import MemoryTokenStore, SQLiteTokenStore
from zoho_token_store.migration import Naming
from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import DataCenter

KINDS: dict[str, Callable[[pytest.FixtureRequest, Path], Any]] = {
    "FileStore": lambda _, folder: FileStore(f"{folder}/tokens.csv"),
    "DBStore": lambda request, _: DBStore(
        host="127.0.0.1",
        database_name=request.getfixturevalue("database"),
        user_name="root",
        password="",
        port_number=str(request.getfixturevalue("database_port")),
    ),
    "article: SQLite": lambda _, folder: ArticleSQLite(folder / "oauth.db"),
    "article: in memory": lambda *_: ArticleMemory(),
    "article: lists": lambda *_: ArticleList(),
    "ours: SQLite": lambda _, folder: SQLiteTokenStore(folder / "ours.db"),
    "ours: in memory": lambda *_: MemoryTokenStore(),
}


@pytest.fixture(params=KINDS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return a store of before, with two tokens."""
    store = KINDS[request.param](request, tmp_path)
    store.save_token(make_token("ada", refresh="refresh-ada", access="access-ada", grant="grant-ada"))
    store.save_token(make_token(refresh="refresh-nobody", access="access-nobody"))
    return store


@pytest.mark.parametrize(
    "asked", [by_user("ada"), by_access("access-ada"), make_token(refresh="refresh-ada"), make_token(grant="grant-ada")]
)
def test_every_old_store_is_looked_into(old: Any, asked: Any) -> None:
    """By all that it can be asked by, and by its ids; and nothing is refreshed or leased there."""
    copy = make_token()
    copy.__dict__.update(asked.__dict__)
    store = MemoryTokenStore(fallback=old)
    found = store.find_token(copy)
    assert (user_of(found), found.get_refresh_token(), found.get_access_token()) == ("ada", "refresh-ada", "access-ada")
    for each in old.get_tokens():
        assert MemoryTokenStore(fallback=old).find_token_by_id(each.get_id()).get_access_token()
    assert store.find_token(by_user("ada", OTHER_CLIENT)) is None
    assert store.find_token(by_user("nobody")) is None


def test_every_old_store_forgets_what_is_deleted(old: Any) -> None:
    """A token with a name and one without."""
    store = MemoryTokenStore(fallback=old)
    ids = [each.get_id() for each in old.get_tokens()]
    store.find_token_by_id(ids[0])
    for record_id in ids:
        store.delete_token(record_id)
    assert old.get_tokens() == []
    assert store.find_token(by_user("ada")) is None


def test_an_old_store_of_ours_is_only_looked_at(tmp_path: Path) -> None:
    """A token there that is due gives no lease there: its own workers are not held up."""
    old = SQLiteTokenStore(tmp_path / "ours.db")
    old.save_token(make_token("ada", refresh="refresh-ada", access="access-ada", left=1))
    store = MemoryTokenStore(fallback=old)
    assert store.find_token(by_user("ada")).get_access_token() is None
    assert (old.stats()["leases"], store.stats()["leases"]) == (0, 1)


def test_until_it_is_empty(tmp_path: Path) -> None:
    """What nobody has asked for is moved by the command, beside the workers; then the old store may go."""
    old = FileStore(f"{tmp_path}/tokens.csv")
    for name in ("ada", "bob", "cyd"):
        old.save_token(make_token(name, refresh=f"refresh-{name}"))
    source, target = Naming(f"csv:{tmp_path}/tokens.csv"), Naming(f"sqlite:///{tmp_path}/new.db", environ={})
    with SQLiteTokenStore(tmp_path / "new.db", fallback=old) as store:
        store.find_token(by_user("ada"))
        store.delete_token(store.find_token(by_user("bob")).get_id())
        first, _ = move(source, target)
        again, _ = move(source, target)
    assert (first.read, first.created, first.left) == (2, 1, 1)
    assert (again.read, again.left) == (2, 2)
    with SQLiteTokenStore(tmp_path / "new.db") as store:
        assert sorted(map(user_of, store.get_tokens())) == ["ada", "cyd"]


def environment_of(zoho: FakeZoho) -> Any:
    """Return where the stand-in is."""
    where = (zoho.url, zoho.url + "/oauth/v2/token", zoho.url)
    try:
        return DataCenter.Environment(*where)
    except TypeError:  # SDK 5.0
        return DataCenter.Environment(*where, "stand-in")


def test_a_code_that_the_old_store_has_seen_is_not_spent_again(tmp_path: Path) -> None:
    """Not by a store that refreshes by itself either: it goes on with the refresh token that the old store has."""
    with FakeZoho(expires_in=60) as zoho:
        refresh = zoho.issue_refresh_token()
        client = {"client_id": zoho.client_id, "secret": zoho.client_secret}
        old = FileStore(f"{tmp_path}/tokens.csv")
        old.save_token(make_token("ada", refresh=refresh, grant="spent-code", access="old", left=-5, **client))
        with MemoryTokenStore(fallback=old, refresh="managed", environment=environment_of(zoho)) as store:
            found = store.find_token(make_token(grant="spent-code", **client))
            assert found.get_access_token() not in (None, "old")
            assert found.get_refresh_token() == refresh
        assert (zoho.counters.exchanges, zoho.counters.refreshes) == (0, 1)


def test_a_token_that_is_only_there_is_revoked(tmp_path: Path) -> None:
    """It is ended at Zoho, and gone from both."""
    with FakeZoho(expires_in=60) as zoho:
        refresh = zoho.issue_refresh_token()
        client = {"client_id": zoho.client_id, "secret": zoho.client_secret}
        old = FileStore(f"{tmp_path}/tokens.csv")
        old.save_token(make_token("ada", refresh=refresh, **client))
        with MemoryTokenStore(fallback=old, environment=environment_of(zoho)) as store:
            assert store.revoke("1") is True
            assert store.revoke("1") is False
            assert (store.get_tokens(), old.get_tokens()) == ([], [])
        assert zoho.counters.revokes == 1
