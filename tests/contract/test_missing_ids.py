"""`find_token_by_id` for ids that are not there: an error, or a claim with ``on_missing_id="none"``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.tokens import make_token, user_of
from zoho_token_store import RedisTokenStore, TokenDeleted, TokenNotFound


def test_by_default_an_unknown_id_raises(store: RedisTokenStore) -> None:
    """None would let the SDK go on without a token, or break it; so it is an error."""
    with pytest.raises(TokenNotFound):
        store.find_token_by_id("first")


def test_with_none_an_unknown_id_is_none(make_store) -> None:
    """With ``on_missing_id="none"`` the caller is told None and makes the record under its id."""
    store = make_store(on_missing_id="none")
    assert store.find_token_by_id("first") is None
    token = make_token("ada", id="first", refresh="rt", access="at")
    store.save_token(token)
    assert user_of(store.find_token_by_id("first")) == "ada"


def test_with_none_only_one_makes_the_record(make_store, wait_for) -> None:
    """While one process makes the record, another waits for it and gets it."""
    first, second = make_store(on_missing_id="none"), make_store(on_missing_id="none")
    assert first.find_token_by_id("shared") is None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second.find_token_by_id, "shared")
        wait_for(lambda: second.stats()["waits"])
        first.save_token(make_token("ada", id="shared", refresh="rt", access="at"))
        assert waiting.result(10).get_access_token() == "at"


@pytest.mark.parametrize("on_missing_id", ["raise", "none"])
def test_a_deleted_id_always_raises(make_store, on_missing_id: str) -> None:
    """A deleted token is an error in both modes: the worker that still holds it has to log in again."""
    store = make_store(on_missing_id=on_missing_id)
    token = make_token("ada", refresh="rt", access="at")
    store.save_token(token)
    store.delete_token(token.get_id())
    with pytest.raises(TokenDeleted) as caught:
        store.find_token_by_id(token.get_id())
    assert caught.value.record_id == token.get_id()


@pytest.mark.parametrize("on_missing_id", ["raise", "none"])
def test_get_of_an_unknown_id_is_none(make_store, on_missing_id: str) -> None:
    """``get`` never raises for an id that leads nowhere."""
    store = make_store(on_missing_id=on_missing_id)
    assert store.get("nowhere") is None
    assert store.stats()["leases"] == 0
