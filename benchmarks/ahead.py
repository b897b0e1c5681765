"""A fleet whose store refreshes by itself, through one expiry after another: who waits, and what Zoho is asked."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from benchmarks import asking
from benchmarks.asking import Asked
from benchmarks.crew import Crew
from benchmarks.figure import Figure, Spread
from benchmarks.server import open_server
from benchmarks.tokens import token_of
from zoho_token_store import RedisTokenStore
from zoho_token_store.options import USABLE
from zoho_token_store.testing import FakeZoho
from zoho_token_store.testing.model import Limits

NAMES = ("waits", "ahead")
NAMESPACE = "ahead"
LIFE = 24
"""Life of an access token, seconds. It is due when 10 are left, and cannot be handed out any more when 6 are."""
LATENCY = 0.5
"""Seconds that a token request takes: whoever waits for one waits as long."""
PAUSE = 0.05
"""Seconds between two look-ups of a worker: 32 of them leave room on two processors."""
LATE = 0.2
"""Seconds after the end of a token at which its round ends."""
NO_LIMITS = Limits(access_token_ttl=LIFE, access_tokens_per_window=1000, live_access_tokens=1000)


class Round(NamedTuple):
    """The fleet's requests until one access token could not be handed out any more.

    Attributes:
        requests: Look-ups.
        waited: Those that waited for a refresh, another worker's or one of their own.
        errors: Those that brought no token that the SDK would use.
        calls: Token requests to Zoho, refused ones too.
        slowest_ms: The slowest look-up, whatever held it up, milliseconds.
        first_error: One of the errors.
    """

    requests: int
    waited: int
    errors: int
    calls: int
    slowest_ms: float
    first_error: str


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure these figures, in one run.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer processes and expiries.
    """
    size, expiries = (4, 1) if quick else (32, 10)
    rounds = _rounds(size, expiries)
    if "waits" in names:
        yield _waits(size, rounds)
    if "ahead" in names:
        yield _calls(size, rounds)


def count(asked: list[Asked], calls: int) -> Round:
    """Count what the workers have seen.

    A look-up that did the refresh itself took as long as Zoho at the least, and its process got a token meanwhile. One
    that is merely slow, on a machine with more to do than processors, is not counted.
    """
    looks = [look for each in asked for look in each.looks]
    inline = sum(look.refreshed and look.seconds >= LATENCY for look in looks)
    errors = [look.error for look in looks if look.error]
    slowest = max(look.seconds for look in looks) * 1000
    waited = sum(each.waits for each in asked) + inline
    return Round(len(looks), waited, len(errors), calls, slowest, errors[0] if errors else "")


def _rounds(size: int, expiries: int) -> list[Round]:
    rounds = []
    with open_server() as server, FakeZoho(limits=NO_LIMITS) as zoho, Crew(size) as crew:
        zoho.faults.set(latency=LATENCY)
        token = token_of(zoho, LIFE)
        with server.store(NAMESPACE) as store:
            store.save_token(token)
            crew.do(asking.open_store, server.url, NAMESPACE, zoho.url, token.get_id(), False)
            for _ in range(expiries):
                before = _calls_so_far(zoho, token)
                until = time.monotonic() + _left(store, token.get_id()) - USABLE + LATE
                asked = crew.do(asking.ask_until, token.get_id(), until, PAUSE)
                rounds.append(count(asked, _calls_so_far(zoho, token) - before))
    return rounds


def _waits(size: int, rounds: list[Round]) -> Figure:
    waited, errors = sum(each.waited for each in rounds), sum(each.errors for each in rounds)
    requests, slowest = sum(each.requests for each in rounds), max(each.slowest_ms for each in rounds)
    return Figure(
        "waits",
        f'requests that waited for a refresh, {size} processes, `refresh="managed"`',
        "0, no error",
        Spread(waited, waited, waited, len(rounds)),
        waited == errors == 0,
        digits=0,
        note=f"{requests:,} requests in {len(rounds)} expiries, {errors} errors, the slowest took {slowest:.0f} ms",
        details=_details(rounds),
    )


def _calls(size: int, rounds: list[Round]) -> Figure:
    return Figure(
        "ahead",
        f'refresh calls per expiry, {size} processes, `refresh="managed"`',
        "1.00",
        Spread.of([each.calls for each in rounds]),
        {each.calls for each in rounds} == {1},
        note=f"{len(rounds)} expiries",
        details=_details(rounds),
    )


def _details(rounds: list[Round]) -> dict[str, Any]:
    return {"rounds": [each._asdict() for each in rounds]}


def _calls_so_far(zoho: FakeZoho, token: Any) -> int:
    seen = zoho.traffic(token.get_refresh_token())
    return seen.refreshes + seen.throttled + seen.rejected + seen.errors + seen.abandoned + seen.in_flight


def _left(store: RedisTokenStore, record_id: str) -> float:
    """Return the seconds until the stored access token ends."""
    return int(store.get(record_id).get_expires_in()) / 1000 - time.time()
