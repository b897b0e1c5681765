"""The save of an ordinary refresh has a shorter way to Redis; it must lead to the same place as the general one."""

from __future__ import annotations

from typing import Any

import pytest

import zoho_token_store.saver
from contract.tokens import make_token, refreshed
from servers import Backend
from zoho_token_store import RedisTokenStore
from zoho_token_store.codec import MARK

CHANGING = ("rev", "fence", "ops", "meta")


def picture(raw: Any, namespace: str, record_id: str) -> dict[str, Any]:
    """Return what is stored in a namespace, without what differs from one run to the next; lives within 5 s."""
    stored: dict[str, Any] = {}
    for key in raw.keys(f"*{{{namespace}}}*"):
        name = key.split("}:", 1)[1].replace(record_id, "ID")
        kind = raw.type(key)
        if kind == "hash":
            fields = {field: value for field, value in raw.hgetall(key).items() if field not in CHANGING}
            stored[name] = {field: "sealed" if value.startswith(MARK) else value for field, value in fields.items()}
        elif kind == "string":
            value = raw.get(key).split(" ")[-1].replace(record_id, "ID")
            stored[name] = "sealed" if value.startswith(MARK) else value
        elif kind == "stream":
            stored[name] = [
                (entry["event"], entry.get("id", "").replace(record_id, "ID")) for _, entry in raw.xrange(key)
            ]
        stored[name, "lives"] = pytest.approx(raw.pttl(key), abs=5000)
    return stored


def refresh_twice(store: RedisTokenStore, *, leased: bool, left: float) -> str:
    """Save a record and refresh it twice; return its id."""
    token = make_token("ada", refresh="rt", grant="gt", access="at0", left=left)
    store.save_token(token)
    for turn in (1, 2):
        if leased:
            store.invalidate_access_token(token.get_id())
            token = store.find_token_by_id(token.get_id())
        store.save_token(refreshed(token, f"at{turn}", left=3600 + turn))
    return str(token.get_id())


@pytest.mark.parametrize("leased", [True, False], ids=["leased", "unasked"])
@pytest.mark.parametrize("left", [3600, 5], ids=["live", "due"])
def test_both_ways_lead_to_the_same_place(
    make_store: Any, backend: Backend, namespace: str, monkeypatch: pytest.MonkeyPatch, leased: bool, left: float
):
    """Keys, values, lives and events are the same whichever way a refresh was written."""
    short = refresh_twice(make_store(f"{namespace}.s"), leased=leased, left=left)
    monkeypatch.setattr(zoho_token_store.saver, "plan_refresh", lambda wish, now_ms: None)
    general = refresh_twice(make_store(f"{namespace}.g"), leased=leased, left=left)
    pictures = []
    for name, record_id in ((f"{namespace}.s", short), (f"{namespace}.g", general)):
        pictures.append(picture(backend.inside(name, decode_responses=True), name, record_id))
    assert pictures[0] == pictures[1]
    assert pictures[0]


def test_the_shorter_way_is_taken(store: RedisTokenStore, monkeypatch: pytest.MonkeyPatch):
    """A refresh needs no plan of the general kind."""
    token = make_token("ada", refresh="rt", access="at")
    store.save_token(token)
    monkeypatch.setattr(zoho_token_store.saver, "plan_save", None)
    store.save_token(refreshed(token, "at2"))
    assert store.get(token.get_id()).get_access_token() == "at2"


def test_a_record_that_has_changed_goes_the_general_way(store: RedisTokenStore, other: RedisTokenStore):
    """A refresh that something came before is merged with it."""
    token = make_token("ada", refresh="rt", access="at")
    store.save_token(token)
    other.save_token(make_token("ada", refresh="rt2", access="new-login"))
    store.save_token(refreshed(token, "at2"))
    assert store.get(token.get_id()).get_refresh_token() == "rt2"
    assert store.stats()["conflicts"] == 1
