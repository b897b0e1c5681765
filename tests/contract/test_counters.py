"""`stats()`, log records and copies of tokens: what is seen from outside."""

from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import pytest

from contract.tokens import by_user, contents, make_token, refreshed
from zoho_token_store import RedisTokenStore

NAMES = {
    "finds", "leases", "takeovers", "waits", "wait_timeouts", "failing", "saves", "late_saves", "name_conflicts",
    "merges", "conflicts", "deletes", "invalidations", "retries", "unavailable", "saves_kept", "saves_dropped",
    "saves_not_durable", "revocations", "refreshes", "refreshes_failed", "refreshes_throttled", "refreshes_rejected",
    "adoptions", "near_hits", "near_outage_hits", "near_emptied", "restored",
}  # fmt: skip


def test_every_counter_is_there_from_the_start(store: RedisTokenStore) -> None:
    """A dashboard finds all names at 0 before anything has happened."""
    assert store.stats() == dict.fromkeys(NAMES, 0)


def test_a_day_in_numbers(store: RedisTokenStore) -> None:
    """Each operation counts where it belongs, and nowhere else."""
    token = make_token("ada", refresh="rt", access="at", left=5)
    store.save_token(token)
    store.save_token(refreshed(store.find_token_by_id(token.get_id()), "at2"))
    store.find_token_by_id(token.get_id())
    store.invalidate_access_token(token.get_id())
    store.delete_token(token.get_id())
    counted = {name: count for name, count in store.stats().items() if count}
    assert counted == {"saves": 2, "finds": 2, "leases": 1, "invalidations": 1, "deletes": 1}


def test_stats_are_a_copy(store: RedisTokenStore) -> None:
    """What a caller does to the answer does not change the counters."""
    store.stats()["saves"] = 99
    assert store.stats()["saves"] == 0


def test_takeovers_and_late_saves_are_logged(
    store: RedisTokenStore, make_store, caplog: pytest.LogCaptureFixture
) -> None:
    """Both leave a warning that names the record and no secret."""
    caplog.set_level(logging.WARNING, "zoho_token_store")
    token = make_token("ada", refresh="rt-secret", access="at-secret", left=5)
    store.save_token(token)
    slow = make_store(lease_ttl=0.1)
    late = slow.find_token_by_id(token.get_id())
    store.save_token(refreshed(store.find_token_by_id(token.get_id()), "at2-secret"))
    slow.save_token(refreshed(late, "at3-secret"))
    messages = [record.getMessage() for record in caplog.records if record.name == "zoho_token_store"]
    assert any("taking over" in message and token.get_id() in message for message in messages)
    assert any("late save" in message and token.get_id() in message for message in messages)
    assert not any("secret" in message or "ada" in message for message in messages)


def pickled(token: Any) -> Any:
    return pickle.loads(pickle.dumps(token))  # noqa: S301 - pickled the line before


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
def test_tokens_can_be_copied(store: RedisTokenStore, copied) -> None:
    """A token that the store has handed out travels between processes, and can be saved from its copy."""
    token = make_token("ada", refresh="rt", access="at", left=5)
    store.save_token(token)
    for handed_out in (token, store.get(token.get_id()), store.find_token(by_user("ada"))):
        twin = copied(handed_out)
        assert contents(twin) == contents(handed_out)
        store.save_token(refreshed(twin, "at2", left=5))
        assert twin.get_id() == token.get_id()
