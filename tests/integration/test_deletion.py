"""A token is deleted while others wait for it, or refresh it: it is gone at once, and does not come back."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from integration.fleet import Worker, attempt_all, do_all, start_all, value_of, wait_until
from integration.site import Site

Start = Callable[[int], list[Worker]]
WAITERS = 6


def test_waiters_hear_of_it_at_once(site: Site, start_workers: Start) -> None:
    """Processes that wait for a refresh get TokenDeleted the moment the token is deleted, not when the lease ends."""
    record_id = site.log_in()
    holder, deleter, *waiters = start_workers(2 + WAITERS)
    do_all(waiters, "block_for", 60_000)
    site.open([holder, deleter, *waiters], lease_ttl=60.0, wait_timeout=120.0)
    holder.do("find_by_id", record_id)
    start_all(waiters, "find_by_id", record_id)
    wait_until(lambda: site.blocked() == WAITERS, "all wait")
    began = time.monotonic()
    deleter.do("ask", "delete_token", record_id)
    kinds = {reply.failure and reply.failure.kind for reply in (waiter.finish() for waiter in waiters)}
    assert kinds == {"TokenDeleted"}
    assert time.monotonic() - began < 30, "who is not woken sleeps for a minute"


@pytest.mark.parametrize("way", ["delete_token", "delete_tokens"])
def test_deleted_while_another_refreshes(site: Site, start_workers: Start, way: str) -> None:
    """A token that is deleted while a worker is at Zoho stays deleted for the whole fleet, that worker included."""
    record_id = site.log_in()
    winner, deleter = start_workers(2)
    site.open([winner, deleter])
    site.zoho.faults.set(hang=True)
    winner.start("boot", site.zoho.url, id=record_id)
    wait_until(lambda: site.zoho.max_in_flight() == 1, "the winner is at Zoho")
    deleter.do("ask", way, *([record_id] if way == "delete_token" else []))
    site.zoho.faults.clear()
    value_of(winner.finish())  # the SDK swallows the refusal of its save
    for reply in attempt_all([winner, deleter], "find_by_id", record_id):
        assert reply.failure
        assert reply.failure.kind == "TokenDeleted"
    failure = winner.attempt("call").failure
    assert failure
    assert failure.kind == "TokenDeleted"
    with site.store() as store:
        assert store.get_tokens() == []


def test_deleted_while_a_code_is_exchanged(site: Site, start_workers: Start) -> None:
    """A user who logs out while a late worker still saves the exchange of the same code stays logged out."""
    boot = {"grant_token": site.zoho.issue_grant_code(), **site.client_fields}
    late, prompt = start_workers(2)
    site.open([late, prompt], lease_ttl=0.3, wait_timeout=5.0)
    assert late.do("find", **boot) is None
    assert prompt.do("find", **boot) is None
    saved = prompt.do("save", access_token="access", refresh_token="refresh")
    prompt.do("ask", "delete_token", saved["id"])
    reply = late.attempt("save", access_token="access", refresh_token="refresh")
    assert reply.failure
    assert reply.failure.kind == "TokenDeleted"
    with site.store() as store:
        assert store.get_tokens() == []


def test_kept_save_of_a_deleted_token(site: Site, start_workers: Start) -> None:
    """A save that was kept through an outage does not bring back what was deleted meanwhile."""
    record_id = site.log_in()
    keeper, deleter = start_workers(2)
    site.open([keeper], operation_timeout=0.5)
    site.open([deleter], operation_timeout=10.0)
    deleter.do("ask", "ping")  # so that its request is in the server's socket before any repetition of the save
    keeper.do("find_by_id", record_id)
    with site.server.paused():
        deleter.start("ask", "delete_token", record_id)
        assert keeper.attempt("save", access_token="kept").failure
    value_of(deleter.finish())
    wait_until(lambda: keeper.do("ask", "stats")["saves_dropped"] == 1, "the kept save is refused")
    with site.store() as store:
        assert store.get_tokens() == []
