"""A whole fleet at one moment: one refresh, one exchange, and everybody gets the token."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from integration.fleet import Worker, attempt_all, do_all, start_all, value_of, wait_until
from integration.replies import Loop
from integration.site import USER, Site

Start = Callable[[int], list[Worker]]
PROCESSES = 32


def test_expiries_cost_one_refresh_each(site: Site, start_workers: Start) -> None:
    """32 processes that call CRM without a pause, across several real expiries: one refresh for each, no error."""
    record_id = site.log_in()
    site.zoho.accounts.limits = replace(site.zoho.accounts.limits, access_token_ttl=8)  # due after 2 s of 8
    workers = start_workers(PROCESSES)
    site.open(workers)
    started = time.monotonic()
    do_all(workers, "boot", site.zoho.url, id=record_id)
    loops: list[Loop] = do_all(workers, "call_until", time.monotonic() + 7, pause=0.1)
    took = time.monotonic() - started
    assert [failure for loop in loops for failure in loop.failures] == []
    counters = site.zoho.counters
    # A token is due 2 s after it came: one at boot, then at most one in 2 s; and several there were.
    assert 3 <= counters.refreshes <= 2 + took / 2
    assert (counters.crm_rejected, counters.throttled, counters.rejected, counters.exchanges) == (0, 0, 0, 0)
    assert site.zoho.max_in_flight() == 1


def test_each_of_several_expiries_at_once(site: Site, start_workers: Start) -> None:
    """All 32 processes ask in the very moment when the token has gone, five times: five refreshes."""
    record_id = site.log_in()
    workers = start_workers(PROCESSES)
    site.open(workers)
    do_all(workers, "boot", site.zoho.url, id=record_id)
    site.zoho.reset()
    for expiry in range(1, 6):
        site.expire(record_id)
        tokens = do_all(workers, "get_token")
        assert len(set(tokens)) == 1
        assert site.zoho.counters.refreshes == expiry
    assert do_all(workers, "call") == ["60000000001"] * PROCESSES
    assert site.zoho.counters.crm_rejected == 0


def test_nobody_waits_while_the_token_can_be_used(site: Site, start_workers: Start) -> None:
    """Inside the margin, with more than 6 s left, one worker refreshes at a slow Zoho and no other waits for it."""
    record_id = site.log_in(life=200)
    site.age(record_id, 110)  # 90 s left: the margin is half of its life
    winner, *others = start_workers(8)
    site.open([winner, *others], freshness_margin=100, lease_ttl=60.0, wait_timeout=120.0)
    site.zoho.faults.set(hang=True)
    winner.start("boot", site.zoho.url, id=record_id)
    wait_until(lambda: site.zoho.max_in_flight() == 1, "the winner is at Zoho")
    replies = attempt_all(others, "boot", site.zoho.url, id=record_id)
    assert [reply.failure for reply in replies] == [None] * len(others)
    assert winner.busy()
    assert sum(stats["waits"] for stats in do_all(others, "ask", "stats")) == 0
    with site.store() as store:
        assert {reply.value["access_token"] for reply in replies} == {store.get(record_id).get_access_token()}
    site.zoho.faults.clear()
    value_of(winner.finish())
    assert site.zoho.counters.refreshes == 1


@pytest.mark.parametrize("kind", ["grant_token", "refresh_token"])
def test_boot_of_a_fleet(site: Site, start_workers: Start, kind: str) -> None:
    """32 processes boot on one grant code, or on one refresh token, at once: it is spent once, and all are up."""
    credential = site.zoho.issue_grant_code() if kind == "grant_token" else site.zoho.issue_refresh_token()
    workers = start_workers(PROCESSES)
    site.open(workers)
    do_all(workers, "boot", site.zoho.url, find_user=True, **{kind: credential}, **site.client_fields)
    assert do_all(workers, "call") == ["60000000001"] * PROCESSES
    counters = site.zoho.counters
    assert counters.exchanges + counters.refreshes == 1
    assert (counters.crm_rejected, counters.throttled, counters.rejected) == (0, 0, 0)
    with site.store() as store:
        (token,) = store.get_tokens()
    assert token.get_user_signature().get_name() == USER


def test_one_code_by_different_selectors(site: Site, start_workers: Start) -> None:
    """Workers that come with one code and a user name, the code alone, and another's name for it spend it once."""
    code = site.zoho.issue_grant_code()
    workers = start_workers(18)
    site.open(workers)
    selectors = [
        {"user": USER, "find_user": True},
        {"find_user": True},
        {"find_user": False},
        {"user": "ada", "find_user": False},
    ]
    for index, worker in enumerate(workers):
        selector = selectors[index % len(selectors)]
        worker.start("boot", site.zoho.url, grant_token=code, **selector, **site.client_fields)
    for worker in workers:
        value_of(worker.finish())
    do_all(workers, "call")
    counters = site.zoho.counters
    assert (counters.exchanges, counters.refreshes, counters.rejected, counters.crm_rejected) == (1, 0, 0, 0)
    with site.store() as store:
        assert len(store.get_tokens()) == 1


def test_boot_while_zoho_fails_at_first(site: Site, start_workers: Start) -> None:
    """One failed exchange does not spend the code: the next worker in line gets it, and only one worker is down."""
    code = site.zoho.issue_grant_code()
    site.zoho.faults.fail_next(1)
    workers = start_workers(8)
    site.open(workers, lease_ttl=3.0)
    replies = attempt_all(workers, "boot", site.zoho.url, grant_token=code, **site.client_fields)
    assert sum(1 for reply in replies if reply.failure) == 1
    assert site.zoho.counters.exchanges == 1


def test_waiters_are_woken_by_the_save(site: Site, start_workers: Start) -> None:
    """31 processes that wait for a slow refresh all have its token at once."""
    record_id = site.log_in()
    winner, *others = start_workers(PROCESSES)
    do_all(others, "block_for", 60_000)
    site.open([winner, *others], lease_ttl=60.0, wait_timeout=120.0)
    winner.do("find_by_id", record_id)
    start_all(others, "find_by_id", record_id)
    wait_until(lambda: site.blocked() == len(others), "all others wait")
    began = time.monotonic()
    winner.do("save", access_token="fresh")
    found = [value_of(other.finish()) for other in others]
    assert {token["access_token"] for token in found} == {"fresh"}
    assert time.monotonic() - began < 30, "who is not woken sleeps for a minute"
