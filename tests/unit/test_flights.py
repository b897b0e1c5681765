"""Threads of one process that wait for one lease: one asks, and what it is told is good for those who came before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from zoho_token_store.lease import Flight, Flights

PATIENCE = 10.0


class Passengers:
    """Threads that sit in a flight.

    Args:
        pool: Where they run.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def sit(self, flight: Flight[str], at_most: float = PATIENCE) -> Future[str | None]:
        """Have one more sit in it; returns when it sits."""
        seated = threading.Event()

        class Seat(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                seated.set()
                return landed.wait(timeout)

        landed = flight._landed
        flight._landed = Seat()
        future = self._pool.submit(flight.sit, at_most)
        assert seated.wait(PATIENCE)
        flight._landed = landed
        return future


@pytest.fixture
def passengers() -> Passengers:
    """Return threads to sit in flights."""
    with ThreadPoolExecutor(4) as pool:
        yield Passengers(pool)


def test_all_get_what_was_asked_for_after_they_came(passengers: Passengers) -> None:
    """One asks for all."""
    flights = Flights[str]()
    with flights.board("id") as (flight, leads):
        assert leads
        assert flights.under_way("id") is flight
        waiting = [passengers.sit(flight) for _ in range(3)]
        flight.asked += 1
        flight.brought = "token"
    assert [future.result(PATIENCE) for future in waiting] == ["token"] * 3
    assert flights.under_way("id") is None


def test_who_comes_after_the_question_asks_for_itself(passengers: Passengers) -> None:
    """It may have changed something since: what was asked for before would tell it what was before."""
    flights = Flights[str]()
    with flights.board("id") as (flight, _):
        early = passengers.sit(flight)
        flight.asked += 1
        late = passengers.sit(flight)
        flight.brought = "token"
    assert (early.result(PATIENCE), late.result(PATIENCE)) == ("token", None)


def fail(flight: Flight[str]) -> None:
    flight.asked += 1
    raise LookupError


def elect(flight: Flight[str]) -> None:
    flight.asked += 1


@pytest.mark.parametrize("end", [fail, elect])
def test_what_is_not_for_all(passengers: Passengers, end: Callable[[Flight[str]], None]) -> None:
    """An error, and a lease, are the asker's alone: the others ask for themselves."""
    flights = Flights[str]()
    waiting = []

    def fly() -> None:
        with flights.board("id") as (flight, _):
            waiting.append(passengers.sit(flight))
            end(flight)

    if end is fail:
        with pytest.raises(LookupError):
            fly()
    else:
        fly()
    assert waiting[0].result(PATIENCE) is None
    assert flights.under_way("id") is None


def test_one_pilot(passengers: Passengers) -> None:
    """Who boards a flight that is under way does not end it."""
    flights = Flights[str]()
    with flights.board("id") as (flight, leads):
        with flights.board("id") as (same, leads_too):
            assert (same is flight, leads, leads_too) == (True, True, False)
        assert flights.under_way("id") is flight
        with flights.board("other") as (_, leads_another):
            assert leads_another


def test_a_wait_that_is_too_long(passengers: Passengers) -> None:
    """Ends without anything."""
    flights = Flights[str]()
    with flights.board("id") as (flight, _):
        flight.asked += 1
        assert flight.sit(0.01) is None
