"""A Redis Cluster of three masters on this machine, without replicas and persistence, gone when the benchmark is."""

from __future__ import annotations

import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import redis
from redis.crc import key_slot

from zoho_token_store.testing.redis_binaries import ServerBinary, find_binaries

SLOTS = 16384
MASTERS = 3
BUS = 10_000
"""How far the port of the cluster's bus is above a node's."""
PATIENCE = 20.0


class BenchmarkCluster:
    """A running cluster.

    Args:
        ports: Of its nodes, each with an equal share of the slots.
    """

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)

    def owner(self, namespace: str) -> redis.Redis:
        """Return a client of the node that has a namespace."""
        return _client(self._ports[key_slot(namespace.encode()) * MASTERS // SLOTS])


@contextmanager
def open_cluster() -> Iterator[BenchmarkCluster]:
    """Run a cluster.

    Raises:
        SystemExit: There is no server on this machine.
    """
    binary = next(find_binaries(), None)
    if binary is None:
        raise SystemExit("the figure needs a real Redis")
    ports = _free_ports(MASTERS)
    with ExitStack() as stack:
        for port in ports:
            _run(binary, port, stack)
        _join(ports)
        yield BenchmarkCluster(ports)


def _run(binary: ServerBinary, port: int, stack: ExitStack) -> None:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="zoho-bench-"))
    command = [binary.path, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
    command += ["--appendonly", "no", "--cluster-enabled", "yes", "--cluster-config-file", f"{port}.conf"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    stack.callback(process.wait)
    stack.callback(process.kill)


def _join(ports: list[int]) -> None:
    clients = [_client(port) for port in ports]
    for index, client in enumerate(clients):
        _until(client.ping)
        slots = range(-(-SLOTS * index // MASTERS), -(-SLOTS * (index + 1) // MASTERS))
        client.execute_command("CLUSTER ADDSLOTS", *slots)
        client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
        if index:
            client.execute_command("CLUSTER MEET", "127.0.0.1", ports[0])
    for client in clients:
        _until(lambda client=client: client.cluster("INFO")["cluster_state"] == "ok")
        _until(lambda client=client: int(client.cluster("INFO")["cluster_known_nodes"]) == len(ports))
        client.close()


def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(redis.RedisError):
            if holds():
                return
        time.sleep(0.02)
    raise TimeoutError("the cluster did not come up")


def _client(port: int) -> redis.Redis:
    return redis.Redis(port=port, decode_responses=True)


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.socket() as one, socket.socket() as bus:
            one.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + BUS))
            ports += [port] if port not in ports else []
    return ports
