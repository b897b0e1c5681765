"""What a core of Redis can do, and what tokens, connections and events take: what docs/capacity.md computes with."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from redis.connection import Connection

from benchmarks.figure import Figure, Spread
from benchmarks.loader import fill
from benchmarks.server import BenchmarkServer, open_server
from benchmarks.tokens import expires_in, secret
from zoho_token_store import RedisTokenStore
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.link import RedisLink
from zoho_token_store.script import Script

NAMES = ("capacity",)
NAMESPACE = "capacity"
REACH_US = 50
"""Processor time of a look-up, µs: 20,000 of them a second and core."""


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure by the server's own account of its processor time, which a busy machine distorts least.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer of everything.
    """
    rounds, connections, feeds, count = (3, 20, 5, 500) if quick else (15, 200, 40, 20_000)
    with open_server() as server:
        ids = fill(server, NAMESPACE, count)
        finds = [_find_us(server, ids[0], connections, turns=20 if quick else 100) for _ in range(rounds)]
        details: dict[str, Any] = {
            "find_new_us": _find_us(server, ids[1], connections, turns=20, warm=False),
            "refresh_us": _refresh_us(server, ids[2], 20 if quick else 2000),
            **_feeds(server, ids[3], feeds, seconds=1.0 if quick else 5.0),
            "connection_bytes": _connection_bytes(server, 50 if quick else 1000),
            "dump_bytes": _dump_bytes(server) / count,
            **_walks(server, count),
        }
    spread = Spread.of(finds)
    yield Figure(
        "capacity",
        f"Redis's processor time for a look-up by id, {connections} connections",
        f"at most {REACH_US} µs",
        spread,
        spread.median <= REACH_US,
        digits=1,
        unit="µs",
        note=f"{1e6 / spread.median:,.0f} a second and core",
        details=details,
    )


def _processor_us(server: BenchmarkServer, act: Callable[[], Any]) -> float:
    """Return the processor time that the server takes for something, µs."""
    with server.client() as client:

        def used() -> float:
            told = client.info("cpu")
            return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])

        before = used()
        act()
        return (used() - before) * 1e6


def _find_us(server: BenchmarkServer, record_id: str, connections: int, turns: int, warm: bool = True) -> float:
    """Return what a look-up costs, each of many connections asking once in each turn.

    Args:
        server: The server.
        record_id: Which record is asked for.
        connections: How many.
        turns: How often each asks.
        warm: Whether the process that asks has seen the record before, as all do but once.
    """
    request = _request(server, record_id, warm)
    with ExitStack() as stack:
        lines = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(connections)]
        for line in lines:
            line.connect(server.url.removeprefix("unix://").partition("?")[0])
        used = _processor_us(server, lambda: _ask(lines, request, turns))
    return used / (connections * turns)


def _ask(lines: list[socket.socket], request: bytes, turns: int) -> None:
    for _ in range(turns):
        for line in lines:
            line.sendall(request)
        for line in lines:
            assert line.recv(65536).startswith(b"*"), "the server refuses"


def _request(server: BenchmarkServer, record_id: str, warm: bool) -> bytes:
    """Return the bytes that the store sends for a look-up."""
    sent: list[tuple[Any, ...]] = []
    run = RedisLink.run

    def noted(link: RedisLink, script: Script, keys: Any, args: Any) -> Any:
        sent.append(("EVALSHA", script.sha, len(keys), *keys, *args))
        return run(link, script, keys, args)

    with server.store(NAMESPACE) as store, mock.patch.object(RedisLink, "run", noted):
        for _ in range(2):
            store.find_token_by_id(record_id)
    return b"".join(Connection().pack_command(*sent[1 if warm else 0]))


def _refresh_us(server: BenchmarkServer, record_id: str, turns: int) -> float:
    """Return what an expiry costs: the look-up that elects, and the save."""
    access = Keyspace(NAMESPACE).access(record_id)
    with server.store(NAMESPACE) as store, server.client() as client:

        def refresh() -> None:
            for turn in range(turns):
                client.delete(access)  # as its end would
                _save(store, record_id, turn)

        return _processor_us(server, refresh) / turns


def _save(store: RedisTokenStore, record_id: str, turn: int) -> None:
    token = store.find_token_by_id(record_id)
    token.set_access_token(secret(f"turn {turn}", 0))
    token.set_expires_in(expires_in())
    store.save_token(token)


def _feeds(server: BenchmarkServer, record_id: str, count: int, seconds: float) -> dict[str, float]:
    """Return what a near cache costs: each second of each process without events, and each event for each process."""
    changes = int(20 * seconds)
    alone = _processor_us(server, lambda: time.sleep(seconds)) / seconds
    with ExitStack() as stack:
        stores = [stack.enter_context(server.store(NAMESPACE, near_cache=True)) for _ in range(count)]
        for store in stores:
            while not store.stats()["near_hits"]:
                store.find_token_by_id(record_id)
                time.sleep(0.01)
        writer = stack.enter_context(server.store(NAMESPACE))
        idle = _processor_us(server, lambda: time.sleep(seconds)) / seconds

        def change() -> None:
            for turn in range(changes):
                writer.invalidate_access_token(record_id)
                _save(writer, record_id, turn)
                time.sleep(seconds / changes)

        began = time.monotonic()
        busy = _processor_us(server, change) - idle * (time.monotonic() - began)
    # An invalidation and a refresh are two events; what they cost themselves is a refresh and a commit.
    own = 2 * _refresh_us(server, record_id, changes) * changes
    return {"beat_us": max(0.0, idle - alone) / count, "event_us": max(0.0, busy - own) / (2 * changes * count)}


def _connection_bytes(server: BenchmarkServer, count: int) -> float:
    """Return what a connection takes that has asked once and is idle."""
    with ExitStack() as stack, server.client() as client:
        before = int(client.info("memory")["used_memory"])
        for _ in range(count):
            stack.enter_context(server.client()).ping()
        return (int(client.info("memory")["used_memory"]) - before) / count


def _dump_bytes(server: BenchmarkServer) -> int:
    """Return how long a dump is: what a replica is sent that has nothing."""
    with server.client() as client:
        client.save()
        settings = client.config_get("dir") | client.config_get("dbfilename")
        path = Path(settings["dir"]) / settings["dbfilename"]
        size = path.stat().st_size
        path.unlink()
    return size


def _walks(server: BenchmarkServer, count: int) -> dict[str, float]:
    """Return how many tokens a second one process lists, and audits."""
    with server.store(NAMESPACE) as store:
        began = time.monotonic()
        assert sum(1 for _ in store.iter_tokens()) == count
        listed = time.monotonic()
        for _ in store.audit():
            pass
        return {"listed_per_s": count / (listed - began), "audited_per_s": count / (time.monotonic() - listed)}
