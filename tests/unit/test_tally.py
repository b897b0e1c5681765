"""What a process tells of what it has counted: how much, when, and what becomes of it if Redis does not take it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from zoho_token_store import tally
from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import StoreUnavailable
from zoho_token_store.stats import Stats
from zoho_token_store.tally import EVERY, Tally


class Clock(SystemClock):
    """A clock that the test sets."""

    now = 1000.0

    def monotonic(self) -> float:
        """Return what the test has set."""
        return self.now


class Bench:
    """A tally, and what it has sent."""

    def __init__(self) -> None:
        self.clock, self.stats = Clock(), Stats()
        self.tally = Tally(self.stats, self.send, self.clock)
        self.sent: list[dict[str, int]] = []
        self.refusal: Exception | None = None
        self.at_hand = True

    def send(self, pairs: Sequence[Any]) -> bool:
        """Take what is told, or refuse it."""
        if self.at_hand:
            self.sent.append(dict(zip(pairs[::2], pairs[1::2], strict=True)))
        if self.refusal:
            raise self.refusal
        return self.at_hand

    def later(self, seconds: float = EVERY) -> None:
        """Let time go by, and Redis answer."""
        self.clock.now += seconds
        self.tally.answered()


@pytest.fixture
def bench() -> Bench:
    """Give one whose first look-up was answered."""
    bench = Bench()
    bench.stats.count("finds")
    bench.tally.answered()
    return bench


def test_differences_are_told_when_it_is_time(bench: Bench) -> None:
    """Not at the first answer, then at most every ten seconds; each time what has come since, and only that."""
    bench.later(EVERY - 0.01)
    assert bench.sent == []
    bench.later(0.01)
    assert bench.sent == [{"finds": 1}]
    bench.stats.count("finds", 2)
    bench.stats.count("waits")
    bench.later(EVERY - 0.01)
    assert len(bench.sent) == 1
    bench.later(0.01)
    assert bench.sent[1:] == [{"finds": 2, "waits": 1}]


def test_nothing_is_sent_without_anything_counted(bench: Bench) -> None:
    """Whatever time goes by; and the end tells nothing twice."""
    for _ in range(5):
        bench.later()
    bench.tally.close()
    bench.tally.close()
    assert bench.sent == [{"finds": 1}]


def test_what_is_counted_elsewhere_is_told_too(bench: Bench) -> None:
    """Hits of a near cache."""
    bench.stats.include(lambda: {"near_hits": 7})
    bench.later()
    assert bench.sent == [{"finds": 1, "near_hits": 7}]


def test_the_end_tells_the_rest(bench: Bench) -> None:
    """Also before the first time that it is due."""
    bench.stats.count("leases")
    bench.tally.close()
    assert bench.sent == [{"finds": 1, "leases": 1}]


def test_who_was_never_answered_tells_nothing() -> None:
    """A store that was only looked at has counted a retry perhaps, and writes nothing."""
    bench = Bench()
    bench.stats.count("retries")
    bench.tally.close()
    assert bench.sent == []


@pytest.mark.parametrize(
    "refusal",
    [StoreUnavailable("it is away"), StoreUnavailable("it refuses", passing=False), ValueError("whatever else")],
    ids=["away", "refuses", "else"],
)
def test_a_refusal_is_swallowed_and_not_repeated(bench: Bench, refusal: Exception) -> None:
    """It may have arrived: what was sent counts as told, and is never sent again; the next time is as due as ever."""
    bench.refusal = refusal
    bench.later()
    bench.later(EVERY / 2)
    assert bench.sent == [{"finds": 1}]
    bench.refusal = None
    bench.stats.count("finds", 3)
    bench.later(EVERY / 2)
    assert bench.sent == [{"finds": 1}, {"finds": 3}]


def test_what_is_refused_for_good_is_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """In the log; a Redis that is away is only worth a word to who looks for it."""
    caplog.set_level(logging.DEBUG, "zoho_token_store")
    for passing in (True, False, False, True):
        bench.refusal = StoreUnavailable("no", passing=passing)
        bench.stats.count("finds")
        bench.later()
    assert [record.levelname for record in caplog.records] == ["DEBUG", "WARNING", "DEBUG", "DEBUG"]


def test_what_could_not_be_sent_is_told_later(bench: Bench) -> None:
    """With no connection at hand nothing was sent, for sure: nothing is lost."""
    bench.at_hand = False
    bench.later()
    bench.at_hand = True
    bench.stats.count("finds")
    bench.later()
    assert bench.sent == [{"finds": 2}]


def test_a_forked_child_begins_anew(bench: Bench) -> None:
    """It tells what it has counted itself, when its own time has come, though a thread of the parent was telling."""
    bench.later()
    bench.tally._telling.acquire()
    bench.stats.reset_after_fork()
    bench.tally.reset_after_fork()
    bench.tally.close()
    assert len(bench.sent) == 1
    bench.stats.count("finds", 5)
    bench.later()
    bench.later()
    assert bench.sent[1:] == [{"finds": 5}]


def test_one_thread_tells_and_no_other_waits(bench: Bench) -> None:
    """While it is under way others go on at once."""
    telling, go_on = threading.Event(), threading.Event()

    def send(pairs: Sequence[Any]) -> bool:
        telling.set()
        assert go_on.wait(10)
        return bench.send(pairs)

    bench.tally._send = send
    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(bench.later)
        try:
            assert telling.wait(10)
            bench.later()
            assert bench.sent == []
        finally:
            go_on.set()
        one.result(10)
    assert bench.sent == [{"finds": 1}]


def test_one_that_was_overtaken_does_not_tell_again(bench: Bench) -> None:
    """A thread finds that it is time, and another has told before it gets to it."""
    lock = bench.tally._telling

    class Overtaken:
        """Lets the other one go first."""

        def acquire(self, *, blocking: bool) -> bool:
            bench.tally._telling = lock
            bench.tally.answered()
            bench.stats.count("finds")
            return lock.acquire(blocking=blocking)

    bench.tally._telling = Overtaken()  # type: ignore[assignment]
    bench.later()
    assert bench.sent == [{"finds": 1}]
    bench.later()
    assert bench.sent == [{"finds": 1}, {"finds": 1}]


def test_an_end_does_not_wait_long_for_a_thread_that_tells(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on without having told."""
    monkeypatch.setattr(tally, "PATIENCE", 0.01)
    bench.tally._telling.acquire()
    bench.tally.close()
    assert bench.sent == []


def test_many_threads_tell_everything_once(bench: Bench) -> None:
    """Whoever tells when, the sums are what was counted."""

    seconds = count(int(bench.clock.now))

    def work(_: int) -> None:
        for _ in range(200):
            bench.stats.count("finds")
            bench.clock.now = float(next(seconds))
            bench.tally.answered()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    bench.tally.close()
    assert sum(told["finds"] for told in bench.sent) == bench.stats.read()["finds"] == 1601
    assert 10 < len(bench.sent) <= 162
