"""A store that another came before: what is only there is found, taken over, and stays deleted when it is deleted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore

from contract.tokens import OTHER_CLIENT, by_access, by_user, contents, make_token, refreshed
from zoho_token_store import ConfigurationError, StoreUnavailable, TokenDeleted, TokenNotFound

pytestmark = pytest.mark.undivided


@pytest.fixture
def old(tmp_path: Path) -> Any:
    """Return the store of before, with two tokens."""
    store = FileStore(f"{tmp_path}/tokens.csv")
    store.save_token(make_token("ada", refresh="refresh-ada", access="access-ada", grant="grant-ada"))
    store.save_token(make_token("bob", refresh="refresh-bob", access="access-bob", left=-5))
    return store


@pytest.fixture
def new(make_store: Any, old: Any) -> Any:
    """Return the store that comes after it."""
    return make_store(fallback=old)


@pytest.mark.parametrize(
    "asked",
    [
        by_user("ada"),
        by_user("ada", "1000.ONE"),
        by_access("access-ada"),
        make_token(refresh="refresh-ada"),
        make_token(grant="grant-ada"),
        make_token("ada", grant="grant-ada", id="1"),
    ],
    ids=["user", "user and client", "access token", "refresh token", "grant code", "all of it"],
)
def test_what_is_only_there_is_found(new: Any, other: Any, asked: Any) -> None:
    """By all that the SDK may ask by, with its access token; from then on others find it without the old store."""
    token = make_token(asked.get_user_signature() and asked.get_user_signature().get_name())
    token.__dict__.update(asked.__dict__)
    found = new.find_token(token)
    assert (found.get_id(), found.get_access_token(), found.get_refresh_token()) == ("1", "access-ada", "refresh-ada")
    assert contents(other.find_token_by_id("1")) == contents(found)
    assert new.stats()["adoptions"] == 1


def test_an_id_of_before_is_found(new: Any) -> None:
    """A worker's token keeps the id that it has; one that is nowhere is not found."""
    assert new.find_token_by_id("1").get_access_token() == "access-ada"
    with pytest.raises(TokenNotFound):
        new.find_token_by_id("3")


def test_an_id_that_may_be_missing_is_found_too(make_store: Any, old: Any) -> None:
    """Nobody is given the lease to make what is there."""
    new = make_store(fallback=old, on_missing_id="none")
    assert new.find_token_by_id("1").get_access_token() == "access-ada"
    assert new.find_token_by_id("3") is None


def test_one_is_elected_for_a_token_that_has_ended(new: Any, make_store: Any, old: Any) -> None:
    """As for one that was here, and what it gets goes here alone."""
    found = new.find_token(by_user("bob"))
    assert found.get_access_token() is None
    new.save_token(refreshed(found, "access-new"))
    assert make_store(fallback=old).find_token(by_user("bob")).get_access_token() == "access-new"
    assert old.find_token_by_id("2").get_access_token() == "access-bob"


def test_what_is_here_goes_first(new: Any, old: Any) -> None:
    """The old store is not asked for it."""
    new.find_token(by_user("ada"))
    old.delete_tokens()
    old.save_token(make_token("ada", refresh="refresh-other", access="access-other"))
    assert new.find_token(by_user("ada")).get_access_token() == "access-ada"


def test_a_new_login_is_exchanged_once(new: Any) -> None:
    """A code that neither store has seen gives a lease, as ever; one that the old store has seen is not spent again."""
    assert new.find_token(make_token(grant="grant-new")) is None
    assert new.find_token(make_token(grant="grant-ada")).get_refresh_token() == "refresh-ada"


def test_another_clients_token_is_not_taken(new: Any, old: Any) -> None:
    """The old store goes by the user name alone, and has the row of another client first."""
    assert new.find_token(by_user("ada", OTHER_CLIENT)) is None
    lines = Path(old.file_path).read_text().splitlines()
    Path(old.file_path).write_text("\n".join([*lines, f"3,ada,{OTHER_CLIENT},s,refresh-two,,,,,", ""]))
    assert new.find_token(by_user("ada", OTHER_CLIENT)).get_refresh_token() == "refresh-two"


def test_a_deleted_token_stays_deleted(new: Any, old: Any) -> None:
    """Whether it was taken over or not, and by whichever way it is asked for: it is gone from the old store, too."""
    new.find_token(by_user("ada"))
    for record_id in ("1", "2"):
        new.delete_token(record_id)
    assert old.get_tokens() == []
    assert new.find_token(by_user("ada")) is None
    assert new.find_token(by_user("bob")) is None
    assert new.get_tokens() == []
    with pytest.raises(TokenDeleted):
        new.find_token_by_id("1")


def test_a_token_that_had_another_id_there_is_deleted_there(new: Any, old: Any) -> None:
    """It is known by its user and its credentials."""
    token = make_token("ada", refresh="refresh-ada", id="ours")
    new.save_token(token)
    new.delete_token("ours")
    assert [each.get_id() for each in old.get_tokens()] == ["2"]


def test_all_are_deleted(new: Any, old: Any) -> None:
    """There, too."""
    new.find_token(by_user("ada"))
    new.delete_tokens()
    assert (new.get_tokens(), old.get_tokens()) == ([], [])
    assert new.find_token(by_user("bob")) is None


def test_a_deletion_between_reading_and_taking_over_is_not_undone(make_store: Any, old: Any) -> None:
    """Whoever has taken a token over looks again whether it is still there."""
    other = make_store()

    class Slow(FileStore):
        """Has another worker delete everything as soon as the token was read."""

        def find_token_by_id(self, id: str) -> Any:
            found = super().find_token_by_id(id)
            if id == "1":
                old.delete_tokens()
                other.delete_tokens()
            return found

    new = make_store(fallback=Slow(old.file_path))
    assert new.find_token(by_user("ada")) is None
    assert other.get_tokens() == []


def test_an_old_store_that_fails_is_no_empty_one(new: Any, old: Any) -> None:
    """Else a grant code would be spent again, or a user asked to log in; nothing of its error is repeated."""
    new.find_token(by_user("ada"))
    Path(old.file_path).unlink()
    for call in (
        lambda: new.find_token(by_user("bob")),
        lambda: new.find_token(make_token(grant="grant-new")),
        lambda: new.find_token_by_id("2"),
        lambda: new.delete_token("1"),
    ):
        with pytest.raises(StoreUnavailable, match="fallback") as raised:
            call()
        assert "tokens.csv" not in str(raised.value)
    assert new.find_token_by_id("1").get_access_token() == "access-ada"
    assert new.find_token(by_user("ada")).get_access_token() == "access-ada"


def test_what_is_no_store_is_refused(make_store: Any) -> None:
    """At once."""
    with pytest.raises(ConfigurationError, match="fallback"):
        make_store(fallback="tokens.csv")


def test_of_many_that_find_it_at_once_one_refreshes(make_store: Any, old: Any) -> None:
    """The others get what it has saved, and the token was taken over once."""
    stores = [make_store(fallback=old) for _ in range(8)]

    def work(store: Any) -> tuple[bool, str]:
        found = store.find_token(by_user("bob"))
        elected = found.get_access_token() is None
        if elected:
            store.save_token(refreshed(found, "access-new"))
        return elected, found.get_access_token()

    with ThreadPoolExecutor(len(stores)) as pool:
        done = list(pool.map(work, stores))
    assert sum(elected for elected, _ in done) == 1
    assert {access for _, access in done} == {"access-new"}
    assert sum(store.stats()["adoptions"] for store in stores) == 1
    assert [each.get_id() for each in stores[0].get_tokens()] == ["2"]
