"""Topologies are made of URLs and clients without connecting to anything."""

from __future__ import annotations

from typing import Any

import pytest
from redis.connection import Connection, SSLConnection
from redis.sentinel import Sentinel

from zoho_token_store import ConfigurationError, RedisTokenStore
from zoho_token_store.dialer import Address
from zoho_token_store.topology import topology_from_url, topology_of

HOSTS = [("10.0.0.1", 26379), ("10.0.0.2", 26380)]


def sought(topology: Any) -> tuple[Any, Any, Any]:
    """Return whom a route asks, a connection for asking, and one to the server."""
    route = topology.route("zts:{crm}:nothing")
    place = Address("10.0.0.9", 1)
    return route._directory, route._asking.dial(1.5, route._ring[0]), route._dialer.dial(1.5, place)


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_tls_is_for_all_of_them(scheme: str, kind: str) -> None:
    """Sentinels, nodes and masters are reached alike."""
    tail = "/tokens/3" if kind == "sentinel" else ""
    topology, _ = topology_from_url(f"{scheme}+{kind}://ada:secret@10.0.0.1:26379,10.0.0.2:26380{tail}")
    _, asking, connection = sought(topology)
    wanted = SSLConnection if scheme == "rediss" else Connection
    assert (type(asking), type(connection)) == (wanted, wanted)
    assert (asking.host, asking.port) == HOSTS[0]
    assert (connection.host, connection.port) == ("10.0.0.9", 1)
    assert connection.socket_timeout == connection.socket_connect_timeout == 1.5
    assert (connection.username, connection.password) == ("ada", "secret")
    assert connection.db == (3 if kind == "sentinel" else 0)


def test_sentinels_have_credentials_of_their_own() -> None:
    """Those of the servers are not shown to them."""
    topology, _ = topology_from_url("redis+sentinel://ada:secret@10.0.0.1/tokens/3?sentinel_password=theirs")
    directory, asking, _ = sought(topology)
    assert (asking.username, asking.password, asking.db) == (None, "theirs", 0)
    assert directory.service == "tokens"


@pytest.mark.parametrize("ssl", [False, True])
def test_a_client_of_a_sentinel_set(ssl: bool) -> None:
    """Sentinels, service, credentials and TLS are the client's; how it finds the master is not used."""
    make: Any = Sentinel
    watched = make(HOSTS, sentinel_kwargs={"password": "theirs", "ssl": ssl}, password="secret", ssl=ssl)
    directory, asking, connection = sought(topology_of(watched.master_for("tokens", db=2)))
    wanted = SSLConnection if ssl else Connection
    assert (type(asking), type(connection)) == (wanted, wanted)
    assert (asking.host, asking.password) == ("10.0.0.1", "theirs")
    assert (connection.password, connection.db) == ("secret", 2)
    assert directory.service == "tokens"


def test_a_client_of_replicas_is_refused() -> None:
    """They lag behind."""
    make: Any = Sentinel
    with pytest.raises(ConfigurationError, match="master_for"):
        RedisTokenStore(make(HOSTS).slave_for("tokens"), "crm")


def test_the_budget_in_a_url() -> None:
    """``operation_timeout`` is the store's option; a keyword goes before it."""
    url = "redis+cluster://10.0.0.1?operation_timeout=0.25"
    with RedisTokenStore.from_url(url, "crm") as store:
        assert store._link._budget == 0.25
    with RedisTokenStore.from_url(url, "crm", operation_timeout=0.5) as store:
        assert store._link._budget == 0.5
