"""No call outlasts its budget, whatever the others do."""

from __future__ import annotations

import time
from collections.abc import Callable

from integration.fleet import Worker, do_all, start_all, wait_until
from integration.site import Site

Start = Callable[[int], list[Worker]]
WAIT = 3.0
LATE = 2.5
"""So much later a slow machine may notice that the time is over; it is less than another wait, seconds."""
NEVER_WOKEN = 30_000
"""Length of a blocking read, ms: who would wait for its end is seen to."""
OPTIONS = {"lease_ttl": 0.5, "wait_timeout": WAIT, "operation_timeout": 1.0}


def test_processes_that_wait_in_vain(site: Site, start_workers: Start) -> None:
    """A holder with a long lease never saves: everybody else has RefreshTimeout after the wait time."""
    record_id = site.log_in()
    holder, *waiters = start_workers(5)
    do_all(waiters, "block_for", NEVER_WOKEN)
    site.open([holder], lease_ttl=60.0, wait_timeout=120.0)
    site.open(waiters, **OPTIONS)
    holder.do("find_by_id", record_id)
    start_all(waiters, "find_by_id", record_id)
    for waiter in waiters:
        reply = waiter.finish()
        assert reply.failure
        assert reply.failure.kind == "RefreshTimeout"
        assert WAIT <= reply.seconds < WAIT + LATE
        assert reply.failure.data["waited"] >= WAIT
        assert waiter.do("ask", "stats")["wait_timeouts"] == 1


def test_threads_that_wait_in_vain(site: Site, start_workers: Start) -> None:
    """Threads of one process that come one after another, and wait behind each other, have each its own wait time."""
    record_id = site.log_in()
    holder, waiter = start_workers(2)
    waiter.do("block_for", NEVER_WOKEN)
    site.open([holder], lease_ttl=60.0, wait_timeout=120.0)
    site.open([waiter], **OPTIONS)
    holder.do("find_by_id", record_id)
    for _ in range(4):
        waiter.do("start_threads", 4, "find_by_id", record_id)
        time.sleep(WAIT / 5)  # the later ones find the earlier ones waiting
    replies = waiter.do("join_threads")
    assert [reply.failure and reply.failure.kind for reply in replies] == ["RefreshTimeout"] * 16
    assert max(reply.seconds for reply in replies) < WAIT + LATE


def test_leases_that_run_out_one_after_another(site: Site, start_workers: Start) -> None:
    """Workers that take the lease and do nothing with it do not hold up a waiter beyond its wait time."""
    record_id = site.log_in()
    *idlers, waiter = start_workers(4)
    site.open(idlers, lease_ttl=1.5, wait_timeout=10.0)
    site.open([waiter], **OPTIONS)
    start_all(idlers, "find_by_id", record_id)
    wait_until(lambda: site.blocked() == 2, "the idlers take turns")
    reply = waiter.attempt("find_by_id", record_id)
    assert reply.seconds < WAIT + LATE
    assert reply.failure is None or reply.failure.kind in ("RefreshTimeout", "RefreshFailing")


def test_redis_falls_silent_at_the_end_of_a_wait(site: Site, start_workers: Start) -> None:
    """The wait time and one operation's budget, and no more, when Redis goes away in the middle of a wait."""
    record_id = site.log_in()
    holder, waiter = start_workers(2)
    site.open([holder], lease_ttl=60.0, wait_timeout=120.0)
    site.open([waiter], **OPTIONS)
    holder.do("find_by_id", record_id)
    waiter.start("find_by_id", record_id)
    wait_until(lambda: site.blocked() == 1, "it waits")
    with site.server.paused():
        reply = waiter.finish()
    assert reply.failure
    assert reply.failure.kind in ("StoreUnavailable", "RefreshTimeout")
    # Beyond the wait time: the blocking read's own timeout, a quarter of a second's pause, and the budget.
    assert reply.seconds < WAIT + OPTIONS["operation_timeout"] + 10


def test_a_hanging_zoho_holds_up_nobody_for_long(site: Site, start_workers: Start) -> None:
    """Zoho hangs: callers get RefreshTimeout or the lease in turn, and nobody but lease holders is at Zoho."""
    record_id = site.log_in()
    workers = start_workers(4)
    site.open(workers, **OPTIONS)
    site.zoho.faults.set(hang=True)
    start_all(workers, "boot", site.zoho.url, id=record_id)
    wait_until(lambda: site.zoho.max_in_flight() >= 2, "a second worker has taken over")
    time.sleep(WAIT)
    assert site.zoho.max_in_flight() <= 3
    ended = [worker for worker in workers if not worker.busy()]
    assert {reply.failure and reply.failure.kind for reply in (worker.finish() for worker in ended)} <= {
        "RefreshTimeout",
        "RefreshFailing",
    }
    site.zoho.faults.clear()
