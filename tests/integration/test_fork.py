"""Stores that were made before a fork, with threads, connections and leases alive in the parent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integration.fleet import Worker, do_all, start_all, value_of, wait_until
from integration.site import Site

Start = Callable[[int], list[Worker]]


def test_children_of_a_busy_parent(site: Site, start_workers: Start) -> None:
    """Forked children look up while the parent holds a lease and its threads wait: the parent keeps both."""
    due, fresh = site.log_in("due"), site.log_in("fresh", life=3600)
    parent, other = start_workers(2)
    site.open([parent, other], lease_ttl=60.0, wait_timeout=120.0)
    parent.do("find_by_id", due, name="due")
    parent.do("find_by_id", fresh)
    held = site.lease(due)
    other_due = site.log_in("other due")
    other.do("find_by_id", other_due)
    parent.do("start_threads", 4, "find_by_id", other_due)
    wait_until(lambda: site.blocked() == 1, "the parent's threads wait")
    found = [value_of(reply) for reply in parent.do("in_forks", 4, "find_by_id", fresh)]
    assert {token["id"] for token in found} == {fresh}
    # The children have ended by now, and ran their exit handlers: the lease is the parent's and has stayed so.
    assert site.lease(due) == held
    parent.do("save", name="due", access_token="from the parent")
    assert parent.do("ask", "stats")["late_saves"] == 0
    other.do("save", access_token="from the other")
    assert {value_of(reply)["access_token"] for reply in parent.do("join_threads")} == {"from the other"}


def test_children_do_not_pass_for_their_parent(site: Site, start_workers: Start) -> None:
    """A record that the parent has the lease of is leased to no child: owners are renewed by the fork."""
    record_id = site.log_in()
    (parent,) = start_workers(1)
    site.open([parent], lease_ttl=2.5, wait_timeout=20.0)
    parent.do("find_by_id", record_id)
    replies = parent.do("in_forks", 2, "find_by_id", record_id)
    # One of them gets it when the parent's has run out; it ends, and hands on to the other.
    assert [value_of(reply)["access_token"] for reply in replies] == [None, None]
    assert max(reply.seconds for reply in replies) > 0.3


def test_preloaded_fleet(site: Site, start_workers: Start) -> None:
    """Four parents that have booted fork four workers each, as gunicorn --preload does: one refresh for all 16."""
    record_id = site.log_in(life=3600)
    parents = start_workers(4)
    site.open(parents)
    do_all(parents, "boot", site.zoho.url, id=record_id)
    site.expire(record_id)
    start_all(parents, "in_forks", 4, "call")
    for parent in parents:
        assert [value_of(reply) for reply in value_of(parent.finish())] == ["60000000001"] * 4
    assert (site.zoho.counters.refreshes, site.zoho.counters.crm_rejected) == (1, 0)


def test_kept_saves_stay_with_the_parent(site: Site, start_workers: Start) -> None:
    """A save that the parent keeps through an outage is stored by the parent, once, whatever its children do."""
    record_id = site.log_in()
    (parent,) = start_workers(1)
    site.open([parent], operation_timeout=1.0)
    parent.do("find_by_id", record_id)
    with site.server.paused():
        reply = parent.attempt("save", access_token="kept")
        assert reply.failure
        assert reply.failure.kind == "StoreUnavailable"
        assert [value_of(reply)["saves_kept"] for reply in parent.do("in_forks", 2, "ask", "stats")] == [0, 0]
    with site.store() as store:
        wait_until(lambda: store.get(record_id).get_access_token() == "kept", "the parent stores it")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(site: Site, start_workers: Start, method: str) -> None:
    """Three children of ``multiprocessing`` share one refresh with their parent."""
    record_id = site.log_in(life=3600)
    (parent,) = start_workers(1)
    site.open([parent])
    parent.do("boot", site.zoho.url, id=record_id)
    site.expire(record_id)
    name, args = ("boot", (site.zoho.url,)) if method == "spawn" else ("get_token", ())
    options = {"id": record_id} if method == "spawn" else {}
    replies = parent.do("in_processes", method, 3, name, *args, **options)
    assert [reply.failure for reply in replies] == [None] * 3
    assert parent.do("call") == "60000000001"
    assert (site.zoho.counters.refreshes, site.zoho.counters.crm_rejected) == (1, 0)
