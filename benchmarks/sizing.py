"""The arithmetic of docs/capacity.md: from the inputs that stand there to its tables.

``python -m benchmarks.sizing`` writes the tables anew after an input was changed; a test holds them to it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil
from pathlib import Path

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from zoho_token_store.keeper import AT_A_TIME
from zoho_token_store.keyspace import Keyspace

PAGE = Path(__file__).parents[1] / "docs" / "capacity.md"

LOADS = (
    (10_000, 100),
    (100_000, 1_000),
    (1_000_000, 1_000),
    (1_000_000, 10_000),
    (10_000_000, 10_000),
    (100_000_000, 10_000),
    (100_000_000, 100_000),
)
"""Tokens in use, and worker processes."""


@dataclass(frozen=True)
class Inputs:
    """What is measured and what is chosen; each stands on the page with what it means and its unit."""

    token_bytes: float
    dump_bytes: float
    find_us: float
    find_new_us: float
    refresh_us: float
    beat_us: float
    event_us: float
    connection_bytes: float
    listed_per_s: float
    audited_per_s: float
    life_s: float
    asks_per_s: float
    core_share: float
    node_bytes: float
    node_connections: float
    network_bytes_per_s: float
    zoho_s: float

    @classmethod
    def read(cls, page: str) -> Inputs:
        """Return the inputs that stand on the page."""
        stated = dict(re.findall(r"^\| `(\w+)` \| ([\d,.]+) \|", page, re.MULTILINE))
        return cls(**{field.name: float(stated.pop(field.name).replace(",", "")) for field in fields(cls)})

    @property
    def half_core_us(self) -> float:
        """Processor time of one server that may be used in a second, µs."""
        return self.core_share * 1e6

    def refreshes(self, tokens: float) -> float:
        """Return how many tokens are refreshed in a second."""
        return tokens / self.life_s


def server(inputs: Inputs) -> list[Sequence[str]]:
    """Return what one server holds and serves, each as if it did nothing else."""
    finds = inputs.half_core_us / inputs.find_us
    refreshes = inputs.half_core_us / inputs.refresh_us
    return [
        ("tokens held", "`node_bytes / token_bytes`", _short(inputs.node_bytes / inputs.token_bytes)),
        ("look-ups a second", "`core_share / find_us`", _short(finds)),
        ("workers that ask as often", "`look-ups / asks_per_s`", _short(finds / inputs.asks_per_s)),
        ("refreshes a second", "`core_share / refresh_us`", _short(refreshes)),
        ("tokens kept fresh", "`refreshes * life_s`", _short(refreshes * inputs.life_s)),
        ("workers connected, one thread each", "`node_connections`", _short(inputs.node_connections)),
        (
            "memory of their connections",
            "`node_connections * connection_bytes`",
            _bytes(inputs.node_connections * inputs.connection_bytes),
        ),
    ]


def loads(inputs: Inputs) -> list[Sequence[str]]:
    """Return what each load takes, and what gives first."""
    rows = []
    for tokens, workers in LOADS:
        refreshes, finds = inputs.refreshes(tokens), workers * inputs.asks_per_s
        busy = (finds * inputs.find_us + refreshes * inputs.refresh_us) / 1e6
        needs = {"memory": tokens * inputs.token_bytes / inputs.node_bytes, "processor": busy / inputs.core_share}
        needs["connections"] = workers / inputs.node_connections
        masters = max(1, ceil(needs["memory"]), ceil(needs["processor"]))
        rows.append(
            (
                f"{tokens:,}",
                f"{workers:,}",
                _bytes(tokens * inputs.token_bytes),
                _short(refreshes),
                _short(finds),
                f"{busy:.2f}",
                str(masters),
                str(max(1, ceil(needs["connections"]))),
                _given(needs),
            )
        )
    return rows


def _given(needs: dict[str, float]) -> str:
    """Return of what one server has too little, what is missing most first; else what is used most."""
    order = sorted(needs, key=lambda name: -needs[name])
    missing = [name for name in order if needs[name] > 1]
    return ", ".join(missing) or f"nothing: {order[0]} at {needs[order[0]]:.0%}"


def near_caches(inputs: Inputs) -> list[Sequence[str]]:
    """Return how many near caches a server can serve that follow one namespace, and from when on they relieve it."""
    rows = []
    for tokens in (100, 1_000, 10_000, 100_000, 1_000_000):
        each = inputs.beat_us + inputs.refreshes(tokens) * inputs.event_us
        rows.append(
            (f"{tokens:,}", _short(each), _short(inputs.half_core_us / each), _short(each / inputs.find_us, digits=1))
        )
    return rows


def times(inputs: Inputs) -> list[Sequence[str]]:
    """Return how long whole walks take, and how many refreshers keep all fresh."""
    rows = []
    for tokens in (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000):
        resync = tokens * inputs.dump_bytes / inputs.network_bytes_per_s
        refreshers = inputs.refreshes(tokens) * inputs.zoho_s / AT_A_TIME
        walks = (resync, tokens / inputs.listed_per_s, tokens / inputs.audited_per_s)
        rows.append((f"{tokens:,}", *map(_seconds, walks), _short(ceil(refreshers))))
    return rows


def clusters() -> list[Sequence[str]]:
    """Return how partitions spread over masters with equal ranges of slots: by their names alone."""
    rows = []
    for partitions in (16, 64, 256):
        row = [str(partitions)]
        for masters in (3, 6, 12):
            counts = [0] * masters
            for number in range(partitions):
                slot = key_slot(Keyspace(f"crm.{number}").nothing.encode())
                counts[slot * masters // REDIS_CLUSTER_HASH_SLOTS] += 1
            row.append(f"{max(counts)} ({max(counts) * masters / partitions:.2f})")
        rows.append(row)
    return rows


def write(page: str) -> str:
    """Return the page with its tables as they follow from its inputs."""
    inputs = Inputs.read(page)
    tables = {
        "server": server(inputs),
        "loads": loads(inputs),
        "near": near_caches(inputs),
        "times": times(inputs),
        "clusters": clusters(),
    }
    for name, rows in tables.items():
        body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        pattern = rf"(<!-- {name} -->\n\n\|[^\n]+\n\|[ -|]+\n)(?:\|[^\n]*\n)*"
        page, found = re.subn(pattern, lambda head, body=body: f"{head[1]}{body}\n", page)  # type: ignore[misc]
        if found != 1:
            raise SystemExit(f"{PAGE.name} has no table {name}")
    return page


def _short(number: float, digits: int = 0) -> str:
    """Return a number as people say it, with three digits that count."""
    for unit, one in (("million", 1e6), ("", 1.0)):
        if number >= one:
            shown = float(f"{number / one:.3g}")
            return f"{shown:,.{1 if unit and shown < 100 else digits}f} {unit}".rstrip()
    return f"{number:.2g}"


def _bytes(number: float) -> str:
    for unit, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= one:
            return f"{float(f'{number / one:.3g}'):g} {unit}"
    return f"{number:,.0f} B"


def _seconds(seconds: float) -> str:
    for unit, one, least in (("h", 3600, 3600), ("min", 60, 120), ("s", 1, 1)):
        if seconds >= least:
            return f"{float(f'{seconds / one:.2g}'):g} {unit}"
    return f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    PAGE.write_text(write(PAGE.read_text("utf-8")), "utf-8")
