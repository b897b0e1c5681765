"""Two releases of one schema work side by side, and a record comes back whole however long its tokens are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.tokens import by_user, contents, make_token, refreshed
from servers import Backend
from zoho_token_store import CorruptRecord, RedisTokenStore, TokenDeleted, UnsupportedSchema
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.record import SCHEMA


@pytest.fixture
def backend(readable_backend: Backend) -> Backend:
    """Only records in the clear can be edited by hand."""
    return readable_backend


@pytest.fixture
def saved(store: RedisTokenStore) -> Any:
    """Save a full record; return its token."""
    token = make_token(
        "ada", refresh="rt", grant="gt", access="at", redirect="https://app.example.com/back", domain="d"
    )
    store.save_token(token)
    return token


@pytest.fixture
def record(saved: Any, namespace: str) -> str:
    """Return the key of the record."""
    return Keyspace(namespace).token(saved.get_id())


def test_a_record_of_an_older_field_set_is_read_and_completed(
    store: RedisTokenStore, saved: Any, record: str, raw: Any
):
    """What an older release did not write yet is taken as empty, and written by the next save."""
    raw.hdel(record, "ops", "meta", "api_domain")
    found = store.find_token_by_id(saved.get_id())
    assert contents(found) == {**contents(saved), "api_domain": None}
    store.save_token(refreshed(found, "at2"))
    assert store.find_token_by_id(saved.get_id()).get_access_token() == "at2"
    assert raw.hget(record, "ops")


def test_fields_of_a_newer_release_are_kept(store: RedisTokenStore, saved: Any, record: str, raw: Any):
    """An older worker's save leaves alone what it does not know, in the record and in its bookkeeping."""
    meta = json.loads(raw.hget(record, "meta"))
    raw.hset(record, mapping={"region": "eu", "meta": json.dumps({**meta, "labels": ["x"]})})
    store.save_token(make_token("ada", refresh="rt2", access="at2"))
    assert raw.hget(record, "region") == "eu"
    assert json.loads(raw.hget(record, "meta"))["labels"] == ["x"]


def test_an_older_and_a_newer_worker_take_turns(
    store: RedisTokenStore, other: RedisTokenStore, saved: Any, record: str, raw: Any
):
    """Neither loses what the other has written: one adds a field after each save, the other goes on refreshing."""
    for turn in range(3):
        worker = (store, other)[turn % 2]
        raw.hset(record, f"newer{turn}", "kept")
        worker.invalidate_access_token(saved.get_id())
        worker.save_token(refreshed(worker.find_token_by_id(saved.get_id()), f"at{turn}"))
    assert store.find_token(by_user("ada")).get_access_token() == "at2"
    assert [raw.hget(record, f"newer{turn}") for turn in range(3)] == ["kept"] * 3


def test_a_record_of_a_newer_schema_is_refused_and_left_alone(
    store: RedisTokenStore, saved: Any, record: str, raw: Any
):
    """What this release cannot understand it neither guesses at nor writes, and it leases nothing."""
    raw.hset(record, "schema", str(SCHEMA + 1))
    before = raw.hgetall(record)
    with pytest.raises(UnsupportedSchema) as caught:
        store.find_token_by_id(saved.get_id())
    assert (caught.value.record_id, caught.value.schema) == (saved.get_id(), str(SCHEMA + 1))
    with pytest.raises(UnsupportedSchema):
        store.save_token(make_token("ada", refresh="rt2"))
    with pytest.raises(UnsupportedSchema):
        store.invalidate_access_token(saved.get_id())
    assert raw.hgetall(record) == before
    assert not raw.keys("*lease*")


def test_a_record_of_a_newer_schema_is_no_token_here(store: RedisTokenStore, saved: Any, record: str, raw: Any):
    """Nor is it looked at or listed, revoked or moved to other keys: it is named, and the others come."""
    other = make_token("grace", refresh="rt2")
    store.save_token(other)
    raw.hset(record, "schema", str(SCHEMA + 1))
    before = raw.hgetall(record)
    for ask in (store.get, store.revoke):
        with pytest.raises(UnsupportedSchema) as caught:
            ask(saved.get_id())
        assert caught.value.record_id == saved.get_id()
    with pytest.raises(UnsupportedSchema):
        store.get_by_user("ada")
    with pytest.raises(UnsupportedSchema):
        store.get_tokens()
    told: list[Any] = []
    assert store.get_by_user("ada", told.append) == []
    assert [contents(token) for token in store.iter_tokens(on_unreadable=told.append)] == [contents(other)]
    assert [(type(each), each.record_id) for each in told] == [(UnsupportedSchema, saved.get_id())] * 2
    assert [progress.failed for progress in store.rotate_keys()][-1] == (saved.get_id(),)
    assert raw.hgetall(record) == before


@pytest.mark.parametrize("every", [False, True])
def test_a_record_of_a_newer_schema_can_be_deleted(
    store: RedisTokenStore, saved: Any, record: str, raw: Any, every: bool
):
    """Who logs out is logged out, whichever release has the call; nothing that is known of it stays."""
    raw.hset(record, "schema", str(SCHEMA + 1))
    store.save_token(make_token("grace", refresh="rt2"))
    if every:
        store.delete_tokens()
    else:
        store.delete_token(saved.get_id())
    assert not raw.exists(record)
    with pytest.raises(TokenDeleted):
        store.save_token(refreshed(saved, "at2"))
    assert [token.get_refresh_token() for token in store.get_tokens()] == ([] if every else ["rt2"])
    assert store.stats()["deletes"] == 1 + every


@pytest.mark.parametrize(
    "damage", [{"meta": "no json"}, {"meta": '{"created_ms": []}'}, {"schema": "one"}, {"fence": "x"}]
)
def test_a_damaged_record_is_reported(
    store: RedisTokenStore, saved: Any, record: str, raw: Any, damage: dict[str, str]
):
    """A hand edit gives an error that names the record, and is left for a person to look at."""
    raw.hset(record, mapping=damage)
    before = raw.hgetall(record)
    with pytest.raises(CorruptRecord) as caught:
        store.save_token(make_token("ada", refresh="rt2"))
    assert caught.value.record_id == saved.get_id()
    assert raw.hgetall(record) == before


@pytest.mark.parametrize("length", [1, 64, 65, 70, 128, 129, 65536])
def test_tokens_of_any_length_come_back_whole(store: RedisTokenStore, other: RedisTokenStore, length: int):
    """Long tokens stand in two fields, very long ones in one again; nobody notices, also when lengths change."""
    for first, then in ((length, 70), (70, length)):
        token = make_token(f"user{first}-{then}", refresh="r" * first, grant="g" * first)
        store.save_token(token)
        assert contents(other.get(token.get_id())) == contents(token)
        token.set_refresh_token("R" * then)
        token.set_grant_token("G" * then)
        store.save_token(token)
        assert contents(other.get(token.get_id())) == contents(token)
        store.delete_token(token.get_id())


def test_a_full_record_of_zohos_lengths_stays_compact(store: RedisTokenStore, raw: Any, backend: Any, namespace: str):
    """Redis keeps a hash of short values in half the memory: no field of an ordinary record may be longer."""
    token = make_token("someone@example.com:60012345678", refresh="r" * 70, grant="g" * 70, access="a" * 70)
    store.save_token(token)
    for _ in range(6):
        store.save_token(refreshed(token, "b" * 70))
    stored = raw.hgetall(Keyspace(namespace).token(token.get_id()))
    assert {name: len(value) for name, value in stored.items() if len(value) > 64} == {}
