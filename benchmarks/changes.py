"""How soon a change in one process is seen by all the others that have the token in their near caches."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import NamedTuple

from benchmarks import asking
from benchmarks.asking import DELETED, Seen
from benchmarks.crew import TOGETHER, Crew, values
from benchmarks.figure import Figure, Spread
from benchmarks.server import open_server
from benchmarks.tokens import expires_in, full_token, secret
from zoho_token_store import RedisTokenStore

NAMES = ("changes",)
NAMESPACE = "changes"
REACH_MS = 50.0
EVERY = 0.1
"""Seconds between two changes. Whoever has not seen one by then has not seen it in time."""
BEFORE, AFTER = 1.0, 1.0
"""Seconds in which the others fill their near caches, and for which they go on after the last change."""
PAUSE = 0.002
"""Seconds between two rounds of look-ups of a worker: a change is noticed so much later at the most."""
NOWHERE = "http://nowhere.invalid"
"""Nobody refreshes here."""


class Change(NamedTuple):
    """One change, as the process that made it knows it.

    Attributes:
        record_id: Whose.
        outcome: The new access token, or :data:`DELETED`.
        acknowledged_at: When the call had returned, by the machine's monotonic clock.
    """

    record_id: str
    outcome: str
    acknowledged_at: float


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure from the return of the call that makes a change to its first sight, for each change and process.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer processes and changes.
    """
    size, saves, deletions = (3, 8, 4) if quick else (15, 160, 40)
    changes, seen = _run(size, saves, deletions)
    took_ms = sorted(1000 * seconds for seconds in delays(changes, seen))
    p99 = took_ms[round((len(took_ms) - 1) * 0.99)]
    yield Figure(
        "changes",
        f"a new token or a deletion, seen by {size} other processes with near caches, p99",
        f"within {REACH_MS:g} ms",
        Spread(p99, p99, p99, len(took_ms)),
        p99 <= REACH_MS,
        digits=1,
        unit="ms",
        note=f"median {Spread.of(took_ms).text(1)} ms of {len(took_ms):,}, longest {took_ms[-1]:.1f} ms",
        details={"took_ms": took_ms},
    )


def delays(changes: list[Change], seen: list[list[Seen]]) -> Iterator[float]:
    """Yield the seconds from each change to its first sight in each process; :data:`EVERY` if it was not seen at all.

    Args:
        changes: What was changed.
        seen: What each process has seen.
    """
    for each in seen:
        first = {(look.record_id, look.outcome): look.at for look in reversed(each)}
        for record_id, outcome, acknowledged_at in changes:
            yield first.get((record_id, outcome), acknowledged_at + EVERY) - acknowledged_at


def _run(size: int, saves: int, deletions: int) -> tuple[list[Change], list[list[Seen]]]:
    with open_server() as server, Crew(size) as crew, server.store(NAMESPACE) as store:
        tokens = [full_token(number) for number in range(1 + deletions)]
        for token in tokens:
            store.save_token(token)
        kept, *short_lived = [str(token.get_id()) for token in tokens]
        crew.do(asking.open_store, server.url, NAMESPACE, NOWHERE, kept, True)
        makers = [partial(_save, store, kept, secret("new", number)) for number in range(saves)]
        for turn, record_id in enumerate(short_lived, start=1):
            makers.insert(turn * (len(makers) // deletions), partial(_delete, store, record_id))
        began = time.monotonic() + TOGETHER + BEFORE
        crew.start(asking.notice, [kept, *short_lived], began + len(makers) * EVERY + AFTER, PAUSE)
        changes = [_at(began + turn * EVERY, make) for turn, make in enumerate(makers)]
        return changes, values(crew.finish())


def _at(moment: float, make: Callable[[], Change]) -> Change:
    time.sleep(max(0.0, moment - time.monotonic()))
    return make()


def _save(store: RedisTokenStore, record_id: str, access_token: str) -> Change:
    token = store.find_token_by_id(record_id)
    token.set_access_token(access_token)
    token.set_expires_in(expires_in())
    store.save_token(token)
    return Change(record_id, access_token, time.monotonic())


def _delete(store: RedisTokenStore, record_id: str) -> Change:
    store.delete_token(record_id)
    return Change(record_id, DELETED, time.monotonic())
