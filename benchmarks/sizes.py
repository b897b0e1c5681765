"""Look-ups, saves, walks and memory of every store, from few tokens to very many."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import count, cycle, islice
from time import perf_counter, sleep
from typing import Any

from benchmarks.comparison import Comparison, Point, Series
from benchmarks.figure import Spread
from benchmarks.interleave import Batch, ratios
from benchmarks.rivals import RIVALS, Rival, Site
from benchmarks.rivals.ours import Near
from benchmarks.tokens import expires_in, named_token, secret
from benchmarks.turns import time_in_turns

GROUPS = {
    "by_id": "compare_find",
    "by_user": "compare_find",
    "save": "compare_save",
    "scan": "compare_scan",
    "memory": "compare_memory",
}
TITLES = {
    "by_id": ("find_token_by_id", "µs"),
    "by_user": ("find_token by user name", "µs"),
    "save": ("save_token of an existing token", "µs"),
    "scan": ("a walk over all tokens", "tokens a second"),
    "memory": ("memory in Redis, or place on the disk", "bytes for each token"),
}
ASKED_FOR = 100
"""Tokens, spread over all, that are asked for and saved in turns: what a process has to do with at a time."""
SLOW = 2.0
"""Seconds from which on a call is not measured."""
WALK = 100_000
"""Tokens after which a walk is ended, by those that do not fetch all before they give the first."""
LEAST_HELD = 1_000
"""Tokens from which on what a store takes says something about one of them."""
WALKS = 3


class Sizes:
    """Every store at every size.

    Args:
        site: Where they are.
        names: Which of :data:`GROUPS`.
        rounds: How many rounds of each operation.
    """

    def __init__(self, site: Site, names: Collection[str], rounds: int) -> None:
        self._names = names
        self._rounds = rounds
        self._rivals: list[Rival] = []
        self.series = {name: {kind.name: Series(kind.name) for kind in RIVALS} for name in names}
        for kind in RIVALS:
            missing = kind.is_there()
            if missing:
                for each in self.series.values():
                    each[kind.name].left_out = missing
            else:
                site.shared[kind] = kind(site)
                self._rivals.append(site.shared[kind])

    def comparisons(self) -> Iterator[Comparison]:
        """Yield what was measured."""
        for name, series in self.series.items():
            title, unit = TITLES[name]
            given = [each for each in series.values() if each.points or each.left_out]
            yield Comparison(name, GROUPS[name], title, unit, given)

    def measure(self, tokens: int) -> None:
        """Load every store, and measure it."""
        held = {rival.name: rival.load(tokens) for rival in self._rivals}
        if "memory" in self._names and tokens >= LEAST_HELD:
            self._note("memory", tokens, {each.name: [each.used() / tokens] for each in self._owners()})
        stores = {rival.name: rival.opener()() for rival in self._rivals}
        for rival in self._rivals:
            if isinstance(rival, Near):
                _warm(stores[rival.name], _some(held[rival.name]))
        self._time("by_id", tokens, {name: _by_id(store, held[name]) for name, store in stores.items()})
        self._time("by_user", tokens, {name: _by_user(store, held[name]) for name, store in stores.items()})
        for rival in self._rivals:
            if not rival.holds_tokens:  # its reader of events would be at work while the others save
                _close(stores.pop(rival.name))
        self._time("save", tokens, {name: _saves(store, held[name]) for name, store in stores.items()})
        if "scan" in self._names:
            self._walk(tokens, stores)
        for store in stores.values():
            _close(store)

    def _time(self, name: str, tokens: int, batches: dict[str, Batch]) -> None:
        if name in self._names:
            taking = {rival: batch for rival, batch in batches.items() if self._is_quick(name, rival, tokens)}
            self._note(name, tokens, time_in_turns(taking, self._rounds, calls=50))

    def _owners(self) -> list[Rival]:
        return [rival for rival in self._rivals if rival.holds_tokens]

    def _walk(self, tokens: int, stores: dict[str, Any]) -> None:
        """Walk once if there are many: the time of a hundred thousand steps has no need of repetition."""
        walks = WALKS if tokens < WALK else 1
        rates: dict[str, list[float]] = {rival.name: [] for rival in self._owners()}
        for _ in range(walks):
            for rival in self._owners():
                rates[rival.name].append(_rate(partial(rival.scan, stores[rival.name])))
        self._note("scan", tokens, rates)

    def _note(self, name: str, tokens: int, measured: dict[str, list[float]]) -> None:
        ours = measured[RIVALS[0].name]
        for rival, values in measured.items():
            common = min(len(values), len(ours))
            ratio = None if values is ours else ratios(values[:common], ours[:common])
            self.series[name][rival].points.append(Point(Spread.of(values), tokens, ratio))

    def _is_quick(self, name: str, rival: str, tokens: int) -> bool:
        """Return whether a call will be over soon, by how it has grown so far."""
        series = self.series[name][rival]
        if series.points and not series.left_out:
            seconds = _expected(series.points, tokens)
            if seconds > SLOW:
                series.left_out = f"not at {tokens:,} tokens: a call would take about {seconds:.0f} s"
        return not series.left_out


def _expected(points: Sequence[Point], tokens: int) -> float:
    """Return how many seconds a call will take: in proportion, if it has grown at all."""
    first, last = points[0], points[-1]
    growth = tokens / (last.tokens or 1) if last.spread.median > 3 * first.spread.median else 1
    return last.spread.median / 1e6 * growth


def _some(ids: Sequence[str]) -> list[tuple[int, str]]:
    """Return numbers and ids of the tokens that are asked for, in no order: the first are found sooner than others."""
    numbers = list(range(0, len(ids), max(1, len(ids) // ASKED_FOR)))
    random.Random(7).shuffle(numbers)
    return [(number, ids[number]) for number in numbers]


def _by_id(store: Any, ids: Sequence[str]) -> Batch:
    return _taking(cycle([partial(store.find_token_by_id, record_id) for _, record_id in _some(ids)]))


def _by_user(store: Any, ids: Sequence[str]) -> Batch:
    numbers = cycle([number for number, _ in _some(ids)])
    return _taking(partial(store.find_token, named_token(number)) for number in numbers)


def _saves(store: Any, ids: Sequence[str]) -> Batch:
    """Return saves as after a refresh: of a token that was looked up, with a new access token."""
    some = cycle(_some(ids))

    def saves() -> Iterator[Callable[[], object]]:
        for turn in count():
            token = store.find_token_by_id(next(some)[1])
            token.set_access_token(secret("new access", turn))
            token.set_expires_in(expires_in())
            yield partial(store.save_token, token)

    making, most = saves(), len(_some(ids))  # all are looked up before one is saved: each token once
    return lambda number: list(islice(making, min(number, most)))


def _taking(calls: Iterator[Callable[[], object]]) -> Batch:
    return lambda number: list(islice(calls, number))


def _close(store: Any) -> None:
    getattr(store, "close", lambda: None)()


def _rate(scan: Callable[[], Any]) -> float:
    """Return tokens a second: of all, if they are there at once."""
    began = perf_counter()
    tokens = scan()
    walked = len(tokens) if isinstance(tokens, list) else sum(1 for _ in islice(tokens, WALK))
    return walked / (perf_counter() - began)


def _warm(store: Any, asked_for: list[tuple[int, str]]) -> None:
    """Ask for tokens until the process has them all."""
    before = -1
    while store.stats()["near_hits"] - before < len(asked_for):
        before = store.stats()["near_hits"]
        for _, record_id in asked_for:
            store.find_token_by_id(record_id)
        sleep(0.01)
