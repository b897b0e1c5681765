"""A winner that dies, or stands still past its lease, costs the others a moment and nobody a token."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from integration.fleet import Worker, attempt_all, do_all, start_all, value_of, wait_until
from integration.site import Site

Start = Callable[[int], list[Worker]]
LEASE = 2.5
"""Longer than a machine stands still, seconds."""
OTHERS = 7


def open_with_short_leases(site: Site, workers: list[Worker]) -> None:
    """Have workers make stores whose leases run out soon."""
    site.open(workers, lease_ttl=LEASE, wait_timeout=20.0)


@pytest.mark.parametrize("heard", [False, True], ids=["before Zoho has worked", "after Zoho has worked"])
def test_killed_winner_of_a_refresh(site: Site, start_workers: Start, heard: bool) -> None:
    """SIGKILL between lease and save: the others have a token within the lease time, by one more refresh."""
    record_id = site.log_in()
    winner, *others = start_workers(1 + OTHERS)
    open_with_short_leases(site, [winner, *others])
    site.zoho.faults.set(**({"latency": 60.0} if heard else {"hang": True}))
    winner.start("boot", site.zoho.url, id=record_id)
    wait_until(lambda: site.zoho.max_in_flight() == 1, "the winner is at Zoho")
    start_all(others, "boot", site.zoho.url, id=record_id)
    wait_until(lambda: site.blocked() == OTHERS, "the others wait")
    if heard:
        site.zoho.faults.clear()
    winner.end(signal.SIGKILL)
    wait_until(lambda: len(site.zoho.requests) == 1, "Zoho sees that the winner has gone")
    site.zoho.faults.clear()
    began = time.monotonic()
    for other in others:
        value_of(other.finish())
    assert time.monotonic() - began < LEASE + 10
    assert do_all(others, "call") == ["60000000001"] * OTHERS
    counters = site.zoho.counters
    assert (counters.refreshes, counters.abandoned, counters.crm_rejected) == ((2, 0, 0) if heard else (1, 1, 0))
    stats = do_all(others, "ask", "stats")
    assert sum(seen["takeovers"] for seen in stats) == sum(seen["leases"] for seen in stats) == 1
    assert [line for log in do_all(others, "log") for line in log if "taking over" in line]


def test_killed_winner_of_a_grant_code(site: Site, start_workers: Start) -> None:
    """SIGKILL of the worker that was to exchange a code, before Zoho has seen it: another exchanges it, all are up."""
    code = site.zoho.issue_grant_code()
    winner, *others = start_workers(1 + OTHERS)
    open_with_short_leases(site, [winner, *others])
    site.zoho.faults.set(hang=True)
    boot = {"grant_token": code, **site.client_fields}
    winner.start("boot", site.zoho.url, **boot)
    wait_until(lambda: site.zoho.max_in_flight() == 1, "the winner is at Zoho")
    start_all(others, "boot", site.zoho.url, **boot)
    wait_until(lambda: site.blocked() == OTHERS, "the others wait")
    winner.end(signal.SIGKILL)
    wait_until(lambda: site.zoho.counters.abandoned == 1, "Zoho sees that the winner has gone")
    site.zoho.faults.clear()
    for other in others:
        value_of(other.finish())
    assert (site.zoho.counters.exchanges, site.zoho.counters.rejected) == (1, 0)


def test_stopped_winner_returns_after_its_lease(site: Site, start_workers: Start) -> None:
    """SIGSTOP of the winner past its lease, SIGCONT: its late save is merged, and no request is ever rejected."""
    record_id = site.log_in()
    winner, *others = start_workers(1 + OTHERS)
    workers = [winner, *others]
    open_with_short_leases(site, workers)
    site.zoho.faults.set(hang=True)
    winner.start("boot", site.zoho.url, id=record_id)
    wait_until(lambda: site.zoho.max_in_flight() == 1, "the winner is at Zoho")
    winner.signal(signal.SIGSTOP)
    site.zoho.faults.clear()
    wait_until(lambda: site.zoho.counters.refreshes == 1, "the winner's answer is under way")
    for reply in attempt_all(others, "boot", site.zoho.url, id=record_id):
        value_of(reply)
    assert site.zoho.counters.refreshes == 2
    with site.store() as store:
        stored = store.get(record_id).get_refresh_token()
    winner.signal(signal.SIGCONT)
    value_of(winner.finish())
    assert do_all(workers, "call") == ["60000000001"] * len(workers)
    assert winner.do("ask", "stats")["late_saves"] == 1
    assert [line for line in winner.do("log") if "late save" in line]
    assert (site.zoho.counters.refreshes, site.zoho.counters.crm_rejected) == (2, 0)
    with site.store() as store:
        assert store.get(record_id).get_refresh_token() == stored


def test_stopped_winner_of_a_grant_code_brings_the_refresh_token(site: Site, start_workers: Start) -> None:
    """A winner that has exchanged the code but stood still past its lease still brings the refresh token to all."""
    code = site.zoho.issue_grant_code()
    boot = {"grant_token": code, **site.client_fields}
    winner, second, *others = start_workers(2 + OTHERS)
    open_with_short_leases(site, [winner, second, *others])
    site.zoho.faults.set(hang=True)
    winner.start("boot", site.zoho.url, **boot)
    wait_until(lambda: site.zoho.max_in_flight() == 1, "the winner is at Zoho")
    winner.signal(signal.SIGSTOP)
    site.zoho.faults.clear()
    wait_until(lambda: site.zoho.counters.exchanges == 1, "the winner's answer is under way")
    # The code is spent and nobody knows: the next in line is told so by Zoho, and that cannot be helped.
    assert second.attempt("boot", site.zoho.url, **boot).failure
    start_all(others, "boot", site.zoho.url, **boot)
    winner.signal(signal.SIGCONT)
    value_of(winner.finish())
    for other in others:
        value_of(other.finish())
    assert do_all([winner, second, *others], "call") == ["60000000001"] * (2 + OTHERS)
    assert site.zoho.counters.exchanges == 1
    with site.store() as store:
        (token,) = store.get_tokens()
    assert token.get_refresh_token()


def test_late_save_of_another_refresh_token(site: Site, start_workers: Start) -> None:
    """Two workers come with different refresh tokens for one record, one late: one is current, both find the record."""
    record_id = site.log_in()
    late, prompt, third = start_workers(3)
    open_with_short_leases(site, [late, prompt, third])
    assert late.do("find_by_id", record_id)["access_token"] is None
    late.signal(signal.SIGSTOP)
    assert prompt.do("find_by_id", record_id)["access_token"] is None
    prompt.do("save", access_token="prompt access", refresh_token="prompt refresh")
    late.start("save", access_token="late access", refresh_token="late refresh")
    late.signal(signal.SIGCONT)
    value_of(late.finish())
    assert third.do("find_by_id", record_id)["refresh_token"] == "prompt refresh"
    for name in ("prompt refresh", "late refresh"):
        found = third.do("find", refresh_token=name, **site.client_fields)
        assert (found["id"], found["access_token"]) == (record_id, "prompt access")


def test_refreshes_by_workers_that_all_die(site: Site, start_workers: Start) -> None:
    """Two winners in a row are killed; the third refreshes, and a waiter sat through both within its wait time."""
    record_id = site.log_in()
    first, second, waiter = start_workers(3)
    open_with_short_leases(site, [first, second, waiter])
    began = time.monotonic()
    for winner in (first, second):
        assert winner.do("find_by_id", record_id)["access_token"] is None
        winner.end(signal.SIGKILL)
    assert waiter.do("find_by_id", record_id)["access_token"] is None
    assert time.monotonic() - began < 2 * LEASE + 10
    assert waiter.do("ask", "stats")["takeovers"] == 1
