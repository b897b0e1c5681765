"""A whole fleet whose store refreshes by itself: one call to Zoho for each expiry, and nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from integration.fleet import Worker, do_all, start_all, value_of, wait_until
from integration.history import check_history, log_out
from integration.observer import View
from integration.site import Site
from zoho_token_store.testing import FakeZoho

Start = Callable[[int], list[Worker]]
ORG = "60000000001"
LATENCY = 1.0
"""How long Zoho takes where nobody is to wait for it, seconds."""


def through_expiries(site: Site, record_id: str, count: int) -> list[str]:
    """Let a token end so often, foreseen and not in turns, under workers that watch it; return all that there were."""
    tokens = []
    for expiry in range(1, count + 1):
        tokens.append(site.due(record_id) if expiry % 2 else site.access_token(record_id))
        if expiry % 2 == 0:
            site.expire(record_id)
        wait_until(lambda old=tokens[-1]: site.access_token(record_id) not in (None, old), "there is another token")
        assert site.zoho.counters.refreshes == expiry, "one refresh for each"
    return [*tokens, site.access_token(record_id)]


def test_expiries_that_nobody_waits_for(site: Site, start_workers: Start) -> None:
    """32 processes without a pause across four expiries at a slow Zoho: one call each, no wait, no token comes back."""
    record_id = site.log_in(life=3600)
    workers = start_workers(32)
    site.open(workers, refresh="managed")
    do_all(workers, "boot", site.zoho.url, id=record_id)
    site.zoho.faults.set(latency=LATENCY)
    tokens = [site.access_token(record_id)]
    do_all(workers, "watch", record_id)
    moments = [time.monotonic()]
    for expiry in range(1, 5):
        assert site.due(record_id) == tokens[-1]
        wait_until(lambda: site.access_token(record_id) != tokens[-1], "there is another token")
        assert site.zoho.counters.refreshes == expiry
        tokens.append(site.access_token(record_id))
        wait_until(lambda: set(do_all(workers, "sees", record_id)) == {tokens[-1]}, "it is taken up")
        moments.append(time.monotonic())
    deleted = log_out(workers[0], record_id, workers)
    views: list[View] = do_all(workers, "observed")
    check_history(site, views, record_id, tokens, deleted, within=0)
    assert {len(view.outcomes(record_id)) for view in views} == {len(tokens) + 1}, "every new token was taken up"
    slow = [began for view in views for began, seconds in view.slow if seconds >= LATENCY]
    held_up = [any(begin <= began < end for began in slow) for begin, end in pairwise(moments)]
    assert sum(held_up) <= 1, "a machine that stands still does so once; who refreshes would be held up each time"
    assert sum(stats["waits"] for stats in do_all(workers, "ask", "stats")) == 0
    assert site.zoho.counters.refreshes == 4


@pytest.mark.parametrize("kind", ["grant_token", "refresh_token"])
def test_boot_of_a_fleet(site: Site, start_workers: Start, kind: str) -> None:
    """16 processes boot on one credential: it is spent once, CRM is asked once whose it is, and all are up."""
    credential = site.zoho.issue_grant_code() if kind == "grant_token" else site.zoho.issue_refresh_token()
    workers = start_workers(16)
    site.open(workers, refresh="managed")
    site.zoho.faults.set(latency=0.2)  # so that all come while it is spent
    booted = do_all(workers, "boot", site.zoho.url, find_user=True, **{kind: credential}, **site.client_fields)
    counters = site.zoho.counters
    assert (counters.exchanges + counters.refreshes, counters.rejected, counters.throttled) == (1, 0, 0)
    assert len([seen for seen in site.zoho.requests if seen.endpoint.endswith("/users")]) == 1
    assert len({(token["id"], token["access_token"]) for token in booted}) == 1
    assert do_all(workers, "call") == [ORG] * len(workers)
    assert site.zoho.counters.crm_rejected == 0


def test_threads_at_one_expiry(site: Site, start_workers: Start) -> None:
    """200 threads over 8 processes come when the token is gone: one call, all have its token; after a logout none."""
    record_id = site.log_in()
    workers = start_workers(8)
    site.open(workers, refresh="managed")
    do_all(workers, "boot", site.zoho.url, id=record_id)
    site.zoho.reset()
    site.zoho.faults.set(latency=0.5)
    site.expire(record_id)
    replies = [reply for replies in do_all(workers, "in_threads", 25, "get_token") for reply in replies]
    assert len(replies) == 200
    assert {value_of(reply) for reply in replies} == {site.access_token(record_id)}
    assert max(reply.seconds for reply in replies) < 15
    assert (site.zoho.counters.refreshes, site.zoho.max_in_flight()) == (1, 1)
    workers[0].do("delete_now", record_id)
    replies = [reply for replies in do_all(workers, "in_threads", 25, "get_token") for reply in replies]
    assert {reply.failure and reply.failure.kind for reply in replies} == {"TokenDeleted"}


def test_a_token_that_crm_rejects(site: Site, start_workers: Start) -> None:
    """CRM rejects the token that 32 threads of 8 processes use: one refresh replaces it, and every call succeeds."""
    record_id = site.log_in(life=3600)
    workers = start_workers(8)
    site.open(workers, refresh="managed")
    do_all(workers, "boot", site.zoho.url, id=record_id)
    assert do_all(workers, "call_safely") == [ORG] * len(workers)
    old = site.access_token(record_id)
    do_all(workers, "watch", record_id)
    site.zoho.expire_access_tokens()
    replies = [reply for replies in do_all(workers, "in_threads", 4, "call_safely") for reply in replies]
    assert {value_of(reply) for reply in replies} == {ORG}
    new = site.access_token(record_id)
    deleted = log_out(workers[0], record_id, workers)
    check_history(site, do_all(workers, "observed"), record_id, [old, new], deleted, within=0)
    assert (site.zoho.counters.refreshes, site.zoho.max_in_flight()) == (1, 1)
    assert site.zoho.counters.crm_rejected <= len(replies), "each was rejected once at most"


def test_a_fleet_that_is_half_way_to_it(site: Site, start_workers: Start) -> None:
    """Workers whose SDK refreshes, and such whose store does, on one record: one refresh for each expiry."""
    record_id = site.log_in(life=3600)
    workers = start_workers(8)
    site.open(workers[:4])
    site.open(workers[4:], refresh="managed")
    do_all(workers, "boot", site.zoho.url, id=record_id)
    site.zoho.faults.set(latency=0.2)
    do_all(workers, "watch", record_id)
    tokens = through_expiries(site, record_id, 4)
    wait_until(lambda: set(do_all(workers, "sees", record_id)) == {tokens[-1]}, "it is taken up")
    deleted = log_out(workers[0], record_id, workers)
    check_history(site, do_all(workers, "observed"), record_id, tokens, deleted, within=0)


def test_two_data_centres(site: Site, start_workers: Start) -> None:
    """Threads of one process that belong to different accounts servers: each token is refreshed where it is known."""
    with FakeZoho() as europe:
        here, there = site.log_in(), Site(site.server, site.namespace, europe).log_in("grace@example.com")
        workers = start_workers(6)
        site.open(workers, refresh="managed")
        do_all(workers, "boot", site.zoho.url, id=here)
        for zoho in (site.zoho, europe):
            zoho.faults.set(latency=0.2)
            zoho.reset()
        for record_id in (here, there):
            site.expire(record_id)
        for worker in workers:
            worker.do("start_threads", 3, "call_as", europe.url, id=there)
            worker.do("start_threads", 3, "call_as", site.zoho.url, id=here)
        replies = [reply for replies in do_all(workers, "join_threads") for reply in replies]
        assert {value_of(reply) for reply in replies} == {ORG}
        for zoho in (site.zoho, europe):
            assert (zoho.counters.refreshes, zoho.counters.rejected, zoho.counters.crm_rejected) == (1, 0, 0)


def test_refresh_tokens_that_rotate(site: Site, start_workers: Start) -> None:
    """16 processes without a pause, ends that are foreseen and such that are not: each refresh token is used once."""
    record_id = site.log_in(life=3600)
    workers = start_workers(16)
    site.open(workers, refresh="managed")
    do_all(workers, "boot", site.zoho.url, id=record_id)
    site.zoho.faults.set(rotate_refresh_tokens=True, latency=0.1)
    do_all(workers, "watch", record_id)
    tokens = through_expiries(site, record_id, 6)
    assert site.zoho.counters.rejected == 0
    with site.store() as store:
        site.zoho.issue_access_token(store.get(record_id).get_refresh_token())  # refuses any but the newest
    deleted = log_out(workers[0], record_id, workers)
    check_history(site, do_all(workers, "observed"), record_id, tokens, deleted, within=0)


def test_clocks_that_differ(site: Site, start_workers: Start) -> None:
    """Workers whose clocks are an hour ahead or behind refresh for all: the SDK of none of them does it again."""
    record_id = site.log_in(life=3600)
    workers = start_workers(6)
    for index, worker in enumerate(workers):
        worker.do("shift_clock", 3600.0 * (index % 3 - 1))
    site.open(workers, refresh="managed")
    do_all(workers, "boot", site.zoho.url, id=record_id)
    for expiry, worker in enumerate(workers[:3], start=1):
        site.expire(record_id)
        token = worker.do("get_token")
        assert set(do_all(workers, "get_token")) == {token}
        assert site.zoho.counters.refreshes == expiry
    assert do_all(workers, "call") == [ORG] * len(workers)


@pytest.mark.soak
def test_ten_real_expiries(site: Site, start_workers: Start) -> None:
    """32 processes that call CRM across ten expiries in real time: one refresh for each, and nobody waits."""
    site.zoho.accounts.limits = replace(site.zoho.accounts.limits, access_token_ttl=20, access_tokens_per_window=10**6)
    record_id = site.log_in()
    workers = start_workers(32)
    site.open(workers, refresh="managed", refresh_budget=1000)
    do_all(workers, "boot", site.zoho.url, id=record_id)
    waited = sum(stats["waits"] for stats in do_all(workers, "ask", "stats"))
    site.zoho.reset()
    site.zoho.faults.set(latency=1.0)
    started = time.monotonic()
    start_all(workers, "call_until", started + 115, pause=0.1)  # due 10 s after each answer
    loops = [value_of(worker.finish(150)) for worker in workers]
    assert [failure for loop in loops for failure in loop.failures] == []
    assert max(loop.slowest for loop in loops) < 1.0
    assert sum(stats["waits"] for stats in do_all(workers, "ask", "stats")) == waited
    assert site.zoho.counters.refreshes == 10
    assert (site.zoho.counters.crm_rejected, site.zoho.max_in_flight()) == (0, 1)
