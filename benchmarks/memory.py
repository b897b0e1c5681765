"""What a record takes in Redis."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from benchmarks.figure import Figure, Spread
from benchmarks.loader import fill
from benchmarks.server import BenchmarkServer, open_server
from zoho_token_store.keyspace import Keyspace

NAMES = ("memory",)
REACH = 2200
SETTLE = 0.3
"""Seconds in which the server ends the resizing of its own tables."""


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure the memory of full records: ``used_memory`` before and after, by their number.

    Counted is everything that a record has: its hash, its access part, the pointers of its user name, access, refresh
    and grant token, its place in the list of ids, and the server's own tables for all that. Not counted is the stream
    of events, which has a fixed length for the whole namespace: it is removed before both readings.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer records.
    """
    count = 500 if quick else 10_000
    with open_server() as server:
        fill(server, "warm", 1)  # the script is loaded, the server's tables are there
        before = _used(server, "warm")
        ids = fill(server, "memory", count)
        each = (_used(server, "memory") - before) / count
        parts = _parts(server, ids[0])
    yield Figure(
        "memory",
        f"Redis memory for a full record with all its keys, fields readable, of {count:,}",
        "at most 2.2 KB",
        Spread(each, each, each, 1),
        each <= REACH,
        digits=0,
        unit="bytes",
        details={"records": count, "keys": parts},
    )


def _used(server: BenchmarkServer, namespace: str) -> int:
    with server.client() as client:
        client.delete(Keyspace(namespace).events)
        time.sleep(SETTLE)
        return int(client.info("memory")["used_memory"])


def _parts(server: BenchmarkServer, record_id: str) -> dict[str, float]:
    """Return what each kind of key takes, bytes; of the list of ids, one record's share."""
    keys = Keyspace("memory")
    with server.client() as client:
        token, access = keys.token(record_id), keys.access(record_id)
        parts = {"token": client.memory_usage(token), "access": client.memory_usage(access)}
        for kind in ("user", "access-token", "refresh", "grant"):
            found = next(iter(client.scan_iter(match=keys.key(f"{kind}:*"), count=1000)))
            parts[kind] = client.memory_usage(found)
        parts["ids"] = client.memory_usage(keys.ids, samples=0) / client.zcard(keys.ids)
    return {kind: float(size or 0) for kind, size in parts.items()}
