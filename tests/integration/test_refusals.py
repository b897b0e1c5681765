"""Redis answers, but not usefully: a replica, loading, full of clients, with a password, without our scripts."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import redis

from integration.calls import CALLS, one_token
from integration.fleet import Worker, wait_until
from integration.replies import attempt
from servers import Server
from topologies import Home
from zoho_token_store import RedisTokenStore

Start = Callable[[int], list[Worker]]
StartServer = Callable[..., Server]
IN_TIME = 5.0
"""The budget of a call, and what a busy machine may add, seconds."""


def test_scripts_flushed(home: Server | Home, namespace: str) -> None:
    """SCRIPT FLUSH between any two calls is not noticed."""
    with RedisTokenStore.from_url(home.url, namespace) as store, home.client() as client:
        token = one_token(store)
        for call in CALLS.values():
            client.script_flush()
            call(store, token)
        assert store.stats()["retries"] == 0


@pytest.mark.parametrize("call", CALLS)
def test_read_only_replica(start_server: StartServer, namespace: str, call: str) -> None:
    """A server that became a replica answers StoreUnavailable where it cannot serve, and serves after promotion."""
    server = start_server()
    with RedisTokenStore.from_url(server.url, namespace, operation_timeout=1.0) as store, server.client() as client:
        token = one_token(store)
        client.replicaof("127.0.0.1", "1")
        reply = attempt(lambda: CALLS[call](store, token))
        if reply.failure:
            assert reply.failure.kind == "StoreUnavailable"
            assert reply.seconds < IN_TIME
        else:
            # Only what changes nothing may succeed.
            assert call in ("find_token", "find_token_by_id", "get_tokens", "get", "ping")
        client.replicaof("NO", "ONE")
        CALLS[call](store, token)


def test_loading(start_server: StartServer, namespace: str) -> None:
    """A server that is still loading is StoreUnavailable with a short budget, and waited for with a long one."""
    server = start_server(arguments=["--appendonly", "yes", "--key-load-delay", "200"])  # microseconds for each key
    with RedisTokenStore.from_url(server.url, namespace) as store, server.client() as client:
        token = one_token(store)
        client.eval("for i = 1, 20000 do redis.call('SET', 'filler:' .. i, i) end", 0)
    server.kill()
    starting = threading.Thread(target=server.start)
    starting.start()
    try:
        wait_until(lambda: is_loading(server), "the server loads")
        with RedisTokenStore.from_url(server.url, namespace, operation_timeout=0.5) as store:
            reply = attempt(lambda: store.get(token.get_id()))
        with RedisTokenStore.from_url(server.url, namespace, operation_timeout=20.0) as store:
            assert store.get(token.get_id()).get_access_token() == "access"
            assert store.stats()["retries"] > 0
    finally:
        starting.join()
    assert reply.failure
    assert reply.failure.kind == "StoreUnavailable"
    assert reply.seconds < IN_TIME


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
    store = RedisTokenStore.from_url(server.url, namespace, operation_timeout=1.0)
    others = [server.client() for _ in range(4)]
    for other in others:
        other.ping()
    reply = attempt(lambda: store.get("id"))
    assert reply.failure
    assert (reply.failure.kind, reply.seconds < IN_TIME) == ("StoreUnavailable", True)
    for other in others:
        other.close()
    assert store.get("id") is None
    store.close()


@pytest.mark.parametrize("sent", [None, "a wrong secret"], ids=["none", "wrong"])
def test_password(start_server: StartServer, namespace: str, sent: str | None) -> None:
    """A missing or wrong password is refused at once, and no message repeats it, nor the right one."""
    server = start_server(password="the right secret")
    url = f"unix://:{sent.replace(' ', '%20')}@{server.socket_path}" if sent else f"unix://{server.socket_path}"
    with RedisTokenStore.from_url(url, namespace, operation_timeout=60.0) as store:
        reply = attempt(lambda: store.get("id"))
    assert reply.failure
    assert reply.failure.kind == "StoreUnavailable"
    assert reply.seconds < 30, "nothing is tried again for the minute of the budget"
    assert "secret" not in reply.failure.text
    assert "secret" not in reply.failure.trace.replace("client_secret", "")
