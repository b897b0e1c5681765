"""Saves that wait for replicas, on each server with one replica: `tests/topology` has those on whole sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.connection import UnixDomainSocketConnection

from integration.desk import make_token
from integration.fleet import wait_until
from proxy import FaultyProxy
from servers import Binary, Server, find_binaries
from zoho_token_store import NotDurable, RedisTokenStore
from zoho_token_store.dialer import Address, Dialer
from zoho_token_store.pinned import PinnedLink
from zoho_token_store.topology import Single

CLIENT = {"client_id": "client", "client_secret": "secret"}
ON_DISK = ("--appendonly", "yes", "--appendfsync", "always")
BUDGET = 10.0
"""More than a replica takes that lags behind, seconds."""


class Pair:
    """A master and its replica."""

    def __init__(self, start: Callable[..., Server], binary: Binary, arguments: tuple[str, ...]) -> None:
        arguments = (*arguments, "--repl-diskless-sync-delay", "0")
        self.master = start(binary, arguments, tcp=True)
        follow = ("--replicaof", "127.0.0.1", str(self.master.port))
        self.replica = start(binary, (*arguments, *follow), tcp=True)
        with self.master.client() as client:
            wait_until(lambda: client.execute_command("WAIT", 1, 100), "the replica is connected")

    def store(self, namespace: str, **options: object) -> RedisTokenStore:
        """Return a store whose saves wait for the replica."""
        settings = {"min_replicas": 1, "operation_timeout": BUDGET, **options}
        return RedisTokenStore.from_url(self.master.url, namespace, **settings)


@pytest.fixture(params=list(find_binaries()))
def pair(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Iterator[Pair]:
    """Give a pair of each server, with append-only files."""
    pair = Pair(start_server, find_binaries()[request.param], ON_DISK)
    yield pair
    pair.replica.resume()


def commands_seen(server: Server) -> set[str]:
    """Return the commands that a server has run since it was started."""
    with server.client(decode_responses=True) as client:
        return {name.removeprefix("cmdstat_") for name in client.info("commandstats")}


def is_durable(store: RedisTokenStore, token: Any) -> bool:
    """Save a token, and return whether that was acknowledged."""
    try:
        store.save_token(token)
    except NotDurable:
        return False
    return True


def test_a_replica_has_what_is_acknowledged(pair: Pair, namespace: str) -> None:
    """The replica has the record by the time the save returns; newer servers are asked whether it is on disk."""
    with pair.store(namespace) as store:
        token = make_token(user="ada", refresh_token="refresh", **CLIENT)
        store.save_token(token)
        with pair.replica.client() as client:
            assert client.exists(f"zts:{{{namespace}}}:token:{token.get_id()}")
    asked = commands_seen(pair.master)
    has_waitaof = pair.master.binary.version >= (7, 2)
    assert ("waitaof" in asked) == has_waitaof
    assert store.stats()["saves_not_durable"] == 0


@pytest.mark.parametrize("own_file", [True, False], ids=["on disk", "in memory"])
def test_the_error_says_what_was_counted(start_server: Callable[..., Server], namespace: str, own_file: bool) -> None:
    """Beside a master with an append-only file a replica without one does not count; in memory one of two does."""
    binary = list(find_binaries().values())[-1]
    master = start_server(binary, ("--repl-diskless-sync-delay", "0", *(ON_DISK if own_file else ())), tcp=True)
    start_server(binary, ("--replicaof", "127.0.0.1", str(master.port)), tcp=True)
    with master.client() as client:
        wait_until(lambda: client.execute_command("WAIT", 1, 100), "the replica is connected")
    wanted = 1 if own_file else 2
    with (
        RedisTokenStore.from_url(master.url, namespace, min_replicas=wanted, operation_timeout=1.0) as store,
        pytest.raises(NotDurable) as caught,
    ):
        store.save_token(make_token(user="ada", refresh_token="refresh", **CLIENT))
    assert caught.value.on_disk == own_file
    assert ("on disk" in str(caught.value.error_message)) == own_file


def test_a_repeated_save_is_waited_for_too(pair: Pair, namespace: str) -> None:
    """Whatever was stored by an earlier attempt is not acknowledged before the replica has it."""
    with pair.store(namespace, operation_timeout=1.0) as store:
        with pair.replica.paused():
            with pytest.raises(NotDurable):
                store.save_token(make_token(user="ada", refresh_token="refresh", **CLIENT))
            (save,) = store._kept._short
            with pytest.raises(NotDurable):
                store._saver.store(save)
        wait_until(lambda: not store._kept._short, "the replica has it")
        assert len(store.get_tokens()) == 1


def test_the_same_object_is_saved_again(pair: Pair, namespace: str) -> None:
    """After a save that too few replicas have, a second one of the same token is not acknowledged earlier."""
    with pair.store(namespace, operation_timeout=1.0) as store:
        token = make_token(user="ada", refresh_token="refresh", **CLIENT)
        with pair.replica.paused():
            for _ in range(2):
                with pytest.raises(NotDurable):
                    store.save_token(token)
        wait_until(lambda: is_durable(store, token), "the replica has caught up")
        wait_until(lambda: not store._kept._short, "the replica has it")
        assert len(store.get_tokens()) == 1


@pytest.mark.parametrize("command", ["WAITAOF", "WAIT"])
def test_the_connection_breaks_while_it_waits(
    start_server: Callable[..., Server], namespace: str, command: str
) -> None:
    """What the next connection leads to might lack the save: it is looked at there, and waited for again."""
    pair = Pair(start_server, list(find_binaries().values())[-1], ON_DISK if command == "WAITAOF" else ())
    with (
        FaultyProxy(pair.master.socket_path) as proxy,
        RedisTokenStore.from_url(proxy.url, namespace, min_replicas=1, operation_timeout=BUDGET) as store,
    ):
        store.save_token(make_token(user="grace", refresh_token="first", **CLIENT))
        proxy.drop_next_reply(command)
        store.save_token(make_token(user="ada", refresh_token="refresh", **CLIENT))
        assert proxy.armed == 0
        assert {token.get_refresh_token() for token in store.get_tokens()} == {"first", "refresh"}


def test_without_a_replica_look_ups_go_on(real_server: Server, namespace: str) -> None:
    """The replicas are away for good: saves say so, and nothing that was saved is held back from anybody."""
    with (
        RedisTokenStore.from_url(real_server.url, namespace, min_replicas=1, operation_timeout=1.0) as store,
        RedisTokenStore.from_url(real_server.url, namespace) as other,
    ):
        token = make_token(user="ada", refresh_token="refresh", access_token="access", **CLIENT)
        with pytest.raises(NotDurable) as caught:
            store.save_token(token)
        assert (caught.value.replicas, caught.value.wanted) == (0, 1)
        for each in (store, other):
            assert each.find_token_by_id(token.get_id()).get_refresh_token() == "refresh"
        store.delete_token(token.get_id())
        wait_until(lambda: not store._kept._short, "a deleted record is waited for no more")
        assert store.get_tokens() == []


class Successor:
    """Dials a server, and another as soon as that has ended."""

    def __init__(self, first: Server, second: Server) -> None:
        self._servers = (first, second)
        self._dialers = [
            Dialer(UnixDomainSocketConnection, {"path": server.socket_path, "protocol": 3})
            for server in (first, second)
        ]

    def dial(self, timeout: float, address: Address | None = None) -> Any:
        """Return a connection to the first that runs."""
        first, second = self._dialers
        return (first if self._servers[0].running else second).dial(timeout)


def test_the_master_is_another_when_replicas_are_counted(
    start_server: Callable[..., Server], namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save that is written to one master is not acknowledged by the replicas of the next, which has never seen it."""
    pairs = [Pair(start_server, list(find_binaries().values())[-1], ON_DISK) for _ in range(2)]
    first, second = (pair.master for pair in pairs)
    confirm = PinnedLink.confirm

    def confirm_late(link: PinnedLink, mark: str, replicas: int) -> bool:
        if first.running:
            first.kill()
            link._connections._drop_idle()
        return confirm(link, mark, replicas)

    dialer: Any = Successor(first, second)
    with RedisTokenStore(Single(dialer), namespace, min_replicas=1, operation_timeout=BUDGET) as store:
        monkeypatch.setattr(PinnedLink, "confirm", confirm_late)
        token = make_token(user="ada", refresh_token="refresh", **CLIENT)
        store.save_token(token)
    with pairs[1].replica.client() as client:
        assert client.exists(f"zts:{{{namespace}}}:token:{token.get_id()}")
