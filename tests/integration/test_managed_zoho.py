"""Zoho's bad days with ``refresh="managed"``: nobody notices while the token lasts, then all get a clear error soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from integration.fleet import Worker, attempt_all, do_all, value_of, wait_until
from integration.history import check_history
from integration.observer import View
from integration.replies import Reply
from integration.site import Site

Start = Callable[[int], list[Worker]]
REQUEST = 2.0
"""How long a store waits for a Zoho that hangs, seconds."""


def fleet(site: Site, start_workers: Start, count: int, record_id: str, **options: Any) -> list[Worker]:
    """Return workers that are up; the stand-in counts from here on."""
    workers = start_workers(count)
    site.open(workers, refresh="managed", **options)
    do_all(workers, "boot", site.zoho.url, id=record_id)
    site.zoho.reset()
    return workers


def kinds(replies: list[Reply]) -> set[str]:
    """Return the errors that there were; all must have failed."""
    return {reply.failure.kind if reply.failure else "none" for reply in replies}


def test_zoho_hangs(site: Site, start_workers: Start) -> None:
    """While the token lasts nobody notices; when it has ended all have an error in time; then all goes on."""
    record_id = site.log_in(life=3600)
    workers = fleet(site, start_workers, 8, record_id, request_timeout=REQUEST)
    site.zoho.faults.set(hang=True)
    do_all(workers, "watch", record_id)
    token = site.due(record_id)
    wait_until(lambda: site.lease(record_id).get("reason"), "the refresh was given up")
    views: list[View] = do_all(workers, "observed")
    check_history(site, views, record_id, [token])
    assert max(view.slowest for view in views) < REQUEST
    # The token is gone: during the pause nobody asks, after it one does.
    site.expire(record_id)
    replies = attempt_all(workers, "get_token")
    assert kinds(replies) == {"RefreshFailing"}
    assert max(reply.seconds for reply in replies) < REQUEST
    site.end_pause(record_id)
    replies = attempt_all(workers, "get_token")
    assert kinds(replies) == {"RefreshFailing"}
    assert max(reply.seconds for reply in replies) < REQUEST + 10, "and not the whole of the wait time"
    assert len({round(reply.failure.data["retry_at"]) for reply in replies if reply.failure}) <= 2, (
        "all are told one time"
    )
    wait_until(lambda: len(site.zoho.requests) == 2, "Zoho has seen who gave up: one call ahead of time, one after")
    site.zoho.faults.clear()
    site.end_pause(record_id)
    assert len(set(do_all(workers, "get_token"))) == 1
    assert (site.zoho.counters.refreshes, site.zoho.counters.abandoned, site.zoho.max_in_flight()) == (1, 2, 1)


def test_zoho_is_slower_than_the_lease(site: Site, start_workers: Start) -> None:
    """An answer that takes several times the lease: it is renewed, one call is in flight, and nobody takes over."""
    record_id = site.log_in()
    workers = fleet(site, start_workers, 8, record_id, lease_ttl=2.0)
    site.zoho.faults.set(latency=5.0)
    site.expire(record_id)
    replies = attempt_all(workers, "get_token")
    assert {value_of(reply) for reply in replies} == {site.access_token(record_id)}
    assert (site.zoho.counters.refreshes, site.zoho.max_in_flight()) == (1, 1)
    stats = do_all(workers, "ask", "stats")
    assert sum(seen["takeovers"] for seen in stats) == sum(seen["late_saves"] for seen in stats) == 0


@pytest.mark.parametrize("kind", ["status", "reset", "half"])
@pytest.mark.parametrize("times", [1, None], ids=["once", "for good"])
def test_answers_that_bring_nothing(site: Site, start_workers: Start, kind: Any, times: int | None) -> None:
    """5xx, a connection that is reset in the middle of the answer, half an answer: two calls, whoever waits."""
    record_id = site.log_in()
    workers = fleet(site, start_workers, 6, record_id)
    site.zoho.faults.set(latency=0.2)
    site.zoho.faults.fail_next(times, kind=kind)
    site.expire(record_id)
    replies = attempt_all(workers, "get_token")
    assert kinds(replies) == ({"RefreshFailing"} if times is None else {"none"})
    assert len([seen for seen in site.zoho.requests if seen.endpoint == "token"]) == 2
    assert site.zoho.max_in_flight() == 1


@pytest.mark.parametrize(("language", "status"), [("en", 400), ("zh", 200)])
def test_zoho_throttles(site: Site, start_workers: Start, language: str, status: int) -> None:
    """Nobody notices while the token lasts; then all are told when to come again. One call in all."""
    record_id = site.log_in(life=3600)
    refresh_token = site.refresh_token(record_id)
    for _ in range(10):
        site.zoho.accounts.refresh(site.zoho.client_id, site.zoho.client_secret, refresh_token)
    site.zoho.faults.set(throttle_language=language, throttle_status=status)
    workers = fleet(site, start_workers, 6, record_id)
    token = site.due(record_id)
    assert set(do_all(workers, "get_token")) == {token}
    wait_until(lambda: site.lease(record_id).get("reason"), "the refresh was refused")
    assert set(do_all(workers, "get_token")) == {token}
    site.expire(record_id)
    replies = attempt_all(workers, "get_token")
    assert kinds(replies) == {"RefreshThrottled"}
    for reply in replies:
        assert reply.failure
        assert reply.failure.data["retry_at"] == pytest.approx(time.time() + 60, abs=5)
    assert (site.zoho.counters.throttled, site.zoho.counters.rejected) == (1, 0)
    assert len(site.zoho.requests) == 1
