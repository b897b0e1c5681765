"""Long runs of a fleet under everything at once; started by ``make soak``."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from integration.fleet import Worker, do_all, start_all, value_of, wait_until
from integration.replies import Loop
from integration.site import Site
from servers import Server
from zoho_token_store.testing import FakeZoho

pytestmark = pytest.mark.soak
Start = Callable[[int], list[Worker]]
MINUTES = 3.0
PROCESSES = 16


def generous(zoho: FakeZoho) -> None:
    """Let tokens be short-lived, and Zoho not count them."""
    zoho.accounts.limits = replace(
        zoho.accounts.limits, access_token_ttl=8, access_tokens_per_window=10**6, live_access_tokens=10**6
    )


def test_expiry_after_expiry(site: Site, start_workers: Start) -> None:
    """16 processes for three minutes on tokens that are due every 2 s: one refresh each time, and no error at all."""
    generous(site.zoho)
    record_id = site.log_in()
    workers = start_workers(PROCESSES)
    site.open(workers)
    do_all(workers, "boot", site.zoho.url, id=record_id)
    started = time.monotonic()
    start_all(workers, "call_until", started + MINUTES * 60, pause=0.05)
    loops: list[Loop] = [value_of(worker.finish(MINUTES * 60 + 60)) for worker in workers]
    took = time.monotonic() - started
    assert [failure for loop in loops for failure in loop.failures] == []
    assert took / 4 <= site.zoho.counters.refreshes <= 2 + took / 2
    assert (site.zoho.counters.crm_rejected, site.zoho.max_in_flight()) == (0, 1)
    assert max(loop.slowest for loop in loops) < 5


def test_crashes_and_pauses_of_workers(site: Site, start_workers: Start) -> None:
    """Workers are killed, stopped and replaced for three minutes: nothing is rejected, and everybody goes on."""
    generous(site.zoho)
    record_id = site.log_in()
    seen = random.Random(2)
    site.zoho.faults.set(latency=0.2)  # a winner is often at Zoho when it is hit
    workers = _fleet(site, start_workers, record_id, PROCESSES)
    deadline = time.monotonic() + MINUTES * 60
    while time.monotonic() < deadline:
        victim = seen.randrange(len(workers))
        if seen.random() < 0.5:
            workers[victim].end(signal.SIGKILL)
            (workers[victim],) = _fleet(site, start_workers, record_id, 1)
        else:
            workers[victim].signal(signal.SIGSTOP)
            time.sleep(seen.uniform(0.1, 3.0))
            workers[victim].signal(signal.SIGCONT)
        time.sleep(seen.uniform(0.0, 0.5))
    loops: list[Loop] = [value_of(worker.finish(120)) for worker in workers]
    assert {failure.kind for loop in loops for failure in loop.failures} <= {"RefreshFailing"}
    assert site.zoho.counters.throttled == site.zoho.counters.rejected == 0
    with site.store() as store:
        assert len(store.get_tokens()) == 1


def _fleet(site: Site, start_workers: Start, record_id: str, count: int) -> list[Worker]:
    """Start workers that call CRM until the end of the run."""
    workers = start_workers(count)
    site.open(workers, lease_ttl=1.5, wait_timeout=20.0)
    for worker in workers:
        # Three winners in a row may have been killed: then the fleet cools down, and this one has to come again.
        wait_until(lambda: worker.attempt("boot", site.zoho.url, id=record_id).failure is None, "it boots", 60)  # noqa: B023
    start_all(workers, "call_until", time.monotonic() + MINUTES * 60, pause=0.05)
    return workers


def test_restarts_of_redis(
    start_server: Callable[..., Server], namespace: str, zoho: FakeZoho, start_workers: Start
) -> None:
    """Redis, with an append-only file, is killed and frozen over and over: only StoreUnavailable, no token lost."""
    generous(zoho)
    server = start_server(arguments=["--appendonly", "yes", "--appendfsync", "always"])
    site = Site(server, namespace, zoho)
    record_id = site.log_in()
    workers = start_workers(PROCESSES)
    site.open(workers, operation_timeout=0.5)
    do_all(workers, "boot", zoho.url, id=record_id)
    seen = random.Random(3)
    deadline = time.monotonic() + MINUTES * 60
    start_all(workers, "call_until", deadline, pause=0.05)
    while time.monotonic() < deadline - 5:
        if seen.random() < 0.5:
            server.restart()
        else:
            with server.paused():
                time.sleep(seen.uniform(0.1, 2.0))
        time.sleep(seen.uniform(0.5, 3.0))
    loops: list[Loop] = [value_of(worker.finish(120)) for worker in workers]
    assert {failure.kind for loop in loops for failure in loop.failures} <= {"StoreUnavailable"}
    assert zoho.counters.crm_rejected == 0
    wait_until(lambda: len(set(do_all(workers, "get_token"))) == 1, "all agree")
    with site.store() as store:
        assert len(store.get_tokens()) == 1


def test_boot_after_boot(site: Site, start_workers: Start) -> None:
    """A hundred fleets of 16 boot, each on a code of its own, by mixed selectors: one exchange each, all are up."""
    for number in range(100):
        user = f"user{number}@example.com"
        site.zoho.register_user(user)
        workers = start_workers(PROCESSES)
        site.open(workers)
        site.zoho.reset()
        code = site.zoho.issue_grant_code(user=user)
        for index, worker in enumerate(workers):
            named = {"user": user} if index % 2 else {"find_user": True}
            worker.start("boot", site.zoho.url, grant_token=code, **named, **site.client_fields)
        for worker in workers:
            value_of(worker.finish())
        assert (site.zoho.counters.exchanges, site.zoho.counters.rejected) == (1, 0)
        for worker in workers:
            worker.dispose()
