"""A process that ends in good order gives its leases back: nobody waits for it."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from integration.fleet import Worker, value_of, wait_until
from integration.site import Site

Start = Callable[[int], list[Worker]]


def fall_off_the_end(worker: Worker) -> None:
    """Let the worker's script come to its end."""
    worker.end()


def sys_exit(worker: Worker) -> None:
    """Let it call ``sys.exit`` with a number."""
    worker.start("leave")
    worker.end()


def sigterm(worker: Worker) -> None:
    """Send SIGTERM, which the worker does not handle."""
    worker.end(signal.SIGTERM)


def handled_sigterm(worker: Worker) -> None:
    """Send SIGTERM, which the worker's application handles by ``sys.exit``."""
    worker.do("leave_on_sigterm")
    worker.end(signal.SIGTERM)


def close(worker: Worker) -> None:
    """Close the store, and go on without it."""
    worker.do("ask", "close")


WAYS = [fall_off_the_end, sys_exit, sigterm, handled_sigterm, close]


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("credential", [False, True], ids=["record", "grant code"])
def test_leases_are_given_back(site: Site, start_workers: Start, leave: Callable[..., None], credential: bool) -> None:
    """After each good end, the next worker gets the lease of a record, or of a grant code, at once."""
    holder, following = start_workers(2)
    site.open([holder, following])
    record_id = site.log_in()
    command = {"grant_token": site.zoho.issue_grant_code(), **site.client_fields}

    def claim(worker: Worker) -> None:
        if credential:
            assert worker.do("find", **command) is None
        else:
            assert worker.do("find_by_id", record_id)["access_token"] is None

    claim(holder)
    leave(holder)
    claim(following)
    stats = following.do("ask", "stats")
    assert (stats["waits"], stats["leases"]) == (0, 1)


def test_waiters_are_woken_when_the_holder_ends(site: Site, start_workers: Start) -> None:
    """A worker that is ended in the middle of its refresh hands on to one that waits already."""
    record_id = site.log_in()
    holder, waiter = start_workers(2)
    waiter.do("block_for", 60_000)
    site.open([holder, waiter], lease_ttl=60.0, wait_timeout=120.0)
    site.zoho.faults.set(hang=True)
    holder.start("boot", site.zoho.url, id=record_id)
    wait_until(lambda: site.zoho.max_in_flight() == 1, "the holder is at Zoho")
    waiter.start("find_by_id", record_id)
    wait_until(lambda: site.blocked() == 1, "the other waits")
    holder.end(signal.SIGTERM)
    reply = waiter.finish()
    assert value_of(reply)["access_token"] is None
    assert reply.seconds < 30, "who is not woken sleeps for a minute"


def test_leases_on_many_records(site: Site, start_workers: Start) -> None:
    """All leases of a process are given back, not only its last."""
    records = [site.log_in(f"user {number}") for number in range(20)]
    holder, following = start_workers(2)
    site.open([holder, following])
    for record_id in records:
        holder.do("find_by_id", record_id, name=record_id)
    holder.end(signal.SIGTERM)
    for record_id in records:
        following.do("find_by_id", record_id, name=record_id)
    assert following.do("ask", "stats")["waits"] == 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_child(site: Site, start_workers: Start, method: str) -> None:
    """A child of ``multiprocessing``, which ends without running ``atexit``, gives its lease back too."""
    record_id = site.log_in()
    parent, following = start_workers(2)
    site.open([parent, following])
    for reply in parent.do("in_processes", method, 1, "find_by_id", record_id):
        assert value_of(reply)["access_token"] is None
    assert following.do("find_by_id", record_id)["access_token"] is None
    assert following.do("ask", "stats")["waits"] == 0


def test_end_while_redis_is_away(site: Site, start_workers: Start) -> None:
    """A process whose Redis does not answer still ends by SIGTERM within a few seconds."""
    record_id = site.log_in()
    (holder,) = start_workers(1)
    site.open([holder], operation_timeout=0.5)
    holder.do("find_by_id", record_id)
    with site.server.paused():
        holder.end(signal.SIGTERM)


def test_a_used_lease_is_not_given_back_twice(site: Site, start_workers: Start) -> None:
    """The end of a process whose lease ran out, and passed to another, leaves the other's lease alone."""
    record_id = site.log_in()
    first, second, third = start_workers(3)
    site.open([first], lease_ttl=0.2)
    site.open([second, third])
    first.do("find_by_id", record_id)
    second.do("find_by_id", record_id)
    held = site.lease(record_id)
    first.end()
    assert site.lease(record_id) == held
    third.start("find_by_id", record_id)
    wait_until(lambda: site.blocked() == 1, "the third waits for the second")
    second.do("save", access_token="fresh")
    assert value_of(third.finish())["access_token"] == "fresh"
