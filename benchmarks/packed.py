"""What Redis would take for a record that is packed, beside what it takes as it lies there now."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from benchmarks.figure import Figure, Spread
from benchmarks.mould import pour
from benchmarks.server import BenchmarkServer, open_server
from zoho_token_store.keyspace import Keyspace

NAMES = ("packed",)
NAMESPACE = "packed"
SETTLE = 0.3
"""Seconds in which the server ends the resizing of its own tables."""
POINTERS = ("user", "access-token", "refresh", "grant")
BUCKET = 100
"""Pointers in one small hash, which Redis keeps as compact as a list."""

Layout = Callable[[Any, Keyspace, list[str]], None]
"""Makes another layout of some records, given by id."""


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure the memory of full records as they are, and in layouts that nothing here can read.

    1. *one string*: the record's hash and its access part are one JSON list in one string.
    2. *and pointers in small hashes*: besides, a hundred pointers are the fields of one hash, in place of keys.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer records.
    """
    count = 500 if quick else 100_000
    layouts: dict[str, Layout] = {"one string": _one_string, "and pointers in small hashes": _small_hashes}
    with open_server() as server:
        before = _used(server)
        ids = pour(server, NAMESPACE, count)
        sizes = {"now": (_used(server) - before) / count}
        with server.client() as client:
            for name, change in layouts.items():
                change(client, Keyspace(NAMESPACE), ids)
                sizes[name] = (_used(server) - before) / count
    shares = {name: size / sizes["now"] for name, size in sizes.items()}
    packed, most = shares["one string"], shares["and pointers in small hashes"]
    yield Figure(
        "packed",
        f"Redis memory for a record packed into one string, over as it is, of {count:,}",
        "to know it",
        Spread(packed, packed, packed, 1),
        True,
        note=f"of {sizes['now']:,.0f} bytes; {most:.2f} with pointers in small hashes, too",
        details={f"{name}, bytes": size for name, size in sizes.items()},
    )


def _one_string(client: Any, keys: Keyspace, ids: list[str]) -> None:
    for some in _batches(ids):
        reading = client.pipeline(transaction=False)
        for each in some:
            reading.hgetall(keys.token(each))
            reading.get(keys.access(each))
        found = reading.execute()
        writing = client.pipeline(transaction=False)
        for each, fields, access in zip(some, found[::2], found[1::2], strict=True):
            writing.delete(keys.access(each), keys.token(each))
            writing.set(keys.token(each), json.dumps([*fields.values(), access], separators=(",", ":")))
        writing.execute()


def _small_hashes(client: Any, keys: Keyspace, ids: list[str]) -> None:
    buckets = max(1, len(ids) // BUCKET)
    for kind in POINTERS:
        found = list(client.scan_iter(match=keys.key(f"{kind}:*"), count=1000))
        for number, some in enumerate(_batches(found)):
            values = client.mget(some)
            writing = client.pipeline(transaction=False)
            for at, (key, value) in enumerate(zip(some, values, strict=True)):
                writing.hset(keys.key(f"{kind}s:{(number * len(some) + at) % buckets}"), keys.name(key), value)
            writing.delete(*some)
            writing.execute()


def _batches(names: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(names), 1000):
        yield names[first : first + 1000]


def _used(server: BenchmarkServer) -> int:
    with server.client() as client:
        client.delete(Keyspace(NAMESPACE).events)
        time.sleep(SETTLE)
        return int(client.info("memory")["used_memory"])
