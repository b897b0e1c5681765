"""Workers that die, stand still, end or fork in the middle of a refresh of their own store."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from integration.fleet import Worker, attempt_all, do_all, start_all, value_of, wait_until
from integration.history import check_history, log_out
from integration.observer import View
from integration.site import Site
from zoho_token_store.options import MANAGED_LEASE

Start = Callable[[int], list[Worker]]
ORG = "60000000001"
OTHERS = 7
SOON = MANAGED_LEASE + 4.5
"""Sooner than any other lease would have run out that a store has by default, seconds."""


def boot(site: Site, workers: list[Worker], record_id: str, **options: Any) -> None:
    """Have workers make their stores, and come up; the stand-in counts from here on."""
    site.open(workers, refresh="managed", **options)
    do_all(workers, "boot", site.zoho.url, id=record_id)
    site.zoho.reset()


def asked(site: Site) -> bool:
    """Return whether somebody is at Zoho."""
    return site.zoho.max_in_flight() == 1


@pytest.mark.parametrize("heard", [False, True], ids=["before Zoho has worked", "after Zoho has worked"])
def test_killed_winner(site: Site, start_workers: Start, heard: bool) -> None:
    """SIGKILL between lease and save, with the lease that the store has by default: another takes over soon."""
    record_id = site.log_in(life=3600)
    winner, *others = start_workers(1 + OTHERS)
    boot(site, [winner, *others], record_id)
    site.expire(record_id)
    site.zoho.faults.set(**({"latency": 60.0} if heard else {"hang": True}))
    winner.start("get_token")
    wait_until(lambda: asked(site), "the winner is at Zoho")
    start_all(others, "get_token")
    wait_until(lambda: site.blocked() == OTHERS, "the others wait")
    winner.end(signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: len(site.zoho.requests) == 1, "Zoho sees that the winner has gone")
    site.zoho.faults.clear()
    tokens = {value_of(other.finish()) for other in others}
    assert time.monotonic() - killed < SOON
    assert tokens == {site.access_token(record_id)}
    counters = site.zoho.counters
    assert (counters.refreshes, counters.abandoned) == ((2, 0) if heard else (1, 1))
    stats = do_all(others, "ask", "stats")
    assert sum(seen["takeovers"] for seen in stats) == sum(seen["refreshes"] for seen in stats) == 1


def test_killed_between_answer_and_save(site: Site, start_workers: Start) -> None:
    """SIGKILL when Zoho has answered and nothing is stored: another refreshes soon, for all."""
    record_id = site.log_in(life=3600)
    winner, *others = workers = start_workers(1 + OTHERS)
    boot(site, workers, record_id)
    old = site.access_token(record_id)
    site.expire(record_id)
    winner.do("die_at_save")
    winner.start("get_token")
    wait_until(lambda: not winner.alive, "the winner has died")
    died = time.monotonic()
    assert (site.zoho.counters.refreshes, site.access_token(record_id)) == (1, None)
    tokens = set(do_all(others, "get_token"))
    assert time.monotonic() - died < SOON
    assert tokens == {site.access_token(record_id)} != {old}
    assert (site.zoho.counters.refreshes, site.zoho.max_in_flight()) == (2, 1)
    assert do_all(others, "call") == [ORG] * OTHERS


def test_killed_while_it_refreshes_ahead(site: Site, start_workers: Start) -> None:
    """Nobody notices that the winner of a refresh in the background has died; another does it before the token ends."""
    record_id = site.log_in(life=3600)
    winner, *others = workers = start_workers(1 + OTHERS)
    boot(site, workers, record_id, lease_ttl=2.0)
    site.zoho.faults.set(latency=60.0)
    old = site.due(record_id)
    assert winner.do("get_token") == old
    wait_until(lambda: asked(site), "the winner is at Zoho")
    do_all(others, "watch", record_id)
    site.zoho.faults.clear()
    winner.end(signal.SIGKILL)
    wait_until(lambda: site.access_token(record_id) != old, "there is another token", 12)
    wait_until(lambda: old not in do_all(others, "sees", record_id), "it is taken up")
    new = site.access_token(record_id)
    deleted = log_out(others[0], record_id, others)
    views: list[View] = do_all(others, "observed")
    check_history(site, views, record_id, [old, new], deleted, within=0)
    assert {tuple(view.outcomes(record_id)) for view in views} == {(old, new, "TokenDeleted")}
    assert sum(stats["waits"] for stats in do_all(others, "ask", "stats")) == 0
    assert site.zoho.counters.refreshes == 2


def test_killed_winner_of_a_grant_code(site: Site, start_workers: Start) -> None:
    """SIGKILL of the worker that was to exchange a code, before Zoho has seen it: another exchanges it, all are up."""
    fields = {"grant_token": site.zoho.issue_grant_code(), **site.client_fields}
    winner, *others = workers = start_workers(1 + OTHERS)
    site.open(workers, refresh="managed", lease_ttl=2.0)
    site.zoho.faults.set(hang=True)
    winner.start("boot", site.zoho.url, **fields)
    wait_until(lambda: asked(site), "the winner is at Zoho")
    start_all(others, "boot", site.zoho.url, **fields)
    wait_until(lambda: site.blocked() == OTHERS, "the others wait")
    winner.end(signal.SIGKILL)
    wait_until(lambda: site.zoho.counters.abandoned == 1, "Zoho sees that the winner has gone")
    site.zoho.faults.clear()
    for other in others:
        value_of(other.finish())
    assert do_all(others, "call") == [ORG] * OTHERS
    assert (site.zoho.counters.exchanges, site.zoho.counters.rejected) == (1, 0)


def test_stopped_winner(site: Site, start_workers: Start) -> None:
    """SIGSTOP of the winner past its lease, SIGCONT: its late save is merged, and no request is ever rejected."""
    record_id = site.log_in()
    winner, *others = workers = start_workers(1 + OTHERS)
    boot(site, workers, record_id, lease_ttl=2.0)
    site.expire(record_id)
    site.zoho.faults.set(hang=True)
    winner.start("get_token")
    wait_until(lambda: asked(site), "the winner is at Zoho")
    winner.signal(signal.SIGSTOP)
    site.zoho.faults.clear()
    wait_until(lambda: site.zoho.counters.refreshes == 1, "the winner's answer is under way")
    (token,) = set(do_all(others, "get_token"))
    assert site.zoho.counters.refreshes == 2
    winner.signal(signal.SIGCONT)
    value_of(winner.finish())
    assert winner.do("ask", "stats")["late_saves"] == 1
    assert set(do_all(workers, "get_token")) == {site.access_token(record_id)}
    assert do_all(workers, "call") == [ORG] * len(workers)
    assert (site.zoho.counters.refreshes, site.zoho.counters.crm_rejected, site.zoho.max_in_flight()) == (2, 0, 1)
    with site.store() as store:
        assert store.get(record_id).get_refresh_token()
    assert token


def test_stopped_winner_has_the_only_refresh_token(site: Site, start_workers: Start) -> None:
    """Where refresh tokens rotate, the others are refused while the winner stands still; what it brings ends that."""
    record_id = site.log_in()
    winner, *others = workers = start_workers(1 + OTHERS)
    boot(site, workers, record_id, lease_ttl=2.0)
    site.expire(record_id)
    site.zoho.faults.set(rotate_refresh_tokens=True, hang=True)
    winner.start("get_token")
    wait_until(lambda: asked(site), "the winner is at Zoho")
    winner.signal(signal.SIGSTOP)
    site.zoho.faults.set(hang=False)
    wait_until(lambda: site.zoho.counters.refreshes == 1, "the winner's answer is under way")
    replies = attempt_all(others, "get_token")
    assert {reply.failure and reply.failure.kind for reply in replies} == {"RefreshRejected"}
    assert site.zoho.counters.rejected == 1, "one has asked for all"
    winner.signal(signal.SIGCONT)
    token = value_of(winner.finish())
    assert set(do_all(others, "get_token")) == {token}
    site.expire(record_id)
    assert len(set(do_all(workers, "get_token"))) == 1
    assert do_all(workers, "call") == [ORG] * len(workers)
    assert (site.zoho.counters.refreshes, site.zoho.counters.rejected) == (2, 1)


def test_stopped_winner_brings_a_second_refresh_token(site: Site, start_workers: Start) -> None:
    """Where the old one goes on working two have a new one: that of the newer lease is current, then the other."""
    record_id = site.log_in()
    winner, *others = workers = start_workers(1 + OTHERS)
    boot(site, workers, record_id, lease_ttl=2.0)
    site.expire(record_id)
    site.zoho.faults.set(rotate_refresh_tokens=True, rotation_overlaps=True, hang=True)
    winner.start("get_token")
    wait_until(lambda: asked(site), "the winner is at Zoho")
    winner.signal(signal.SIGSTOP)
    site.zoho.faults.set(hang=False)
    wait_until(lambda: site.zoho.counters.refreshes == 1, "the winner's answer is under way")
    (token,) = set(do_all(others, "get_token"))
    current = site.refresh_token(record_id)
    winner.signal(signal.SIGCONT)
    value_of(winner.finish())
    assert winner.do("ask", "stats")["late_saves"] == 1
    assert (site.access_token(record_id), site.refresh_token(record_id)) == (token, current)
    assert set(do_all(workers, "get_token")) == {token}
    # The current one is worth nothing any more: before the fleet gives up it tries the other, which then is current.
    site.zoho.faults.clear()
    site.zoho.accounts.revoke(current)
    site.expire(record_id)
    assert set(do_all(workers, "get_token")) == {site.access_token(record_id)}
    assert (site.zoho.counters.refreshes, site.zoho.counters.rejected, site.zoho.max_in_flight()) == (3, 1, 1)
    site.expire(record_id)
    do_all(workers, "get_token")
    assert (site.zoho.counters.refreshes, site.zoho.counters.rejected) == (4, 1)
    assert do_all(workers, "call") == [ORG] * len(workers)


def test_a_process_that_ends_while_it_refreshes(site: Site, start_workers: Start) -> None:
    """The end of a process waits for its refresh in the background: the token is stored, and no call was in vain."""
    record_id = site.log_in(life=3600)
    leaver, other = start_workers(2)
    boot(site, [leaver, other], record_id)
    site.zoho.faults.set(latency=0.5)
    old = site.due(record_id)
    assert leaver.do("get_token") == old
    wait_until(lambda: asked(site), "it is at Zoho")
    leaver.end()
    assert other.do("get_token") == site.access_token(record_id) != old
    assert site.zoho.counters.refreshes == 1


def test_forks_while_a_refresh_is_under_way(site: Site, start_workers: Start) -> None:
    """Children of a process that is at Zoho leave its refresh to it, and do another one with a renewed lease."""
    record_id, other_id = site.log_in(life=3600), site.log_in("grace@example.com")
    (parent,) = start_workers(1)
    boot(site, [parent], record_id, lease_ttl=2.0)
    site.zoho.faults.set(latency=3.0)
    old = site.due(record_id)
    assert parent.do("get_token") == old
    wait_until(lambda: asked(site), "it is at Zoho")
    children = parent.do("in_forks", 4, "find_by_id", other_id)
    assert {value_of(reply)["access_token"] for reply in children} == {site.access_token(other_id)}
    assert {value_of(reply) for reply in parent.do("in_forks", 2, "get_token")} == {site.access_token(record_id)}
    assert site.access_token(record_id) != old
    assert (site.zoho.counters.refreshes, site.zoho.counters.abandoned, site.zoho.max_in_flight()) == (2, 0, 1)
