"""Refreshes that keep failing: the fleet cools down with growing pauses, and recovers."""

from __future__ import annotations

import time
from collections.abc import Callable

from integration.fleet import Worker, attempt_all, do_all, value_of
from integration.site import Site

Start = Callable[[int], list[Worker]]
FIRST_PAUSE = 0.8
LONG_PAUSE_MS = 60_000  # for tests that must be over before it is


def test_zoho_is_not_hammered(site: Site, start_workers: Start) -> None:
    """16 workers that call without a pause while every refresh fails make three requests, then one for each pause."""
    record_id = site.log_in(life=3600)
    workers = start_workers(16)
    do_all(workers, "cool_down_from", int(FIRST_PAUSE * 1000))
    site.open(workers, lease_ttl=0.5)
    do_all(workers, "boot", site.zoho.url, id=record_id)
    site.expire(record_id)
    site.zoho.faults.fail_next(None)
    began = time.monotonic()
    loops = do_all(workers, "call_until", began + 5 * FIRST_PAUSE, pause=0.01)
    took = time.monotonic() - began
    # Three in a row, one after the first pause (0.8 s), one after the second (1.6 s more), the next after 3.2 s more.
    assert 4 <= site.zoho.counters.errors <= 5, took
    failures = [failure for loop in loops for failure in loop.failures]
    cooling = [failure for failure in failures if failure.kind == "RefreshFailing"]
    assert len(failures) - len(cooling) == site.zoho.counters.errors
    assert len(cooling) > 100
    retry_at = max(failure.data["retry_at"] for failure in cooling)
    assert abs(retry_at - time.time()) < 8 * FIRST_PAUSE
    assert sum(stats["failing"] for stats in do_all(workers, "ask", "stats")) == len(cooling)
    assert [line for log in do_all(workers, "log") for line in log if "taking over" in line]


def test_recovery(site: Site, start_workers: Start) -> None:
    """When Zoho answers again, one refresh after the pause brings everybody back, and failures count from zero."""
    record_id = site.log_in(life=3600)
    first, *_ = workers = start_workers(6)
    do_all(workers, "cool_down_from", LONG_PAUSE_MS)
    site.open(workers, lease_ttl=2.0)
    do_all(workers, "boot", site.zoho.url, id=record_id)
    site.expire(record_id)
    site.zoho.faults.fail_next(3)
    for _ in range(3):
        assert first.attempt("get_token").failure
    replies = attempt_all(workers, "get_token")
    assert {reply.failure and reply.failure.kind for reply in replies} == {"RefreshFailing"}
    retry_at = {reply.failure.data["retry_at"] for reply in replies if reply.failure}
    said = int(site.lease(record_id)["retry_ms"]) / 1000
    assert all(said - 0.05 < each < said + 10 for each in retry_at), "all are told one time, by their own clocks"
    site.end_pause(record_id)
    assert len(set(do_all(workers, "get_token"))) == 1
    assert (site.zoho.counters.refreshes, site.zoho.counters.errors) == (1, 3)
    site.expire(record_id)
    site.zoho.faults.fail_next(2)
    failed = 0
    while site.zoho.counters.errors < 5:
        failed += sum(1 for reply in attempt_all(workers, "get_token") if reply.failure)
    assert failed == 2, "two failures do not cool the fleet down: somebody else takes over"
    assert len(set(do_all(workers, "get_token"))) == 1


def test_the_token_in_hand_is_used_meanwhile(site: Site, start_workers: Start) -> None:
    """Refreshes that fail inside the margin disturb only those who try: the rest use the token that is there."""
    record_id = site.log_in(life=200)
    site.age(record_id, 110)
    workers = start_workers(6)
    do_all(workers, "cool_down_from", LONG_PAUSE_MS)
    site.open(workers, freshness_margin=100, lease_ttl=0.5)
    site.zoho.faults.fail_next(None)
    replies = attempt_all(workers, "boot", site.zoho.url, id=record_id)
    replies += attempt_all(workers, "boot", site.zoho.url, id=record_id)
    replies += attempt_all(workers, "boot", site.zoho.url, id=record_id)
    failed = [reply.failure for reply in replies if reply.failure]
    assert len(failed) == site.zoho.counters.errors <= 3
    assert "RefreshFailing" not in {failure.kind for failure in failed}
    assert len([value_of(reply) for reply in replies if not reply.failure]) >= 15


def test_revoked_refresh_token(site: Site, start_workers: Start) -> None:
    """A refresh token that Zoho refuses for good is tried three times by a fleet of eight, not once by each call."""
    record_id = site.log_in(life=3600)
    workers = start_workers(8)
    do_all(workers, "cool_down_from", LONG_PAUSE_MS)
    site.open(workers, lease_ttl=0.5)
    do_all(workers, "boot", site.zoho.url, id=record_id)
    with site.store() as store:
        assert site.zoho.accounts.revoke(store.get(record_id).get_refresh_token())
    site.expire(record_id)
    kinds = [reply.failure and reply.failure.kind for _ in range(4) for reply in attempt_all(workers, "get_token")]
    assert site.zoho.counters.rejected == 3
    assert (kinds.count("SDKException"), kinds.count("RefreshFailing")) == (3, 29)


def test_workers_that_are_restarted_again_and_again(site: Site, start_workers: Start) -> None:
    """Workers that fail at boot, end in order and are started anew do not hammer Zoho: three requests, no more."""
    record_id = site.log_in()
    site.zoho.faults.fail_next(None)
    kinds = []
    for _ in range(8):
        (worker,) = start_workers(1)
        worker.do("cool_down_from", LONG_PAUSE_MS)
        site.open([worker])
        failure = worker.attempt("boot", site.zoho.url, id=record_id).failure
        kinds.append(failure and failure.kind)
        worker.end()
    assert kinds == ["SDKException"] * 3 + ["RefreshFailing"] * 5
    assert site.zoho.counters.errors == 3
