"""Redis is away, silent, refusing, emptied or restarted: quick clear errors, nothing lost, and work goes on after."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from integration.desk import attempt, make_token
from integration.fleet import Worker, attempt_all, do_all, value_of, wait_until
from integration.site import Site
from proxy import FaultyProxy
from servers import Server
from zoho_token_store import RedisTokenStore, StoreUnavailable, TokenNotFound
from zoho_token_store.testing import FakeZoho

Start = Callable[[int], list[Worker]]
StartServer = Callable[..., Server]
BUDGET = 0.4
CLIENT = {"client_id": "client", "client_secret": "secret"}

CALLS: dict[str, Callable[[RedisTokenStore, Any], Any]] = {
    "find_token": lambda store, token: store.find_token(make_token(user="ada", **CLIENT)),
    "find_token, never seen": lambda store, token: store.find_token(make_token(grant_token="code", **CLIENT)),
    "find_token_by_id": lambda store, token: store.find_token_by_id(token.get_id()),
    "save_token": lambda store, token: store.save_token(token),
    "save_token, new": lambda store, token: store.save_token(make_token(refresh_token="another", **CLIENT)),
    "delete_token": lambda store, token: store.delete_token(token.get_id()),
    "delete_tokens": lambda store, token: store.delete_tokens(),
    "get_tokens": lambda store, token: store.get_tokens(),
    "get": lambda store, token: store.get(token.get_id()),
    "invalidate_access_token": lambda store, token: store.invalidate_access_token(token.get_id()),
    "ping": lambda store, token: store.ping(),
}


def one_token(store: RedisTokenStore, life: float = 3600.0) -> Any:
    """Store a token and return it."""
    token = make_token(user="ada", refresh_token="refresh", access_token="access", **CLIENT)
    token.set_expires_in(str(int((time.time() + life) * 1000)))
    store.save_token(token)
    return token


@pytest.mark.parametrize("call", CALLS)
def test_silent_redis(real_server: Server, namespace: str, call: str) -> None:
    """Redis is connected to and says nothing: each call gives up within its budget, and works again afterwards."""
    with RedisTokenStore.from_url(real_server.url, namespace, operation_timeout=BUDGET) as store:
        token = one_token(store)
        with real_server.paused():
            reply = attempt(lambda: CALLS[call](store, token))
        assert reply.failure
        assert reply.failure.kind == "StoreUnavailable"
        assert BUDGET / 2 <= reply.seconds < BUDGET + 1
        CALLS[call](store, token)


@pytest.mark.parametrize("call", CALLS)
def test_absent_redis(start_server: StartServer, namespace: str, call: str) -> None:
    """Nobody listens any more: the same."""
    server = start_server()
    with RedisTokenStore.from_url(server.url, namespace, operation_timeout=0.3) as store:
        token = one_token(store)
        server.kill()
        reply = attempt(lambda: CALLS[call](store, token))
        assert reply.failure
        assert reply.failure.kind == "StoreUnavailable"
        assert reply.seconds < 1.3
        server.start()


def test_no_route(namespace: str) -> None:
    """A host that takes packets and never answers costs the budget and not the minutes of a TCP handshake."""
    store = RedisTokenStore.from_url("redis://192.0.2.1:6379/0", namespace, operation_timeout=BUDGET)
    reply = attempt(lambda: store.get("id"))
    assert reply.failure
    assert reply.failure.kind == "StoreUnavailable"
    assert reply.seconds < BUDGET + 1


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


def test_scripts_flushed(real_server: Server, namespace: str) -> None:
    """SCRIPT FLUSH between any two calls is not noticed."""
    with RedisTokenStore.from_url(real_server.url, namespace) as store, real_server.client() as client:
        token = one_token(store)
        for call in CALLS.values():
            client.script_flush()
            call(store, token)
        assert store.stats()["retries"] == 0


@pytest.mark.parametrize("call", CALLS)
def test_read_only_replica(start_server: StartServer, namespace: str, call: str) -> None:
    """A server that became a replica answers StoreUnavailable where it cannot serve, and serves after promotion."""
    server = start_server()
    with RedisTokenStore.from_url(server.url, namespace, operation_timeout=0.2) as store, server.client() as client:
        token = one_token(store)
        client.replicaof("127.0.0.1", "1")
        reply = attempt(lambda: CALLS[call](store, token))
        if reply.failure:
            assert reply.failure.kind == "StoreUnavailable"
            assert reply.seconds < 1.2
        else:
            # Only what changes nothing may succeed.
            assert call in ("find_token", "find_token_by_id", "get_tokens", "get", "ping")
        client.replicaof("NO", "ONE")
        CALLS[call](store, token)


def test_loading(start_server: StartServer, namespace: str) -> None:
    """A server that is still loading is StoreUnavailable with a short budget, and waited for with a long one."""
    server = start_server(arguments=["--appendonly", "yes", "--key-load-delay", "100"])  # microseconds for each key
    with RedisTokenStore.from_url(server.url, namespace) as store, server.client() as client:
        token = one_token(store)
        client.eval("for i = 1, 15000 do redis.call('SET', 'filler:' .. i, i) end", 0)
    server.kill()
    starting = threading.Thread(target=server.start)
    starting.start()
    wait_until(lambda: is_loading(server), "the server loads")
    with RedisTokenStore.from_url(server.url, namespace, operation_timeout=0.3) as store:
        reply = attempt(lambda: store.get(token.get_id()))
        assert reply.failure
        assert (reply.failure.kind, reply.seconds < 1.3) == ("StoreUnavailable", True)
    with RedisTokenStore.from_url(server.url, namespace, operation_timeout=20.0) as store:
        assert store.get(token.get_id()).get_access_token() == "access"
        assert store.stats()["retries"] > 0
    starting.join()


def is_loading(server: Server) -> bool:
    """Return whether a server answers, and that it is loading."""
    with server.client() as client:
        try:
            client.ping()
        except redis.BusyLoadingError:
            return True
        except redis.ConnectionError:
            pass
        return False


def test_too_many_clients(start_server: StartServer, namespace: str) -> None:
    """A server out of connections is StoreUnavailable in good time, and is used again when one is free."""
    server = start_server(arguments=["--maxclients", "4"])
    store = RedisTokenStore.from_url(server.url, namespace, operation_timeout=0.3)
    others = [server.client() for _ in range(4)]
    for other in others:
        other.ping()
    reply = attempt(lambda: store.get("id"))
    assert reply.failure
    assert (reply.failure.kind, reply.seconds < 1.3) == ("StoreUnavailable", True)
    for other in others:
        other.close()
    assert store.get("id") is None
    store.close()


@pytest.mark.parametrize("sent", [None, "a wrong secret"], ids=["none", "wrong"])
def test_password(start_server: StartServer, namespace: str, sent: str | None) -> None:
    """A missing or wrong password is refused at once, and no message repeats it, nor the right one."""
    server = start_server(password="the right secret")
    url = f"unix://:{sent.replace(' ', '%20')}@{server.socket_path}" if sent else f"unix://{server.socket_path}"
    with RedisTokenStore.from_url(url, namespace) as store:
        reply = attempt(lambda: store.get("id"))
    assert reply.failure
    assert reply.failure.kind == "StoreUnavailable"
    assert reply.seconds < 1.5, "nothing is tried again for the two seconds of the budget"
    assert "secret" not in reply.failure.text
    assert "secret" not in reply.failure.trace.replace("client_secret", "")


def test_save_during_an_outage(real_server: Server, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """The save raises, is kept, logged and counted, and is stored by the background thread when Redis is back."""
    with RedisTokenStore.from_url(real_server.url, namespace, operation_timeout=0.3) as store:
        token = one_token(store)
        token.set_access_token("access token")
        with real_server.paused(), pytest.raises(StoreUnavailable), caplog.at_level(logging.INFO, "zoho_token_store"):
            store.save_token(token)
        assert "kept in this process" in caplog.text
        assert store.stats()["saves_kept"] == 1
        with RedisTokenStore.from_url(real_server.url, namespace) as other:
            wait_until(lambda: other.get(token.get_id()).get_access_token() == "access token", "the save is stored", 5)
        wait_until(lambda: "a kept save is stored" in caplog.text, "it is logged")
        assert store.stats()["saves_dropped"] == 0
        for secret in ("access token", "refresh", "client"):
            assert secret not in caplog.text


def test_kept_save_is_stored_before_the_next_look(real_server: Server, namespace: str) -> None:
    """A look-up right after the outage sees this process's own save, without waiting for the background thread."""
    for look in (
        lambda store, token: store.find_token_by_id(token.get_id()),
        lambda store, token: store.find_token(make_token(user="ada", **CLIENT)),
    ):
        with RedisTokenStore.from_url(real_server.url, namespace, operation_timeout=0.3) as store:
            token = one_token(store)
            token.set_access_token(f"kept {time.time()}")
            with real_server.paused(), pytest.raises(StoreUnavailable):
                store.save_token(token)
            assert look(store, token).get_access_token() == token.get_access_token()


def test_refresh_during_an_outage(site: Site, start_workers: Start) -> None:
    """Redis goes silent between a worker's look and its save: the SDK swallows the error, and no refresh is lost."""
    record_id = site.log_in()
    winner, other = start_workers(2)
    site.open([winner, other], operation_timeout=0.3)
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
    site.open([winner, other], operation_timeout=0.3)
    site.zoho.faults.set(hang=True)
    winner.start("boot", site.zoho.url, **boot)
    wait_until(lambda: site.zoho.max_in_flight() == 1, "the winner is at Zoho")
    with site.server.paused():
        site.zoho.faults.clear()
        value_of(winner.finish())
    other.do("boot", site.zoho.url, **boot)
    assert do_all([winner, other], "call") == ["60000000001"] * 2
    assert (site.zoho.counters.exchanges, site.zoho.counters.rejected) == (1, 0)


def test_waiters_while_redis_goes_away(site: Site, start_workers: Start) -> None:
    """Processes that wait when Redis falls silent get StoreUnavailable in good time; all works when it is back."""
    record_id = site.log_in()
    holder, *waiters = start_workers(4)
    site.open([holder, *waiters], operation_timeout=0.5)
    holder.do("find_by_id", record_id)
    for waiter in waiters:
        waiter.start("find_by_id", record_id)
    wait_until(lambda: site.blocked() == 3, "all wait")
    with site.server.paused():
        for waiter in waiters:
            reply = waiter.finish()
            assert reply.failure
            assert reply.failure.kind == "StoreUnavailable"
            assert reply.seconds < 4  # a blocking read ends after a second and its timeout, then the budget
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
