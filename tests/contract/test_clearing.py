"""All tokens are deleted in steps of many, while workers go on: none comes back, and new logins are taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.conftest import MakeStore
from contract.tokens import OTHER_CLIENT, by_user, make_token, refreshed
from contract.underneath import Underneath, repository_of
from zoho_token_store import CoordinatedTokenStore, CorruptRecord, StoreUnavailable, TokenDeleted, clearing
from zoho_token_store.commit import Commit
from zoho_token_store.keyspace import Keyspace

COUNT = 10
STEP = 3

Act = Callable[[int], None]
"""Called before each commit of a clearing, with how many there were: 0 before it begins, 1 before the first step."""


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have few records make several steps."""
    monkeypatch.setattr(clearing, "STEP", STEP)


@pytest.fixture
def ids(store: CoordinatedTokenStore) -> list[str]:
    """Save some users' tokens; return their ids, in the order in which they are deleted."""
    for number in range(COUNT):
        fields = {"refresh": f"rt-{number}", "grant": f"gt-{number}", "access": f"at-{number}"}
        store.save_token(make_token(f"user-{number}", id=f"m{number}", **fields))
    return [f"m{number}" for number in range(COUNT)]


def clear(store: CoordinatedTokenStore, monkeypatch: pytest.MonkeyPatch, act: Act) -> int:
    """Delete all tokens; return in how many commits where the suite's client is."""
    repository = repository_of(store)
    commit, begun = repository.commit, 0

    def watched(change: Commit) -> bool:
        nonlocal begun
        begun += 1
        act(begun - 1)
        return commit(change)

    with monkeypatch.context() as patch:
        patch.setattr(repository, "commit", watched)
        store.delete_tokens()
    return begun


def at(step: int, act: Callable[[], Any]) -> Act:
    """Do something before one step, once."""
    return lambda number: act() if number == step else None


def is_gone(store: CoordinatedTokenStore, number: int) -> bool:
    """Return whether nothing leads to a user's token any more, and both its id and its code say that it was deleted."""
    for ask in (
        lambda: store.find_token_by_id(f"m{number}"),
        lambda: store.find_token(make_token(grant=f"gt-{number}")),
    ):
        try:
            ask()
        except TokenDeleted:
            continue
        return False
    return store.find_token(by_user(f"user-{number}")) is None and store.get(f"m{number}") is None


def test_many_go_in_one_step(
    store: CoordinatedTokenStore, other: CoordinatedTokenStore, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No token is left and each is known to be deleted, after one commit for some of them and one before the first."""
    assert clear(store, monkeypatch, lambda _: None) == 1 + -(-COUNT // STEP)
    assert all(is_gone(other, number) for number in range(COUNT))
    assert other.get_tokens() == []
    assert store.stats()["deletes"] == COUNT


def test_nobody_is_left_behind(store: CoordinatedTokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One user under two clients, a record that has taken in another, and one that has nothing but an access token."""
    store.save_token(make_token("ada", id="a", refresh="rt-a", access="at-a"))
    store.save_token(make_token("ada", client_id=OTHER_CLIENT, id="b", refresh="rt-b", access="at-b"))
    store.save_token(make_token(id="c", refresh="rt-c", access="at-c"))
    store.save_token(make_token("grace", id="d", refresh="rt-d", access="at-d"))
    store.save_token(make_token("grace", refresh="rt-c", access="at-e"))  # c and d are one
    store.save_token(make_token("alan", refresh=None, access="at-f"))
    clear(store, monkeypatch, lambda _: None)
    assert store.get_tokens() == []
    assert [store.find_token(by_user(user)) for user in ("ada", "grace", "alan")] == [None] * 3
    for record_id in "abcd":
        with pytest.raises(TokenDeleted):
            store.find_token_by_id(record_id)


def test_a_save_that_comes_between(
    store: CoordinatedTokenStore, other: CoordinatedTokenStore, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that is written after it was read is deleted as it is then; the others of its step are, too."""
    held = other.find_token_by_id("m4")
    clear(store, monkeypatch, at(2, lambda: other.save_token(refreshed(held, "at-new"))))
    assert all(is_gone(other, number) for number in range(COUNT))
    assert store.stats()["conflicts"] == 1


def test_a_deletion_that_comes_between(
    store: CoordinatedTokenStore, other: CoordinatedTokenStore, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that delete all at once, or one of them a single token: each record is deleted, and counted, once."""
    clear(store, monkeypatch, at(2, other.delete_tokens))
    assert all(is_gone(other, number) for number in range(COUNT))
    assert store.stats()["deletes"] + other.stats()["deletes"] == COUNT


def test_elected_before_the_record_went(
    store: CoordinatedTokenStore,
    other: CoordinatedTokenStore,
    underneath: Underneath,
    ids: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that is elected while all are deleted, and saves when its own record has gone, is refused."""
    held: list[Any] = []

    def elect() -> None:
        underneath.leave("m8", 0)
        held.append(other.find_token_by_id("m8"))

    clear(store, monkeypatch, at(1, elect))
    with pytest.raises(TokenDeleted):
        other.save_token(refreshed(held[0], "at-late", refresh="rt-late"))
    held[0].set_id(None)  # whoever takes the id away hides nothing
    with pytest.raises(TokenDeleted):
        other.save_token(refreshed(held[0], "at-late", refresh="rt-later"))
    assert store.get_tokens() == []


def test_a_login_that_was_under_way(store: CoordinatedTokenStore, other: CoordinatedTokenStore, ids: list[str]) -> None:
    """A code that was being exchanged when all was deleted makes no record: its login was begun before."""
    token = make_token(grant="gt-new")
    assert other.find_token(token) is None  # elected
    store.delete_tokens()
    with pytest.raises(TokenDeleted):
        other.save_token(refreshed(token, "at-new", refresh="rt-new"))
    assert store.get_tokens() == []


@pytest.mark.parametrize("refresh", ["rt-3", "rt-new"], ids=["same", "new"])
def test_a_login_afterwards(
    store: CoordinatedTokenStore, other: CoordinatedTokenStore, ids: list[str], refresh: str
) -> None:
    """With a lease and without, the same user is back at once, under another id; the old one stays deleted."""
    store.delete_tokens()
    assert is_gone(other, 3)
    code = make_token("user-3", grant="gt-new")
    assert other.find_token(code) is None
    other.save_token(refreshed(code, "at-new", refresh=refresh))
    store.save_token(make_token("user-4", refresh="rt-4", access="at-again"))
    assert store.find_token(by_user("user-3")).get_access_token() == "at-new"
    assert other.find_token(by_user("user-4")).get_access_token() == "at-again"
    with pytest.raises(TokenDeleted):
        store.find_token_by_id("m3")


@pytest.mark.parametrize(("id", "stays"), [("a", True), ("z", False)], ids=["passed", "still to come"])
def test_a_login_meanwhile(
    store: CoordinatedTokenStore,
    other: CoordinatedTokenStore,
    ids: list[str],
    monkeypatch: pytest.MonkeyPatch,
    id: str,
    stays: bool,
) -> None:
    """Who logs in while all are deleted is met by that or not, and in neither case halfway."""

    def log_in() -> None:
        code = make_token("user-0", grant="gt-new", id=id)
        other.save_token(refreshed(code, "at-new", refresh="rt-0"))

    clear(store, monkeypatch, at(2, log_in))
    found = other.find_token(by_user("user-0"))
    assert (found and found.get_id()) == (id if stays else None)
    assert [token.get_id() for token in store.get_tokens()] == ([id] if stays else [])


def test_it_ends_in_the_middle(
    store: CoordinatedTokenStore,
    other: CoordinatedTokenStore,
    underneath: Underneath,
    ids: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was not deleted yet is whole, and takes what its worker brings; a second call deletes the rest."""
    underneath.leave("m9", 0)
    held = other.find_token_by_id("m9")
    assert held.get_access_token() is None

    def die() -> None:
        raise StoreUnavailable("it died")

    with pytest.raises(StoreUnavailable):
        clear(store, monkeypatch, at(3, die))
    assert [is_gone(other, number) for number in range(COUNT)] == [number < 2 * STEP for number in range(COUNT)]
    other.save_token(refreshed(held, "at-late", refresh="rt-late"))
    assert store.find_token(by_user("user-9")).get_refresh_token() == "rt-late"
    other.delete_tokens()
    assert all(is_gone(store, number) for number in range(COUNT))


@pytest.mark.redis
class TestOnRedis:
    """What near caches and readers of events are told, and what is left in Redis."""

    def test_one_event_for_a_step(self, store: Any, ids: list[str]) -> None:
        """Events name all records that were deleted, and are as few as the steps."""
        with store.events() as events:
            store.delete_tokens()
            told = [event for event in events.read().events if event.name == "cleared"]
        assert len(told) == -(-COUNT // STEP)
        assert [each.record_id for event in told for each in event.each()] == ids

    def test_near_caches_forget_them(
        self, store: Any, make_store: MakeStore, ids: list[str], wait_for: Callable[[Callable[[], Any]], Any]
    ) -> None:
        """A process that has them at hand says that they were deleted, as soon as it has heard of it."""
        near: Any = make_store(near_cache=True)
        near.find_token_by_id("m0")
        wait_for(lambda: near._shortcut._near.is_connected)
        for record_id in ids:
            near.find_token_by_id(record_id)
        assert len(near._shortcut._near) == COUNT
        store.delete_tokens()
        wait_for(lambda: len(near._shortcut._near) == 0)
        assert all(is_gone(near, number) for number in range(COUNT))

    def test_what_is_left(self, store: Any, raw: Any, ids: list[str], namespace: str) -> None:
        """Tombstones of ids and codes and one for all, which end; nothing that an audit would find fault with."""
        store.delete_tokens()
        keys, left = Keyspace(namespace), set(raw.scan_iter(match=Keyspace(namespace).pattern, count=1000))
        buried = {key for key in left if keys.kind(key) == "gone"}
        assert keys.key("gone:*") in buried
        assert {keys.key(f"gone:{record_id}") for record_id in ids} <= buried
        assert left - buried <= {keys.events, keys.counted}
        assert all(raw.pttl(key) > 0 for key in buried)

    def test_a_record_that_cannot_be_read_any_more(
        self, store: Any, other: Any, raw: Any, ids: list[str], namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is left and named; those that were to go in one step with it are deleted all the same."""
        held = other.find_token_by_id("m4")

        def spoil() -> None:
            raw.hset(Keyspace(namespace).token("m3"), "fence", "x")
            other.save_token(refreshed(held, "at-new"))

        with pytest.raises(CorruptRecord) as caught:
            clear(store, monkeypatch, at(2, spoil))
        assert caught.value.record_id == "m3"
        assert raw.zrange(Keyspace(namespace).ids, 0, -1) == ["m3"]
        assert store.stats()["deletes"] == COUNT - 1
