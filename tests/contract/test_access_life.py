"""Lives of access tokens: by Redis's TTL, with their pointers, and apart from the record."""

from __future__ import annotations

import pytest

from contract.tokens import HOUR, OTHER_CLIENT, by_access, by_user, epoch_ms, make_token, seconds_left
from contract.underneath import Underneath
from zoho_token_store import RedisTokenStore, TokenNotFound


def saved(store: RedisTokenStore, *args, **fields) -> str:
    token = make_token(*args, **fields)
    store.save_token(token)
    return str(token.get_id())


LASTING = {"events", "counted"}
"""Kinds of keys that are of no record."""


def lives(raw, namespace: str) -> dict[str, float]:
    """Return seconds to live (-1 for no end) of the namespace's keys, by kind."""
    return {key.split(":")[2]: raw.pttl(key) / 1000 for key in raw.scan_iter(f"zts:{{{namespace}}}:*")}


def test_the_access_part_ends_by_itself_and_the_record_stays(store: RedisTokenStore, raw, namespace: str) -> None:
    """Access token and its pointer have the token's life; record and other pointers have no end."""
    saved(store, "ada", refresh="rt", grant="gt", access="at", left=600)
    found = lives(raw, namespace)
    assert 590 < found.pop("access") <= 600
    assert 590 < found.pop("access-token") <= 600
    assert {kind: left for kind, left in found.items() if kind not in LASTING} == dict.fromkeys(
        ("token", "user", "refresh", "grant", "ids"), -0.001
    )


def test_an_expired_token_is_found_without_access(store: RedisTokenStore, other: RedisTokenStore, wait_for) -> None:
    """After the expiry the record is found with its refresh token and without access token: the SDK refreshes."""
    id = saved(store, "ada", refresh="rt", access="at", left=0.1)
    wait_for(lambda: store.get(id).get_access_token() is None)
    found = other.find_token(by_user("ada"))
    assert (found.get_id(), found.get_refresh_token(), found.get_access_token()) == (id, "rt", None)
    assert other.find_token(by_access("at")) is None


def test_an_access_token_only_record_is_used_to_its_end(store: RedisTokenStore) -> None:
    """A record that cannot be refreshed is handed out although others would be due."""
    id = saved(store, "ada", access="at", left=5.5)
    assert store.find_token_by_id(id).get_access_token() == "at"
    assert store.find_token(by_user("ada")).get_access_token() == "at"
    assert store.stats()["leases"] == 0


def test_an_access_token_only_record_goes_as_a_whole(store: RedisTokenStore, wait_for, raw, namespace: str) -> None:
    """At its end such a record goes with all its keys."""
    id = saved(store, "ada", access="at", left=0.05)
    wait_for(lambda: store.get(id) is None)
    assert store.get_tokens() == []
    assert store.find_token(by_user("ada")) is None
    with pytest.raises(TokenNotFound):
        store.find_token_by_id(id)
    assert set(lives(raw, namespace)) <= LASTING


def test_a_record_that_becomes_refreshable_stays(store: RedisTokenStore, raw, namespace: str) -> None:
    """A refresh token that comes later takes the end from a record that had one."""
    saved(store, "ada", access="at", left=600)
    assert 590 < lives(raw, namespace)["token"] <= 600
    saved(store, "ada", refresh="rt")
    found = lives(raw, namespace)
    assert (found["token"], found["user"]) == (-0.001, -0.001)
    assert 590 < found["access"] <= 600


def test_an_unknown_expiry_is_returned_as_unknown(store: RedisTokenStore, raw, namespace: str, make_store) -> None:
    """Without an expiry the token lives for ``default_access_ttl`` in Redis and comes back without one."""
    id = saved(store, "ada", refresh="rt", access="at", left=None)
    assert store.find_token_by_id(id).get_expires_in() is None
    assert 3590 < lives(raw, namespace)["access"] <= 3600
    saved(make_store(default_access_ttl=60), "ada", access="at2", left=None)
    assert 50 < lives(raw, namespace)["access"] <= 60


@pytest.mark.parametrize(
    ("expires_in", "most"),
    [
        ("nan", HOUR),
        ("", HOUR),
        ("soon", HOUR),
        ("inf", HOUR),
        ("-inf", HOUR),
        ("1e999", HOUR),
        ("0x10", HOUR),
        ("9" * 400, HOUR),
        ("9" * 5000, HOUR),
        ("9" * 30, 10 * 366 * 86400),
        (str(2**63), 10 * 366 * 86400),
        ("4000000000000", 10 * 366 * 86400),  # in the year 2096
        ("0", 0),
        ("-1", 0),
        ("1600000000000", 0),
        (str(-(2**70)), 0),
    ],
)
def test_weird_expiries_are_stored_safely(
    store: RedisTokenStore, other: RedisTokenStore, raw, namespace: str, expires_in: str, most: float
) -> None:
    """No expiry is refused or lets anything fail later; none keeps an access token longer than ten years."""
    token = make_token("ada", refresh="rt", access="at")
    token.set_expires_in(expires_in)
    store.save_token(token)
    assert lives(raw, namespace).get("access", 0) <= max(most, 0.05)  # one that has expired is kept for a millisecond
    found = other.find_token(by_user("ada"))
    assert found.get_access_token() == ("at" if most else None)
    assert found.get_refresh_token() == "rt"
    if found.get_expires_in() is not None:
        assert seconds_left(found) <= most


def test_a_number_for_an_expiry_will_do(store: RedisTokenStore) -> None:
    """An expiry that an application sets as a number instead of text counts."""
    token = make_token("ada", refresh="rt", access="at")
    token.set_expires_in(int(epoch_ms(HOUR)))
    store.save_token(token)
    assert 3590 < seconds_left(store.find_token(by_user("ada"))) <= HOUR


def test_the_expiry_comes_back_as_it_was(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """Between workers whose clocks agree, an expiry is the same text in every process."""
    token = make_token("ada", refresh="rt", access="at")
    store.save_token(token)
    assert other.find_token(by_user("ada")).get_expires_in() == token.get_expires_in()


def test_retention_is_a_sliding_life(make_store, raw, namespace: str) -> None:
    """With retention the record and its pointers end that long after the last save, and each save starts it anew."""
    store = make_store(retention=7200)
    id = saved(store, "ada", refresh="rt", access="at", left=600)
    for key in raw.scan_iter(f"zts:{{{namespace}}}:*"):
        if key.split(":")[2] in ("token", "user", "refresh"):
            assert 7190 < raw.ttl(key) <= 7200
            raw.expire(key, 1000)
    saved(store, "ada", access="at2")
    found = lives(raw, namespace)
    assert all(7190 < found[kind] <= 7200 for kind in ("token", "user", "refresh"))
    assert store.find_token_by_id(id).get_access_token() == "at2"


class TestMargins:
    """When an access token is due: the margin, at most half of the life, at least six seconds."""

    @pytest.mark.parametrize(
        ("margin", "life", "due"),
        [
            pytest.param(30, 29, False, id="half of a short life goes before the margin"),
            pytest.param(30, 31, False, id="half of the life again"),
            pytest.param(30, 100, False, id="a long life is fresh"),
            pytest.param(0, 5.5, True, id="the floor goes before a margin of 0"),
            pytest.param(30, 5.5, True, id="the floor goes before half of the life"),
            pytest.param(30, 7, False, id="above the floor, half of the life is less"),
            pytest.param(86400, 100, False, id="a huge margin is cut to half of the life"),
        ],
    )
    def test_by_margin(self, make_store, margin: float, life: float, due: bool) -> None:
        """A token just saved is due only if its whole life is under the floor of 6 s."""
        store = make_store(freshness_margin=margin)
        id = saved(store, "ada", refresh="rt", access="at", left=life)
        assert (store.find_token_by_id(id).get_access_token() is None) is due

    @pytest.mark.parametrize(
        ("margin", "left", "due"), [(30, 29, True), (30, 31, False), (10, 9, True), (10, 11, False), (0, 7, False)]
    )
    def test_by_what_is_left(self, make_store, underneath: Underneath, margin: float, left: float, due: bool) -> None:
        """A token that had an hour is due when less than the margin is left."""
        store = make_store(freshness_margin=margin)
        id = saved(store, "ada", refresh="rt", access="at")
        underneath.leave(id, left)
        assert (store.find_token_by_id(id).get_access_token() is None) is due


def test_an_ended_record_no_longer_makes_its_user_ambiguous(
    store: RedisTokenStore, other: RedisTokenStore, wait_for
) -> None:
    """When one of a user's two records has ended by itself, the name alone leads to the other, in find and in save."""
    id = saved(store, "ada", refresh="rt", access="at")
    ending = saved(store, "ada", client_id=OTHER_CLIENT, access="at2", left=0.05)
    wait_for(lambda: store.get(ending) is None)
    assert other.find_token(by_user("ada")).get_id() == id
    assert saved(other, "ada", client_id=None, secret=None, access="at3") == id


def test_a_record_under_the_id_of_an_ended_one_is_no_namesake(
    store: RedisTokenStore, other: RedisTokenStore, wait_for
) -> None:
    """What once led from a user name to that id makes nobody ambiguous, in find and in save."""
    id = saved(store, "ada", refresh="rt", access="at")
    ending = saved(store, "ada", client_id=OTHER_CLIENT, access="at2", left=0.05)
    wait_for(lambda: store.get(ending) is None)
    assert saved(store, id=ending, refresh="rt2", access="at3") == ending
    assert other.find_token(by_user("ada")).get_id() == id
    assert saved(other, "ada", client_id=None, secret=None, access="at4") == id
