"""A save that Redis could not take: raised, kept in the process, and stored when Redis is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest

from integration.calls import CLIENT, one_token
from integration.desk import make_token
from integration.fleet import Worker, do_all, value_of, wait_until
from integration.site import Site
from servers import Server
from topologies import Home
from zoho_token_store import RedisTokenStore, StoreUnavailable

Start = Callable[[int], list[Worker]]
StartServer = Callable[..., Server]


def test_save_during_an_outage(home: Server | Home, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """The save raises, is kept, logged and counted, and is stored by the background thread when Redis is back."""
    with RedisTokenStore.from_url(home.url, namespace, operation_timeout=1.0) as store:
        token = one_token(store)
        token.set_access_token("access token")
        with home.paused(), pytest.raises(StoreUnavailable), caplog.at_level(logging.INFO, "zoho_token_store"):
            store.save_token(token)
        assert "kept in this process" in caplog.text
        assert store.stats()["saves_kept"] == 1
        with RedisTokenStore.from_url(home.url, namespace) as other:
            wait_until(lambda: other.get(token.get_id()).get_access_token() == "access token", "the save is stored")
        wait_until(lambda: "a kept save is stored" in caplog.text, "it is logged")
        assert store.stats()["saves_dropped"] == 0
        for secret in ("access token", "refresh", "client"):
            assert secret not in caplog.text


def test_kept_save_is_stored_before_the_next_look(home: Server | Home, namespace: str) -> None:
    """A look-up right after the outage sees this process's own save, without waiting for the background thread."""
    for look in (
        lambda store, token: store.find_token_by_id(token.get_id()),
        lambda store, token: store.find_token(make_token(user="ada", **CLIENT)),
    ):
        with RedisTokenStore.from_url(home.url, namespace, operation_timeout=1.0) as store:
            token = one_token(store)
            token.set_access_token(f"kept {time.time()}")
            with home.paused(), pytest.raises(StoreUnavailable):
                store.save_token(token)
            assert look(store, token).get_access_token() == token.get_access_token()


def test_refresh_during_an_outage(site: Site, start_workers: Start) -> None:
    """Redis goes silent between a worker's look and its save: the SDK swallows the error, and no refresh is lost."""
    record_id = site.log_in()
    winner, other = start_workers(2)
    site.open([winner, other], operation_timeout=1.0)
    site.zoho.faults.set(hang=True)
    winner.start("boot", site.zoho.url, id=record_id)
    wait_until(lambda: site.zoho.max_in_flight() == 1, "the winner is at Zoho")
    with site.server.paused():
        site.zoho.faults.clear()
        value_of(winner.finish())
        assert winner.do("ask", "stats")["saves_kept"] == 1
    other.do("boot", site.zoho.url, id=record_id)
    assert do_all([winner, other], "call") == ["60000000001"] * 2
    assert site.zoho.counters.refreshes == 1


def test_exchange_during_an_outage(site: Site, start_workers: Start) -> None:
    """A code was exchanged while Redis was away: the refresh token, which cannot be had again, reaches the fleet."""
    boot = {"grant_token": site.zoho.issue_grant_code(), **site.client_fields}
    winner, other = start_workers(2)
    site.open([winner, other], operation_timeout=1.0)
    site.zoho.faults.set(hang=True)
    winner.start("boot", site.zoho.url, **boot)
    wait_until(lambda: site.zoho.max_in_flight() == 1, "the winner is at Zoho")
    with site.server.paused():
        site.zoho.faults.clear()
        value_of(winner.finish())
    other.do("boot", site.zoho.url, **boot)
    assert do_all([winner, other], "call") == ["60000000001"] * 2
    assert (site.zoho.counters.exchanges, site.zoho.counters.rejected) == (1, 0)


def test_process_that_ends_with_a_kept_save(site: Site, start_workers: Start) -> None:
    """A process that ends in good order right after the outage stores what it has kept, and loses no refresh token."""
    (worker,) = start_workers(1)
    site.open([worker], operation_timeout=1.0)
    assert worker.do("find", grant_token="code", **site.client_fields) is None
    with site.server.paused():
        assert worker.attempt("save", refresh_token="refresh", access_token="access").failure
    worker.end()
    with site.store() as store:
        (token,) = store.get_tokens()
    assert token.get_refresh_token() == "refresh"
