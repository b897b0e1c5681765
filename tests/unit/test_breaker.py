"""Who waits for a Redis that is away: whoever finds out, and nobody after that."""

from __future__ import annotations

import pytest

from zoho_token_store import StoreUnavailable, TokenNotFound
from zoho_token_store.breaker import PROBED, Breaker
from zoho_token_store.clock import SystemClock


class Clock(SystemClock):
    """Stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Redis:
    """Counts how often it was asked, and answers with an error or without one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return "answer"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def away() -> Redis:
    return Redis(StoreUnavailable("no answer", cause=OSError("gone")))


def refused(breaker: Breaker, redis: Redis) -> bool:
    """Return whether a request was refused without asking."""
    asked = redis.asked
    with pytest.raises(StoreUnavailable) as caught:
        breaker.call(redis)
    assert isinstance(caught.value.cause, OSError)
    return redis.asked == asked


def test_the_first_finds_out_for_all(breaker: Breaker, clock: Clock) -> None:
    """As long as the reader tries in vain, too."""
    redis = away()
    breaker.missed()
    assert not refused(breaker, redis)
    for _ in range(5):
        assert refused(breaker, redis)
        clock.now += PROBED - 1
        breaker.missed()
    breaker.reached()
    redis.error = None
    assert breaker.call(redis) == "answer"


def test_the_reader_alone_stops_nobody(breaker: Breaker) -> None:
    """Its connection was lost, and those of others work."""
    redis = Redis()
    breaker.missed()
    assert breaker.call(redis) == "answer"
    breaker.missed()
    assert breaker.call(redis) == "answer"


def test_a_caller_alone_stops_nobody(breaker: Breaker) -> None:
    """The reader hears of Redis: a request that took too long says nothing about the next one."""
    redis = away()
    for _ in range(2):
        assert not refused(breaker, redis)
    breaker.missed()
    breaker.reached()
    assert not refused(breaker, redis)


def test_a_reader_that_has_stopped_trying_is_not_trusted(breaker: Breaker, clock: Clock) -> None:
    """It is stuck, or refused for another reason: callers try for themselves."""
    redis = away()
    breaker.missed()
    refused(breaker, redis)
    assert refused(breaker, redis)
    clock.now += PROBED
    assert not refused(breaker, redis)


@pytest.mark.parametrize("error", [TokenNotFound("id"), StoreUnavailable("not allowed", passing=False)])
def test_other_errors_are_answers(breaker: Breaker, error: Exception) -> None:
    """Redis is there: it knows no such id, or refuses this user for good."""
    redis = away()
    breaker.missed()
    breaker.call(Redis())
    with pytest.raises(type(error)):
        breaker.call(Redis(error))
    assert not refused(breaker, redis)


def test_who_was_under_way_finds_redis_back(breaker: Breaker) -> None:
    """A request that has lasted through the outage opens it again for all."""
    redis = away()
    breaker.missed()
    answers = []

    def slow() -> None:
        refused(breaker, redis)  # another one, meanwhile
        answers.append(refused(breaker, redis))

    breaker.call(slow)
    assert answers == [True]
    assert not refused(breaker, redis)


def test_a_forked_child_finds_out_for_itself(breaker: Breaker) -> None:
    """Its reader has tried nothing yet."""
    redis = away()
    breaker.missed()
    refused(breaker, redis)
    breaker.reset_after_fork()
    breaker.missed()
    assert not refused(breaker, redis)
