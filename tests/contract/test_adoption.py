"""Tokens that come from another store: what becomes of them beside what is here, whichever store this is."""

from __future__ import annotations

from typing import Any

import pytest

from contract.tokens import CLIENT, OTHER_CLIENT, by_access, by_user, contents, epoch_ms, make_token, user_of
from contract.underneath import repository_of
from zoho_token_store import InvalidToken


def adopt(store: Any, *tokens: Any, dry_run: bool = False) -> list[str]:
    """Return what becomes of tokens."""
    return [each.outcome for each in store.adopt(tokens, dry_run=dry_run)]


def old(user: str | None = "ada", **more: Any) -> Any:
    """Return a token of another store."""
    return make_token(user, **({"refresh": "refresh-1", "access": "access-1", "id": "1"} | more))


def test_a_new_token_is_taken_over_as_it_is(store: Any) -> None:
    """With its id and all that is in it; it is found by all that it is known by; and once is enough."""
    token = old(redirect="https://app", domain="https://www.zohoapis.eu", grant="grant-1")
    assert adopt(store, token, dry_run=True) == ["created"]
    assert store.get_tokens() == []
    assert adopt(store, token) == ["created"]
    assert contents(store.get("1")) == contents(token)
    assert abs(int(store.get("1").get_expires_in()) - int(token.get_expires_in())) <= 1000
    assert store.find_token(by_user("ada")).get_id() == "1"
    assert store.find_token(by_access("access-1")).get_id() == "1"
    assert store.find_token(make_token(grant="grant-1")).get_id() == "1"
    assert adopt(store, token, dry_run=True) == adopt(store, token) == ["left"]


def test_an_access_token_that_has_ended_stays_behind(store: Any) -> None:
    """With a refresh token the rest comes, and whoever asks is the one to refresh; without one nothing does."""
    assert adopt(store, old(left=-1), old("bob", refresh=None, id="2", left=-1)) == ["created", "left"]
    assert store.find_token_by_id("1").get_access_token() is None
    assert store.get("2") is None


def test_the_later_expiry_wins(store: Any) -> None:
    """A newer token replaces what is here; an older one fills gaps, and nothing else."""
    store.save_token(make_token("ada", refresh="refresh-0", access="access-0", left=1800, id="here"))
    assert adopt(store, old(left=900, domain="https://www.zohoapis.eu")) == ["updated"]
    found = store.get("here")
    assert (found.get_refresh_token(), found.get_access_token()) == ("refresh-0", "access-0")
    assert found.get_api_domain() == "https://www.zohoapis.eu"
    newer = old(left=3000)
    assert adopt(store, newer, dry_run=True) == adopt(store, newer) == ["updated"]
    assert adopt(store, newer) == ["left"]
    found = store.get("here")
    assert (found.get_refresh_token(), found.get_access_token()) == ("refresh-1", "access-1")
    assert store.get("1") is None


def test_a_token_that_is_refreshed_here_is_not_set_back(store: Any) -> None:
    """Neither while its access token lives nor when that has been invalidated since."""
    token = old(left=60)
    adopt(store, token)
    fresh = store.get("1")
    fresh.set_access_token("access-2")
    fresh.set_expires_in(epoch_ms(3600))
    store.save_token(fresh)
    assert adopt(store, token) == ["left"]
    assert store.get("1").get_access_token() == "access-2"
    store.invalidate_access_token("1")
    assert adopt(store, token) == ["left"]
    assert store.get("1").get_access_token() is None


def test_what_was_deleted_does_not_come_back(store: Any) -> None:
    """Under its id or another; a new login of the same user does."""
    token = old()
    adopt(store, token)
    store.delete_token("1")
    assert adopt(store, token, old(id="7"), dry_run=True) == ["left", "left"]
    assert adopt(store, token, old(id="7")) == ["left", "left"]
    assert store.get_tokens() == []
    assert adopt(store, old(refresh="refresh-2", access="access-2")) == ["created"]
    assert store.find_token(by_user("ada")).get_refresh_token() == "refresh-2"


def test_clients_and_users_stay_apart(store: Any) -> None:
    """One user under two clients is two tokens; a token of another user's credential is in conflict."""
    ada, other = old(), old(client_id=OTHER_CLIENT, refresh="refresh-2", access="access-2", id="2")
    assert adopt(store, ada, other) == ["created", "created"]
    (clash,) = store.adopt([old("bob", id="3")])
    assert clash.outcome == "conflict"
    assert "bob" not in clash.reason
    assert "refresh-1" not in clash.reason
    assert adopt(store, old("bob", client_id=OTHER_CLIENT, id="4")) == ["conflict"]
    assert user_of(store.get("1")) == "ada"
    assert store.find_token(by_user("ada", CLIENT)).get_id() == "1"
    assert store.find_token(by_user("ada", OTHER_CLIENT)).get_id() == "2"


def test_an_id_of_another_stays_with_it(store: Any) -> None:
    """Ids of two stores may be the same by chance: the one that comes gets a new one, also without a user name."""
    store.save_token(make_token("zoe", refresh="refresh-zoe", id="1"))
    store.save_token(make_token(refresh="refresh-nobody", id="2"))
    (ada, nobody) = store.adopt([old(), old(None, id="2", refresh="refresh-2", access=None)])
    assert (ada.outcome, nobody.outcome) == ("created", "created")
    assert not {ada.record_id, nobody.record_id} & {"1", "2"}
    assert "new one" in ada.reason
    assert user_of(store.get("1")) == "zoe"
    assert store.get("2").get_refresh_token() == "refresh-nobody"


def test_what_cannot_be_stored_is_refused(store: Any) -> None:
    """Before anything is done; an id that no store of ours can have is replaced."""
    with pytest.raises(InvalidToken):
        store.adopt([old(), "no token"])
    assert store.get_tokens() == []
    (strange,) = store.adopt([old(id="a b")])
    assert strange.outcome == "created"
    assert strange.record_id != "a b"


def test_many_at_once(store: Any) -> None:
    """Each has its own outcome, in their order; the second of two that are one grant finds the first."""
    tokens = [make_token(f"user-{number}", refresh=f"refresh-{number}") for number in range(30)]
    again = make_token("user-3", refresh="refresh-3")
    assert adopt(store, *tokens, again) == ["created"] * 30 + ["left"]
    assert store.stats()["adoptions"] == 30
    assert len(store.get_tokens()) == 30


def test_a_refresh_that_comes_between_is_not_set_back(store: Any, other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker saves between the look at what is here and the write: the look is repeated."""
    store.save_token(make_token("ada", refresh="refresh-1", access="access-0", left=60, id="1"))
    repository = repository_of(store)
    commit = repository.commit

    def late(plan: Any) -> bool:
        monkeypatch.setattr(repository, "commit", commit)
        found = other.get("1")
        found.set_access_token("access-2")
        found.set_expires_in(epoch_ms(3600))
        other.save_token(found)
        return bool(commit(plan))

    monkeypatch.setattr(repository, "commit", late)
    assert adopt(store, old(left=1800)) == ["left"]
    assert store.get("1").get_access_token() == "access-2"
