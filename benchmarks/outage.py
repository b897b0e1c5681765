"""Workers with a token in their near caches while Redis is killed, stays away, and comes back with nothing."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import asking
from benchmarks.asking import Asked
from benchmarks.crew import TOGETHER, Crew, values
from benchmarks.figure import Figure, Spread
from benchmarks.server import BenchmarkServer, open_server
from benchmarks.tokens import token_of
from zoho_token_store.testing import FakeZoho

NAMES = ("outage",)
NAMESPACE = "outage"
REACH_MS = 5.0
BEFORE, AFTER = 0.5, 2.0
"""Seconds for which Redis is there; workers try to reach it once a second at the least."""
PAUSE = 0.01
"""Seconds between two look-ups of a worker."""


class Outage(NamedTuple):
    """What the workers saw of it.

    Attributes:
        requests: Look-ups, before and after it too.
        errors: Those that brought no token that the SDK would use.
        slowest_ms: The slowest while Redis was away, without each worker's first, milliseconds.
        slowest_around_ms: The slowest of all others.
        first_error: One of the errors.
    """

    requests: int
    errors: int
    slowest_ms: float
    slowest_around_ms: float
    first_error: str


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure this figure.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer processes, and a shorter outage.
    """
    size, away = (2, 1.0) if quick else (8, 60.0)
    seen, restored = _run(size, away)
    yield Figure(
        "outage",
        f"errors of {size} workers with a valid token, Redis killed and away for {away:.0f} s, then back empty",
        f"0, no call slower than {REACH_MS:g} ms meanwhile",
        Spread(seen.errors, seen.errors, seen.errors, 1),
        seen.errors == 0 and seen.slowest_ms <= REACH_MS,
        digits=0,
        note=f"{seen.requests:,} requests, the slowest meanwhile took {seen.slowest_ms:.1f} ms",
        details={**seen._asdict(), "restored": restored},
    )


def count(asked: list[Asked], gone_at: float, back_at: float) -> Outage:
    """Count what the workers have seen; ``gone_at`` and ``back_at`` are times of the machine's monotonic clock."""
    looks = [look for each in asked for look in each.looks]
    meanwhile, around = [], []
    for each in asked:
        during = [look.seconds for look in each.looks if gone_at <= look.began_at < back_at]
        meanwhile += during[1:]
        around += [look.seconds for look in each.looks if not gone_at <= look.began_at < back_at] + during[:1]
    errors = [look.error for look in looks if look.error]
    return Outage(len(looks), len(errors), max(meanwhile) * 1000, max(around) * 1000, errors[0] if errors else "")


def _run(size: int, away: float) -> tuple[Outage, bool]:
    """Return what the workers saw, and whether the record is in Redis afterwards."""
    with tempfile.TemporaryDirectory(prefix="zts-") as folder, FakeZoho() as zoho, Crew(size) as crew:
        address, token = Path(folder) / "redis", token_of(zoho, 3600)
        with _server_at(address) as server:
            with server.store(NAMESPACE) as store:
                store.save_token(token)
            crew.do(asking.open_store, f"unix://{address}", NAMESPACE, zoho.url, token.get_id(), True)
            until = time.monotonic() + TOGETHER + BEFORE + away + AFTER
            crew.start(asking.ask_until, token.get_id(), until, PAUSE)
            time.sleep(TOGETHER + BEFORE)
            gone_at = time.monotonic()
        time.sleep(max(0.0, gone_at + away - time.monotonic()))
        back_at = time.monotonic()
        with _server_at(address) as server:
            asked = values(crew.finish())
            with server.store(NAMESPACE) as store:
                restored = store.get(token.get_id()) is not None
    return count(asked, gone_at, back_at), restored


@contextmanager
def _server_at(address: Path) -> Iterator[BenchmarkServer]:
    """Run a server, and have an address of our own lead to its socket; it ends by SIGKILL, and forgets everything."""
    with open_server() as server:
        address.unlink(missing_ok=True)
        os.symlink(server.url.removeprefix("unix://"), address)
        yield server
