"""A million tokens: look-ups, a walk through all, an audit, a deletion of all, beside a PING."""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.beside import Waits, pinging
from benchmarks.figure import Figure, Spread
from benchmarks.interleave import Batch, interleave, ratios
from benchmarks.mould import pour
from benchmarks.processor import one_processor
from benchmarks.server import BenchmarkServer, open_server

NAMES = ("find_million", "memory_million", "iterate", "audit_million", "delete_all")
FEW, MANY, QUICK_MANY = 1_000, 1_000_000, 2_000
REACH = {"find_million": 1.1, "memory_million": 2200, "iterate": 20_000, "audit_million": 180, "delete_all": 5}
IDLE = 3.0
"""Seconds for which the server is asked while nothing is done, to know what the machine itself costs."""
KILOBYTE = 1 if sys.platform == "darwin" else 1024
"""Bytes in what ``getrusage`` counts memory in."""
PLACE = "many"


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure these figures, the deletion last.

    Args:
        names: Which of :data:`NAMES`.
        quick: Far fewer tokens.
    """
    count = QUICK_MANY if quick else MANY
    with ExitStack() as stack:
        if "find_million" in names:
            with one_processor(), open_server() as small:
                large = stack.enter_context(open_server())
                few, many = pour(small, "few", FEW), pour(large, PLACE, count)
                figure = _find(small, large, few, many, quick)
            yield figure
        else:
            large = stack.enter_context(open_server())
            pour(large, PLACE, count)
        works = {"memory_million": _memory, "iterate": _iterate, "audit_million": _audit, "delete_all": _delete}
        for name, work in works.items():
            if name in names:
                yield work(large, count)


def _find(small: BenchmarkServer, large: BenchmarkServer, few: list[str], many: list[str], quick: bool) -> Figure:
    rounds, calls = (10, 20) if quick else (100, 50)
    batches = {
        "few": _look_ups(small, "few", few),
        "many": _look_ups(large, PLACE, many[:FEW]),
        "random": _look_ups(large, PLACE, many),
    }
    took = interleave(batches, rounds, calls)
    spread, cold = ratios(took["many"], took["few"]), ratios(took["random"], took["few"])
    return Figure(
        "find_million",
        f"`find_token_by_id` at {len(many):,} records over at {FEW:,}, p50",
        f"at most {REACH['find_million']:g}",
        spread,
        spread.median <= REACH["find_million"],
        note=f"{cold.text()} for random ones, which a process has to read anew",
        details={"random": cold._asdict()} | {f"{name}_us": Spread.of(each).median for name, each in took.items()},
    )


def _look_ups(server: BenchmarkServer, namespace: str, ids: list[str]) -> Batch:
    store, chance = server.store(namespace), random.Random(7)
    return lambda calls: [partial(store.find_token_by_id, each) for each in chance.choices(ids, k=calls)]


def _memory(server: BenchmarkServer, count: int) -> Figure:
    with server.client() as client:
        each = int(client.info("memory")["used_memory"]) / count  # the server's own megabyte is in it
    return Figure(
        "memory_million",
        f"Redis memory for a full record with all its keys, of {count:,}",
        "at most 2.2 KB",
        _single(each),
        each <= REACH["memory_million"],
        digits=0,
        unit="bytes",
    )


def _iterate(server: BenchmarkServer, count: int) -> Figure:
    with server.store(PLACE) as store, pinging(server) as waits:
        next(store.iter_tokens())  # what is there from the first page on does not grow
        before, began = _peak_bytes(), time.monotonic()
        seen = sum(1 for _ in store.iter_tokens())
        rate, grown = seen / (time.monotonic() - began), _peak_bytes() - before
    assert seen == count
    return Figure(
        "iterate",
        f"tokens in a second from `iter_tokens`, of {count:,}",
        f"at least {REACH['iterate']:,}, in constant memory",
        _single(rate),
        rate >= REACH["iterate"],
        digits=0,
        note=f"the process grew by {grown / 1e6:.1f} MB; {_told(waits)}",
        details={"grown_bytes": grown, **_details(waits)},
    )


def _audit(server: BenchmarkServer, count: int) -> Figure:
    """Not beside a PING: on two processors that takes time away from what is measured."""
    with server.store(PLACE) as store:
        began = time.monotonic()
        found = [finding for progress in store.audit() for finding in progress.findings]
        seconds = time.monotonic() - began
    return Figure(
        "audit_million",
        f"`audit` of {count:,} tokens, nothing to find",
        f"at most {REACH['audit_million']} s",
        _single(seconds),
        seconds <= REACH["audit_million"] and not found,
        digits=1,
        unit="s",
        note=f"{len(found)} found",
    )


def _delete(server: BenchmarkServer, count: int) -> Figure:
    with pinging(server) as idle:
        time.sleep(IDLE)
    with server.store(PLACE) as store, pinging(server) as waits:
        began = time.monotonic()
        store.delete_tokens()
        seconds = time.monotonic() - began
        assert store.get_tokens() == []
    return Figure(
        "delete_all",
        f"longest PING beside `delete_tokens` of {count:,}",
        f"at most {REACH['delete_all']} ms",
        _single(waits.at(1)),
        waits.at(1) <= REACH["delete_all"],
        digits=1,
        unit="ms",
        note=f"{seconds:.0f} s, {count / seconds:,.0f} tokens in a second; {_told(waits)};"
        f" of those beside nothing the longest took {idle.at(1):.1f} ms",
        details={"seconds": seconds, "idle": _details(idle), **_details(waits)},
    )


def _told(waits: Waits) -> str:
    pings = f"of the PINGs beside it 99.9 % took at most {waits.at(0.999):.1f} ms, a command {waits.slowest:.1f} ms"
    return f"{waits.processor_s:.1f} s of processor time; {pings}"


def _details(waits: Waits) -> dict[str, Any]:
    shares = {f"ping_{share:g}_ms": waits.at(share) for share in (0.5, 0.99, 0.999, 1)}
    return {"pings": len(waits.pings), **shares, "slowest_command_ms": waits.slowest, "processor_s": waits.processor_s}


def _single(value: float) -> Spread:
    return Spread(value, value, value, 1)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE
