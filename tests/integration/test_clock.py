"""Workers whose clocks are minutes off: nobody refreshes too early, too late or twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from integration.fleet import Worker, do_all
from integration.replies import Loop
from integration.site import Site

Start = Callable[[int], list[Worker]]
SHIFTS = (-300.0, 0.0, 300.0)


def start_shifted(site: Site, start_workers: Start, each: int) -> list[Worker]:
    """Start workers whose clocks are off by each of the shifts, in turn."""
    workers = start_workers(each * len(SHIFTS))
    for index, worker in enumerate(workers):
        worker.do("shift_clock", SHIFTS[index % len(SHIFTS)])
    site.open(workers)
    return workers


@pytest.mark.parametrize("winner", range(len(SHIFTS)), ids=[f"{shift:+.0f} s" for shift in SHIFTS])
def test_expiries_are_right_for_everybody(site: Site, start_workers: Start, winner: int) -> None:
    """Whoever refreshes, each worker sees the expiry by its own clock, within seconds, and nobody refreshes again."""
    record_id = site.log_in()
    workers = start_shifted(site, start_workers, 1)
    before = time.time()
    workers[winner].do("boot", site.zoho.url, id=record_id)
    after = time.time()
    for shift, worker in zip(SHIFTS, workers, strict=True):
        worker.do("boot", site.zoho.url, id=record_id)
        expires_in = int(worker.do("find_by_id", record_id)["expires_in"]) / 1000
        assert before - 1.5 < expires_in - shift - 3600 < after + 5  # it is told by a clock that has gone on
    assert do_all(workers, "call") == ["60000000001"] * len(workers)
    assert (site.zoho.counters.refreshes, site.zoho.counters.crm_rejected) == (1, 0)


def test_expiries_with_clocks_apart(site: Site, start_workers: Start) -> None:
    """12 workers with three clocks across real expiries: one refresh for each, and no token is used after its end."""
    record_id = site.log_in()
    site.zoho.accounts.limits = replace(site.zoho.accounts.limits, access_token_ttl=8)  # due after 2 s of 8
    workers = start_shifted(site, start_workers, 4)
    started = time.monotonic()
    do_all(workers, "boot", site.zoho.url, id=record_id)
    loops: list[Loop] = do_all(workers, "call_until", time.monotonic() + 4.5, pause=0.05)
    took = time.monotonic() - started
    assert [failure for loop in loops for failure in loop.failures] == []
    counters = site.zoho.counters
    assert 2 <= counters.refreshes <= 2 + took / 2
    assert (counters.crm_rejected, counters.throttled, site.zoho.max_in_flight()) == (0, 0, 1)


def test_a_storm_with_clocks_apart(site: Site, start_workers: Start) -> None:
    """30 workers with three clocks at one expiry: one refresh."""
    record_id = site.log_in()
    workers = start_shifted(site, start_workers, 10)
    do_all(workers, "boot", site.zoho.url, id=record_id)
    for expiry in (2, 3, 4):
        site.expire(record_id)
        assert len(set(do_all(workers, "get_token"))) == 1
        assert site.zoho.counters.refreshes == expiry


@pytest.mark.parametrize("shift", SHIFTS)
def test_cool_down_is_told_by_the_callers_clock(site: Site, start_workers: Start, shift: float) -> None:
    """``RefreshFailing.retry_at`` is a time by the clock of whoever is told."""
    record_id = site.log_in()
    (worker,) = start_workers(1)
    worker.do("shift_clock", shift)
    site.open([worker])
    for _ in range(3):
        worker.do("find_by_id", record_id)
    failure = worker.attempt("find_by_id", record_id).failure
    assert failure
    assert failure.kind == "RefreshFailing"
    assert 0 < failure.data["retry_at"] - (time.time() + shift) < 20
