"""Sets of real servers for the tests: a master with replicas and Sentinels, and a Redis Cluster, on free ports.

Both begin as they are described and keep their data in temporary folders. What a test does to them, `repair` makes
good: it starts and resumes every server and waits until the set is whole. Roles stay where they are by then.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.retry import Retry
from redis.sentinel import Sentinel

from segment import HERE, LOOPBACK, Place, Segment
from servers import Backend, Binary, Protocol, Server, free_port, register

T = TypeVar("T")

SERVICE = "tokens"
SLOTS = 16384
_BUS = 10_000  # how much higher the port is at which a cluster's node speaks to the others
_CALM = 10.0  # seconds that a set which is left alone may stand still; a busy machine has it do so
_WHOLE = 40.0  # seconds that a set is given to become whole
_KEPT = (
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--repl-diskless-sync-delay",
    "0",
    "--repl-ping-replica-period",
    "1",
)


def wait_until(condition: Callable[[], T | None], what: str, at_most: float = _WHOLE) -> T:
    """Return what a condition comes to, as soon as that is true; a server that does not answer is not."""
    deadline = time.monotonic() + at_most
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if outcome := condition():
                return outcome
        assert time.monotonic() < deadline, f"not within {at_most:g} s: {what}"
        time.sleep(0.02)


class Watcher(Server):
    """A Sentinel.

    Args:
        binary: What to run.
        master: The master that it watches.
        place: Where it is.
        tls: Certificate, key and authority, as arguments of a server; none if it is to speak no TLS.
    """

    def __init__(self, binary: Binary, master: Server, place: Place = LOOPBACK, tls: Sequence[str] = ()) -> None:
        super().__init__(binary, tcp=True, tls=bool(tls), place=place)
        lines = (
            *((f"tls-port {self.port}", "port 0") if tls else (f"port {self.port}",)),
            *(f"{name.removeprefix('--')} {value}" for name, value in zip(tls[::2], tls[1::2], strict=True)),
            f"bind {place.host}",
            f"protected-mode {'yes' if place == LOOPBACK else 'no'}",
            f"unixsocket {self.socket_path}",
            f"dir {self.directory}",
            f"sentinel monitor {SERVICE} {master.place.host} {master.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {SentinelServers.ALERT * 1000:.0f}",
            f"sentinel failover-timeout {SERVICE} 3000",
            f"sentinel parallel-syncs {SERVICE} 2",
        )
        self._config = self.directory / "sentinel.conf"
        self._config.write_text("\n".join(lines) + "\n", "utf-8")

    def start(self) -> Watcher:
        """Run it, and have it look more often than once in 10 s, where it can be told to."""
        super().start()
        with self.client() as client, contextlib.suppress(redis.ResponseError):  # 7.0 and newer
            periods = ("info-period", 500, "ping-period", 300, "publish-period", 300, "ask-period", 200)
            client.execute_command("SENTINEL DEBUG", *periods)
        return self

    def reset(self) -> None:
        """Make it run; there is nothing to empty."""
        if not self.running:
            self.start()
        self.resume()

    def _command(self) -> list[str]:
        return [*self.place.entrance, self.binary.path, str(self._config), "--sentinel"]


class SentinelServers:
    """A master, two replicas, and three Sentinels.

    Args:
        binary: What to run.
        arguments: More arguments of the three servers.
        places: Where all of them are.
        tls: Certificate, key and authority, if they are to speak TLS and nothing else.

    Attributes:
        ALERT: How long a server may be silent before another takes its place, seconds.
    """

    ALERT = 1.0

    def __init__(
        self,
        binary: Binary,
        arguments: tuple[str, ...] = (),
        places: Iterator[Place] = HERE,
        tls: Sequence[str] = (),
    ) -> None:
        tls = (*tls, "--tls-replication", "yes") if tls else ()
        settings: dict[str, Any] = {"tcp": True, "tls": bool(tls)}
        first = Server(binary, (*_KEPT, *tls, *arguments), **settings, place=next(places))
        follow = (*_KEPT, *tls, "--replicaof", first.place.host, str(first.port), *arguments)
        self.nodes = [first, *(Server(binary, follow, **settings, place=next(places)) for _ in range(2))]
        self.watchers = [Watcher(binary, first, next(places), tls) for _ in range(3)]

    def start(self) -> SentinelServers:
        """Run all of them and return when the set is whole."""
        for server in (*self.nodes, *self.watchers):
            server.start()
        self.wait_whole()
        return self

    def stop(self) -> None:
        """Stop all of them."""
        for server in (*self.watchers, *self.nodes):
            server.stop()

    def url(self, protocol: Protocol = 2) -> str:
        """Return the URL of the set."""
        hosts = ",".join(f"{watcher.place.host}:{watcher.port}" for watcher in self.watchers)
        return f"redis+sentinel://{hosts}/{SERVICE}/0?protocol={protocol}"

    def client(self, protocol: Protocol = 2, **options: Any) -> redis.Redis:
        """Return a client of the master, as an application makes it."""
        settings = {"protocol": protocol, "socket_timeout": 5.0, "retry": Retry(NoBackoff(), 0)}
        make: Any = Sentinel  # untyped
        sentinel = make([(watcher.place.host, watcher.port) for watcher in self.watchers], **(settings | options))
        for each in sentinel.sentinels:
            register(each)
        master: redis.Redis = register(sentinel.master_for(SERVICE))
        return master

    def inside(self, namespace: str, protocol: Protocol = 2, **options: Any) -> redis.Redis:
        """Return a client of the server that a namespace lives on."""
        return self.home(namespace).client(protocol, **options)

    def home(self, namespace: str = "") -> Server:
        """Return the server that a namespace lives on: the master that the Sentinels agree on."""
        return wait_until(self._agreed, "the Sentinels agree on a master that is one")

    def replicas(self, namespace: str = "") -> list[Server]:
        """Return the others."""
        home = self.home()
        return [node for node in self.nodes if node is not home]

    def masters(self) -> list[Server]:
        """Return all that take writes."""
        return [self.home()]

    def have_patience(self, seconds: float) -> None:
        """Let a server be silent for so long before another takes its place."""
        for watcher in self.watchers:
            with watcher.client() as client:
                client.execute_command("SENTINEL SET", SERVICE, "down-after-milliseconds", int(seconds * 1000))

    def fail_over(self, namespace: str = "") -> None:
        """Have the Sentinels make another the master, as an operator does; return when they have begun to."""
        with self.watchers[0].client() as client:
            wait_until(lambda: client.execute_command("SENTINEL FAILOVER", SERVICE), "a failover is possible")

    def wait_whole(self) -> None:
        """Return when one is the master, and the two others are its replicas and up to date."""

        def in_step() -> bool:
            home = self._agreed()
            if home is None:
                return False
            with home.client() as client:
                return _in_step(client, 2)

        def watched() -> bool:
            with contextlib.ExitStack() as stack:
                asked = [stack.enter_context(watcher.client()) for watcher in self.watchers]
                states = [each.sentinel_master(SERVICE) for each in asked]
                followers = [each.sentinel_slaves(SERVICE) for each in asked]
            ready = all(s["flags"] in ("master", {"master"}) and int(s["num-other-sentinels"]) == 2 for s in states)
            up = all(
                len(known) == 2 and all(each["flags"] in ("slave", {"slave"}) for each in known) for known in followers
            )
            return ready and up

        wait_until(in_step, "both replicas are up to date")
        wait_until(watched, "all Sentinels know all others, and two replicas that are up")

    def is_settled(self) -> bool:
        """Return whether all know who the master is, the others included, and nobody is about to replace it."""
        home = self._agreed()
        for node in self.nodes:
            with node.client() as client:
                if (client.info("replication")["role"] == "master") != (node is home):
                    return False
        for watcher in self.watchers:
            with watcher.client() as client:
                if client.sentinel_master(SERVICE)["flags"] not in ("master", {"master"}):
                    return False
        return True

    def repair(self) -> None:
        """Run what was stopped, and wait until the set is whole."""
        _wake([*self.nodes, *self.watchers])
        self.wait_whole()

    def _agreed(self) -> Server | None:
        named = set()
        for watcher in self.watchers:
            if watcher.running and not watcher.is_paused:
                with watcher.client(decode_responses=True) as client:
                    named.add(client.sentinel_get_master_addr_by_name(SERVICE))
        if len(named) != 1:
            return None
        ((_, port),) = named
        node = next(node for node in self.nodes if node.port == port)
        if not node.running or node.is_paused:
            return None
        with node.client() as client:
            return node if client.info("replication")["role"] == "master" else None


class ClusterServers:
    """Three masters with a replica each.

    Args:
        binary: What to run.
        arguments: More arguments of all.
        places: Where its nodes are.
        tls: Certificate, key and authority, if they are to speak TLS and nothing else.

    Attributes:
        ALERT: How long a server may be silent before another takes its place, seconds.
    """

    ALERT = 1.5

    def __init__(
        self,
        binary: Binary,
        arguments: tuple[str, ...] = (),
        places: Iterator[Place] = HERE,
        tls: Sequence[str] = (),
    ) -> None:
        tls = (*tls, "--tls-replication", "yes", "--tls-cluster", "yes") if tls else ()
        fixed = ("--cluster-enabled", "yes", "--cluster-replica-validity-factor", "0")
        alert = ("--cluster-node-timeout", f"{self.ALERT * 1000:.0f}")
        command = (*_KEPT, *fixed, *alert, *tls, *arguments)
        self.nodes = [Server(binary, command, tcp=True, tls=bool(tls), place=next(places)) for _ in range(6)]
        for node in self.nodes:
            node.port = free_port(_BUS)

    def start(self) -> ClusterServers:
        """Run all of them, make them a cluster and return when it is whole."""
        for node in self.nodes:
            node.start()
        first = self.nodes[0]
        for index, node in enumerate(self.nodes):
            with node.client() as client:
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
                if node is not first:
                    client.execute_command("CLUSTER MEET", first.place.host, first.port)
        bounds = [SLOTS * part // 3 for part in range(4)]
        for node, begin, end in zip(self.nodes, bounds, bounds[1:], strict=False):
            with node.client() as client:
                client.execute_command("CLUSTER ADDSLOTS", *range(begin, end))
        wait_until(lambda: all(len(self._known(node)) == 6 for node in self.nodes), "all nodes know each other")
        for master, replica in zip(self.nodes, self.nodes[3:], strict=False):
            with replica.client() as client:
                client.execute_command("CLUSTER REPLICATE", self.name_of(master))
        self.wait_whole()
        return self

    def stop(self) -> None:
        """Stop all of them."""
        for node in self.nodes:
            node.stop()

    def url(self, protocol: Protocol = 2) -> str:
        """Return the URL of the cluster: two of its nodes."""
        hosts = ",".join(f"{node.place.host}:{node.port}" for node in self.nodes[2:4])
        return f"redis+cluster://{hosts}?protocol={protocol}"

    def client(self, protocol: Protocol = 2, **options: Any) -> Any:
        """Return a client of the cluster, as an application makes it."""
        settings: dict[str, Any] = {"protocol": protocol, "socket_timeout": 5.0}
        make: Any = ClusterNode  # untyped
        nodes = [make(node.place.host, node.port) for node in self.nodes if node.running and not node.is_paused]
        return register(RedisCluster(startup_nodes=nodes, **(settings | options)))

    def inside(self, namespace: str, protocol: Protocol = 2, **options: Any) -> redis.Redis:
        """Return a client of the node that a namespace lives on."""
        return self.home(namespace).client(protocol, **options)

    def home(self, namespace: str) -> Server:
        """Return the node that a namespace lives on."""
        slot = key_slot(namespace.encode())
        return wait_until(lambda: self._agreed(slot), "the nodes agree on who has the slot")

    def replicas(self, namespace: str) -> list[Server]:
        """Return the replicas of the node that a namespace lives on."""
        home = self.name_of(self.home(namespace))
        with self._awake()[0].client(decode_responses=True) as client:
            ports = [_port_of(line) for line in _lines(client) if line[3] == home]
        return [node for node in self.nodes if node.port in ports]

    def masters(self) -> list[Server]:
        """Return all that have slots."""
        with self._awake()[0].client(decode_responses=True) as client:
            ports = [_port_of(line) for line in _lines(client) if "master" in line[2] and len(line) > 8]
        return [node for node in self.nodes if node.port in ports]

    def have_patience(self, seconds: float) -> None:
        """Let a server be silent for so long before another takes its place."""
        for node in self.nodes:
            with node.client() as client:
                client.config_set("cluster-node-timeout", int(seconds * 1000))

    def fail_over(self, namespace: str) -> None:
        """Have a replica take a namespace's node over, as an operator does; return when it has begun to."""
        with self.replicas(namespace)[0].client() as client:
            client.execute_command("CLUSTER FAILOVER")

    def name_of(self, node: Server) -> str:
        """Return the name that the cluster has for a node."""
        with node.client(decode_responses=True) as client:
            return str(client.execute_command("CLUSTER MYID"))

    def migrate(self, slot: int, target: Server, batch: int = 200) -> None:
        """Move a slot with all its keys, as ``redis-cli --cluster reshard`` does.

        Args:
            slot: Which.
            target: Where to: a master.
            batch: Keys at a time.
        """
        source = wait_until(lambda: self._agreed(slot), "the nodes agree on who has the slot")
        if source is target:
            return
        with source.client() as old, target.client() as new:
            new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self.name_of(source))
            old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self.name_of(target))
            while True:
                keys = old.execute_command("CLUSTER GETKEYSINSLOT", slot, batch)
                if not keys:
                    break
                old.execute_command("MIGRATE", target.place.host, target.port, "", 0, 5000, "KEYS", *keys)
            name = self.name_of(target)
            for client in (new, old):
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", name)
            for node in self.masters():
                if node not in (source, target):
                    with node.client() as client:
                        client.execute_command("CLUSTER SETSLOT", slot, "NODE", name)

    def wait_whole(self) -> None:
        """Return when every slot has a master with a replica that is up to date, and all nodes know."""

        def whole() -> bool:
            masters = self.masters()
            if len(masters) != 3 or not all(self._is_well(node) for node in self.nodes):
                return False
            with contextlib.ExitStack() as stack:
                return all(_in_step(stack.enter_context(node.client()), 1) for node in masters)

        wait_until(whole, "the cluster is whole")

    def is_settled(self) -> bool:
        """Return whether all know which are the masters, and none of them passes for dead."""
        views = set()
        for node in self.nodes:
            with node.client(decode_responses=True) as client:
                views.add(frozenset(_port_of(line) for line in _lines(client) if "master" in line[2]))
        return len(views) == 1 and all(self._is_well(node) for node in self.nodes)

    def repair(self) -> None:
        """Run what was stopped, and wait until the cluster is whole."""
        _wake(self.nodes)
        self.wait_whole()

    def _awake(self) -> list[Server]:
        return [node for node in self.nodes if node.running and not node.is_paused]

    def _is_well(self, node: Server) -> bool:
        with node.client(decode_responses=True) as client:
            return "cluster_state:ok" in _plain(client, "CLUSTER INFO") and len(self._known(node)) == 6

    def _known(self, node: Server) -> list[list[str]]:
        with node.client(decode_responses=True) as client:
            lines = _lines(client)
            return [
                line for line in lines if line[7] == "connected" and not {"fail", "fail?", "handshake"} & _flags(line)
            ]

    def _agreed(self, slot: int) -> Server | None:
        """Return who has a slot if all that can answer say the same, and it can answer itself."""
        ports = set()
        for node in self._awake():
            with node.client(decode_responses=True) as client:
                ranges = _plain(client, "CLUSTER SLOTS")
                ports |= {int(who[1]) for first, last, who, *_ in ranges if first <= slot <= last}
        if len(ports) != 1:
            return None
        return next((node for node in self._awake() if node.port in ports), None)


class TopologyBackend(Backend):
    """A Sentinel set or a cluster, where a test would else talk to one server."""

    def __init__(self, name: str, protocol: Protocol, servers: SentinelServers | ClusterServers) -> None:
        super().__init__(name, protocol, None)
        self.servers = servers

    @property
    def url(self) -> str:
        """The set's URL."""
        return self.servers.url(self.protocol)

    def client(self, **options: Any) -> Any:
        """Return a new client of all of it."""
        return self.servers.client(self.protocol, **options)

    def inside(self, namespace: str, **options: Any) -> redis.Redis:
        """Return a client of the server that a namespace lives on."""
        return self.servers.inside(namespace, self.protocol, **options)


class Home:
    """The server that a namespace lives on, whichever that is at the time, and the whole set's URL.

    Args:
        servers: The set.
        namespace: Which.
    """

    def __init__(self, servers: SentinelServers | ClusterServers, namespace: str) -> None:
        self._servers = servers
        self._namespace = namespace

    @property
    def url(self) -> str:
        """The set's URL."""
        return self._servers.url()

    def client(self, protocol: Protocol = 2, **options: Any) -> redis.Redis:
        """Return a client of the server."""
        return self._servers.inside(self._namespace, protocol, **options)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze the server for a block; a replica takes over if that takes long.

        Who was replaced takes writes until it is told, and loses them: so the block ends when everybody knows.
        """
        with self._servers.home(self._namespace).paused():
            yield
        wait_until(self._servers.is_settled, "all know who the master is")


@contextlib.contextmanager
def cut_off(segment: Segment, server: Server) -> Iterator[None]:
    """Pull a server's cable out for a block; it passes for silent, though its Unix socket still answers us."""
    with segment.cut(server.place):
        server.is_paused = True
        try:
            yield
        finally:
            server.is_paused = False


class TopologyPool:
    """Starts each set at its first use and keeps it to the end of the session.

    Args:
        binary: What to run.
        places: Where they are.
    """

    def __init__(self, binary: Binary, places: Iterator[Place] = HERE) -> None:
        self._make: dict[str, Any] = {"sentinel": SentinelServers, "cluster": ClusterServers}
        self._places = places
        self._binary = binary
        self._started: dict[str, Any] = {}
        self._disturbed: set[str] = set()

    def get(self, name: str) -> Any:
        """Return a set, whole and empty, that is left alone."""
        if name not in self._started:
            self._started[name] = self._make[name](self._binary, (), self._places).start()
            self._disturbed.add(name)
        servers = self._started[name]
        if name in self._disturbed:
            servers.repair()
            servers.have_patience(_CALM)
            self._disturbed.remove(name)
        for node in servers.masters():
            with node.client() as client:
                client.flushall()
        return servers

    def get_to_disturb(self, name: str) -> Any:
        """Return a set, whole and empty; it is repaired before its next use."""
        servers = self.get(name)
        servers.have_patience(servers.ALERT)
        self._disturbed.add(name)
        return servers

    def stop(self) -> None:
        """Stop what was started."""
        for servers in self._started.values():
            servers.stop()


def _lines(client: redis.Redis) -> list[list[str]]:
    """Return what a node knows of all: name, address, flags, master, ..., link, slots."""
    return [line.split() for line in _plain(client, "CLUSTER NODES").splitlines()]


def _plain(client: Any, command: str) -> Any:
    """Return an answer as the server gives it."""
    client.response_callbacks.pop(command, None)
    return client.execute_command(command)


def _flags(line: list[str]) -> set[str]:
    return set(line[2].split(","))


def _port_of(line: list[str]) -> int:
    return int(line[1].split("@")[0].rpartition(":")[2])


def _in_step(client: Any, replicas: int) -> bool:
    """Return whether a master has that many replicas, with all that it has."""
    connected = client.info("replication")["connected_slaves"]
    return connected == replicas and int(client.execute_command("WAIT", replicas, 500)) >= replicas


def _wake(servers: list[Server]) -> None:
    for server in servers:
        if not server.running:
            server.start()
        server.resume()
