"""Ways to reach Redis: one server, a Sentinel set or a cluster; all that makes them, from URLs and from clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from redis.cluster import RedisCluster
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.crc import key_slot
from redis.sentinel import SentinelConnectionPool

from zoho_token_store.address import Target, read_url
from zoho_token_store.dialer import Address, Dialer
from zoho_token_store.directory import ClusterNodes, Sentinels
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.route import FixedRoute, Route, SoughtRoute
from zoho_token_store.tls import verify_by_default

_OF_THE_STORE = ("operation_timeout",)
_OF_SENTINELS = {"sentinel_username": "username", "sentinel_password": "password"}


class Topology(Protocol):
    """How a namespace is reached."""

    def route(self, key: str) -> Route:
        """Return a way of its own to the server that has a key."""


class Single:
    """One server.

    Args:
        dialer: Makes connections to it.
    """

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer

    def route(self, key: str) -> Route:
        """Return the way to it."""
        return FixedRoute(self._dialer)


class SentinelSet:
    """A master and its replicas, watched by Sentinels.

    Args:
        sentinels: Their addresses.
        directory: The service, and how answers are read.
        asking: Makes connections to Sentinels.
        dialer: Makes connections to the master.
    """

    def __init__(self, sentinels: Sequence[Address], directory: Sentinels, asking: Dialer, dialer: Dialer) -> None:
        self._parts = directory, tuple(sentinels), asking, dialer

    def route(self, key: str) -> Route:
        """Return a way to whatever is the master."""
        return SoughtRoute(*self._parts)


class Cluster:
    """A Redis Cluster.

    Args:
        nodes: Some of its nodes.
        dialer: Makes connections to any.
        remap: Where a node is reached that says of itself that it is elsewhere; see ``ClusterNodes``.
    """

    def __init__(self, nodes: Sequence[Address], dialer: Dialer, remap: Any = None) -> None:
        self._nodes = tuple(nodes)
        self._dialer = dialer
        self._remap = remap

    def route(self, key: str) -> Route:
        """Return a way to whatever node has a key's slot."""
        directory = ClusterNodes(key_slot(key.encode()), self._remap)
        return SoughtRoute(directory, self._nodes, self._dialer, self._dialer)


def topology_from_url(url: str) -> tuple[Topology, dict[str, Any]]:
    """Return what a URL leads to, and the options of a store that it names.

    Args:
        url: See :mod:`zoho_token_store.address`.

    Raises:
        ConfigurationError: The URL cannot be used. The message does not repeat it: it may hold a password.
    """
    target = read_url(url)
    settings = dict(target.options)
    of_the_store = {name: settings.pop(name) for name in _OF_THE_STORE if name in settings}
    return _topology(target, settings), of_the_store


def _topology(target: Target, settings: dict[str, Any]) -> Topology:
    kind: type[Connection] = SSLConnection if target.tls else Connection
    if target.tls:
        verify_by_default(settings)
    if target.kind == "unix":
        return Single(Dialer(UnixDomainSocketConnection, settings | {"path": target.path}))
    if target.kind == "redis":
        return Single(Dialer(kind, settings | target.hosts[0]._asdict()))
    if target.kind == "redis+cluster":
        return Cluster(target.hosts, Dialer(kind, settings))
    credentials = {name: settings.pop(option) for option, name in _OF_SENTINELS.items() if option in settings}
    shared = {name: value for name, value in settings.items() if name not in ("db", "username", "password")}
    asking = Dialer(kind, shared | credentials)
    return SentinelSet(target.hosts, Sentinels(target.service), asking, Dialer(kind, settings))


def topology_of(client: Any) -> Topology:
    """Return what a client leads to.

    Args:
        client: A ``redis.Redis``, be it of one server or from ``Sentinel(...).master_for(...)``, or a
            ``redis.cluster.RedisCluster``. Its settings are used, its connections are not.

    Raises:
        ConfigurationError: It is nothing of this.
    """
    if isinstance(client, (Single, SentinelSet, Cluster)):
        return client
    if isinstance(client, RedisCluster):
        return _of_cluster(client)
    pool = getattr(client, "connection_pool", None)
    if pool is None or not isinstance(getattr(pool, "connection_kwargs", None), dict):
        raise ConfigurationError("client", "must be a redis.Redis or a redis.cluster.RedisCluster")
    if not callable(getattr(client, "get", None)) or "asyncio" in type(client).__module__:
        raise ConfigurationError("client", "must be a synchronous redis.Redis or redis.cluster.RedisCluster")
    if isinstance(pool, SentinelConnectionPool):
        return _of_sentinels(pool)
    return Single(Dialer(pool.connection_class, pool.connection_kwargs))


def _of_sentinels(pool: Any) -> Topology:
    if not pool.is_master:
        raise ConfigurationError("client", "must lead to the master: use master_for, since replicas lag behind")
    watched = pool.sentinel_manager
    asking = [sentinel.connection_pool for sentinel in watched.sentinels]
    if not asking:
        raise ConfigurationError("client", "has no Sentinels to ask")
    directory = Sentinels(pool.service_name, getattr(watched, "_force_master_ip", None))
    kind: type[Connection] = SSLConnection if issubclass(pool.connection_class, SSLConnection) else Connection
    return SentinelSet(
        [_address(each.connection_kwargs) for each in asking],
        directory,
        Dialer(asking[0].connection_class, asking[0].connection_kwargs),
        Dialer(kind, pool.connection_kwargs),
    )


def _of_cluster(client: Any) -> Topology:
    nodes = client.get_nodes()
    pool = client.get_redis_connection(nodes[0]).connection_pool
    addresses = [Address(node.host, node.port) for node in nodes]
    return Cluster(addresses, Dialer(pool.connection_class, pool.connection_kwargs), client.nodes_manager.address_remap)


def _address(settings: Mapping[str, Any]) -> Address:
    return Address(settings["host"], int(settings["port"]))
