"""Redis is silent, gone, restarted or emptied: quick clear errors, nothing lost, and work goes on after."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integration.calls import CALLS, CLIENT, one_token
from integration.desk import make_token
from integration.fleet import Worker, attempt_all, do_all, wait_until
from integration.replies import attempt
from integration.site import Site
from proxy import FaultyProxy
from servers import Server
from topologies import Home
from zoho_token_store import RedisTokenStore, TokenNotFound
from zoho_token_store.testing import FakeZoho

Start = Callable[[int], list[Worker]]
StartServer = Callable[..., Server]
BUDGET = 1.0
IN_TIME = BUDGET + 4
"""The budget of a call, and what a busy machine may add, seconds."""


@pytest.mark.parametrize("call", CALLS)
def test_silent_redis(home: Server | Home, namespace: str, call: str) -> None:
    """Redis is connected to and says nothing: each call gives up within its budget, and works again afterwards."""
    with RedisTokenStore.from_url(home.url, namespace, operation_timeout=BUDGET) as store:
        token = one_token(store)
        with home.paused():
            reply = attempt(lambda: CALLS[call](store, token))
        assert reply.failure
        assert reply.failure.kind == "StoreUnavailable"
        assert BUDGET / 2 <= reply.seconds < IN_TIME
        CALLS[call](store, token)


@pytest.mark.parametrize("call", CALLS)
def test_absent_redis(start_server: StartServer, namespace: str, call: str) -> None:
    """Nobody listens any more: the same."""
    server = start_server()
    with RedisTokenStore.from_url(server.url, namespace, operation_timeout=BUDGET) as store:
        token = one_token(store)
        server.kill()
        reply = attempt(lambda: CALLS[call](store, token))
        assert reply.failure
        assert reply.failure.kind == "StoreUnavailable"
        assert reply.seconds < IN_TIME
        server.start()


def test_no_route(namespace: str) -> None:
    """A host that takes packets and never answers costs the budget and not the minutes of a TCP handshake."""
    store = RedisTokenStore.from_url("redis://192.0.2.1:6379/0", namespace, operation_timeout=BUDGET)
    reply = attempt(lambda: store.get("id"))
    assert reply.failure
    assert reply.failure.kind == "StoreUnavailable"
    assert reply.seconds < IN_TIME


def test_short_outage_goes_unnoticed(start_server: StartServer, namespace: str) -> None:
    """A restart that is over within the budget is not seen by the caller; with an append-only file all is there."""
    server = start_server(arguments=["--appendonly", "yes", "--appendfsync", "always"])
    with RedisTokenStore.from_url(server.url, namespace, operation_timeout=10.0) as store:
        tokens = [one_token(store)]
        for number in range(20):
            tokens.append(make_token(user=f"user {number}", refresh_token=f"refresh {number}", **CLIENT))
            store.save_token(tokens[-1])
        server.restart()
        assert store.find_token_by_id(tokens[0].get_id()).get_access_token() == "access"
        assert len(store.get_tokens()) == 21
        assert {token.get_refresh_token() for token in store.get_tokens()} == {t.get_refresh_token() for t in tokens}


def test_empty_restart(start_server: StartServer, namespace: str, zoho: FakeZoho, start_workers: Start) -> None:
    """Redis comes back empty: the id is not found, in plain words, and a new login brings the fleet back."""
    site = Site(start_server(), namespace, zoho)
    record_id = site.log_in()
    workers = start_workers(4)
    site.open(workers)
    do_all(workers, "boot", zoho.url, id=record_id)
    site.server.restart()
    replies = attempt_all(workers, "get_token")
    assert {reply.failure and reply.failure.kind for reply in replies} == {"TokenNotFound"}
    boot = {"grant_token": zoho.issue_grant_code(), **site.client_fields}
    do_all(workers, "boot", zoho.url, **boot)
    assert do_all(workers, "call") == ["60000000001"] * 4
    assert zoho.counters.exchanges == 1


def test_fences_after_an_empty_restart(start_server: StartServer, namespace: str) -> None:
    """A lease from before a loss of all data does not pass for one given afterwards."""
    server = start_server()
    with RedisTokenStore.from_url(server.url, namespace) as one, RedisTokenStore.from_url(server.url, namespace) as two:
        old = one.find_token(make_token(refresh_token="refresh", **CLIENT))
        assert old is None
        server.restart()
        assert two.find_token(make_token(refresh_token="refresh", **CLIENT)) is None
        late = make_token(refresh_token="refresh", access_token="late", **CLIENT)
        one.save_token(late)
        assert two.get(late.get_id()).get_access_token() == "late"
        assert one.stats()["late_saves"] == 0


def test_waiters_while_redis_goes_away(site: Site, start_workers: Start) -> None:
    """Processes that wait when Redis falls silent get StoreUnavailable in good time; all works when it is back."""
    record_id = site.log_in()
    holder, *waiters = start_workers(4)
    site.open([holder, *waiters], operation_timeout=BUDGET)
    holder.do("find_by_id", record_id)
    for waiter in waiters:
        waiter.start("find_by_id", record_id)
    wait_until(lambda: site.blocked() == 3, "all wait")
    with site.server.paused():
        for waiter in waiters:
            reply = waiter.finish()
            assert reply.failure
            assert reply.failure.kind == "StoreUnavailable"
            assert reply.seconds < 10  # a blocking read ends after a second and its timeout, then the budget
    holder.do("save", access_token="fresh")
    assert {found["access_token"] for found in do_all(waiters, "find_by_id", record_id)} == {"fresh"}


def test_connections_cut(real_server: Server, namespace: str) -> None:
    """Idle connections that a firewall has cut are replaced without the caller's notice."""
    with FaultyProxy(real_server.socket_path) as proxy, RedisTokenStore.from_url(proxy.url, namespace) as store:
        token = one_token(store)
        for _ in range(5):
            proxy.cut()
            assert store.find_token_by_id(token.get_id()).get_access_token() == "access"
        with pytest.raises(TokenNotFound):
            store.find_token_by_id("never-seen")
