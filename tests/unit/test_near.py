"""The near cache: what it serves, when, and what it refuses to hold."""

from __future__ import annotations

import sys
import threading
import timeit

import pytest

from zoho_token_store.clock import SystemClock
from zoho_token_store.near import SILENCE, Near

MAX_AGE = 60.0
OUTAGE_TTL = 300.0
USER = ("user", "digest")
GRANT = ("grant", "digest")


class Clock(SystemClock):
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Return what the test has set."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still."""
    return Clock()


@pytest.fixture
def near(clock: Clock) -> Near[str]:
    """Give a connected cache."""
    near: Near[str] = Near(100, MAX_AGE, OUTAGE_TTL, clock)
    near.connected(clock.now)
    return near


def put(near: Near[str], key: object, record_id: str, value: str, fresh: float = 30.0, usable: float = 3000.0) -> None:
    """Put in what Redis has just answered."""
    near.put(key, record_id, value, fresh, usable, near.ticket())  # type: ignore[arg-type]


def listen_until(near: Near[str], clock: Clock, now: float) -> None:
    """Let time go by while the reader hears of Redis."""
    clock.now = now
    near.connected(now)


class TestConnected:
    """While events arrive."""

    def test_by_id_and_by_selector(self, near: Near[str]) -> None:
        """What was put in under a key is found under it, and under no other."""
        put(near, "7", "7", "by id")
        put(near, USER, "7", "by user")
        assert (near.find("7"), near.find(USER), near.find("8"), near.find(GRANT)) == ("by id", "by user", None, None)
        assert len(near) == 2

    def test_the_latest_answer_counts(self, near: Near[str]) -> None:
        """A second answer takes the first one's place."""
        put(near, "7", "7", "old")
        put(near, "7", "7", "new")
        assert near.find("7") == "new"
        assert len(near) == 1

    def test_until_it_is_not_fresh(self, near: Near[str], clock: Clock) -> None:
        """An entry is served to the end of its freshness, though it would be usable."""
        put(near, "7", "7", "token", fresh=30)
        listen_until(near, clock, 1029.9)
        assert near.find("7") == "token"
        listen_until(near, clock, 1030.0)
        assert near.find("7") is None

    def test_max_age_caps_freshness_but_not_use(self, near: Near[str], clock: Clock) -> None:
        """An entry is asked for again after ``max_age``; in an outage it serves on."""
        put(near, "7", "7", "token", fresh=3600, usable=3600)
        listen_until(near, clock, 1000 + MAX_AGE)
        assert near.find("7") is None
        near.lost()
        assert near.find("7") == "token"

    def test_a_reader_that_stands_still_is_not_trusted(self, near: Near[str], clock: Clock) -> None:
        """Whoever has heard nothing for some seconds, without an error, has to ask Redis."""
        put(near, "7", "7", "token")
        clock.now += SILENCE - 0.01
        assert near.find("7") == "token"
        clock.now += 0.01
        assert near.find("7") is None
        near.connected(clock.now)
        assert near.find("7") == "token"


class TestOutage:
    """While Redis is away."""

    def test_usable_entries_are_served(self, near: Near[str], clock: Clock) -> None:
        """What is not fresh any more serves as long as it is usable."""
        put(near, "7", "7", "token", fresh=10, usable=100)
        near.lost()
        clock.now += 99.9
        assert near.find("7") == "token"
        clock.now += 0.1
        assert near.find("7") is None

    def test_until_the_outage_has_lasted_too_long(self, near: Near[str], clock: Clock) -> None:
        """``outage_ttl`` counts from when Redis was last heard of, not from when it was missed."""
        put(near, "7", "7", "token")
        clock.now += 2
        near.lost()
        clock.now = 1000 + OUTAGE_TTL - 0.1
        near.lost()  # found away again: prolongs nothing
        assert near.find("7") == "token"
        clock.now = 1000 + OUTAGE_TTL
        assert near.find("7") is None
        assert near.last_resort("7") is None

    def test_nothing_is_put_in(self, near: Near[str]) -> None:
        """There is no ticket, and without one nothing is held."""
        near.lost()
        assert near.ticket() is None
        put(near, "7", "7", "token")
        assert len(near) == 0

    def test_reconnected(self, near: Near[str], clock: Clock) -> None:
        """Afterwards freshness counts again, and entries survive."""
        put(near, "7", "7", "short", fresh=10)
        put(near, "8", "8", "long", fresh=50)
        near.lost()
        listen_until(near, clock, 1020)
        assert (near.find("7"), near.find("8")) == (None, "long")

    def test_last_resort(self, near: Near[str], clock: Clock) -> None:
        """Who finds Redis away gets what is usable, and the others do so without asking."""
        put(near, "7", "7", "token", fresh=1, usable=100)
        listen_until(near, clock, 1001)
        assert near.find("7") is None
        assert near.last_resort("7") == "token"
        assert not near.is_connected
        assert near.find("7") == "token"
        assert near.last_resort("8") is None
        clock.now = 1100
        assert near.last_resort("7") is None

    def test_hits_are_counted_apart(self, near: Near[str]) -> None:
        """Served from memory, and served in an outage; reading the counters counts nothing."""
        put(near, "7", "7", "token")
        for _ in range(3):
            near.find("7")
        near.find("8")
        assert near.hits() == (3, 0)
        near.last_resort("7")
        near.find("7")
        near.find("8")
        assert near.hits() == near.hits() == (3, 2)


class TestRaces:
    """Answers that are older than an event that was seen to before they came in."""

    @pytest.mark.parametrize("what", ["drop", "drop_selectors", "empty", "lost"])
    def test_an_old_answer_is_not_held(self, near: Near[str], clock: Clock, what: str) -> None:
        """Whatever happens between question and answer, even to another record, spoils the answer."""
        ticket = near.ticket()
        near.drop("8") if what == "drop" else getattr(near, what)()
        near.connected(clock.now)
        near.put("7", "7", "from before", 30, 3000, ticket)
        assert near.find("7") is None
        put(near, "7", "7", "from after")
        assert near.find("7") == "from after"

    def test_hearing_of_redis_spoils_nothing(self, near: Near[str], clock: Clock) -> None:
        """An answer without events between question and answer changes nothing."""
        ticket = near.ticket()
        near.connected(clock.now)
        near.put("7", "7", "token", 30, 3000, ticket)
        assert near.find("7") == "token"

    def test_threads(self) -> None:
        """While a deletion may come at any time, nobody finds anything after it."""
        near: Near[int] = Near(10, MAX_AGE, OUTAGE_TTL, SystemClock())
        near.connected(SystemClock().monotonic() + 60)
        stored, stop = [0], threading.Event()
        wrong: list[tuple[int, int]] = []

        def ask() -> None:
            while not stop.is_set():
                ticket = near.ticket()
                near.put("7", "7", stored[0], 30, 3000, ticket)
                near.put(USER, "7", stored[0], 30, 3000, ticket)

        def look() -> None:
            while not stop.is_set():
                for key in ("7", USER):
                    seen = dropped[0]
                    found = near.find(key)
                    if found is not None and found < seen:
                        wrong.append((found, seen))

        dropped = [0]
        threads = [threading.Thread(target=work) for work in (ask, ask, look)]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            for thread in threads:
                thread.start()
            for number in range(1, 500):
                stored[0] = number
                near.drop("7")
                dropped[0] = number
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            sys.setswitchinterval(interval)
        assert not wrong


class TestDropping:
    """What an event makes the cache forget."""

    def test_a_record_with_its_selectors(self, near: Near[str]) -> None:
        """Everything that leads to the record goes, and nothing else."""
        for key, record_id in (("7", "7"), (USER, "7"), (GRANT, "7"), ("8", "8"), (("user", "other"), "8")):
            put(near, key, record_id, "token")
        near.drop("7")
        assert (near.find("7"), near.find(USER), near.find(GRANT)) == (None, None, None)
        assert near.find("8") == near.find(("user", "other")) == "token"
        near.drop("unknown")
        assert len(near) == 2

    def test_a_deleted_record_is_not_held(self, near: Near[str]) -> None:
        """What this process could not store of it is not handed out in an outage that begins after the deletion."""
        near.end("ada")
        near.hold("ada", "kept", 60)
        near.hold("grace", "kept", 60)
        near.lost()
        assert (near.find("ada"), near.find("grace")) == (None, "kept")

    def test_a_selector_that_leads_elsewhere_by_now(self, near: Near[str]) -> None:
        """It goes with the record that it leads to, not with the one that it led to."""
        put(near, USER, "7", "old")
        put(near, USER, "8", "new")
        near.drop("7")
        assert near.find(USER) == "new"
        near.drop("8")
        assert near.find(USER) is None

    def test_selectors(self, near: Near[str]) -> None:
        """Entries by id stay."""
        put(near, "7", "7", "token")
        put(near, USER, "7", "token")
        near.drop_selectors()
        assert (near.find("7"), near.find(USER)) == ("token", None)

    def test_everything(self, near: Near[str], clock: Clock) -> None:
        """Nothing is served, not even in an outage."""
        put(near, "7", "7", "token")
        near.empty()
        near.lost()
        assert near.find("7") is None
        assert (len(near), near.entries()) == (0, [])

    def test_the_oldest_goes_when_there_is_no_room(self, clock: Clock) -> None:
        """Least recently put; reading keeps nothing alive. What has gone leaves nothing behind."""
        near: Near[str] = Near(3, MAX_AGE, OUTAGE_TTL, clock)
        near.connected(clock.now)
        for record_id in "1234":
            put(near, record_id, record_id, "first")
            near.find("1")
        put(near, "2", "2", "second")
        put(near, "5", "5", "first")
        assert [near.find(record_id) for record_id in "12345"] == [None, "second", None, "first", "first"]
        assert sorted(near._keys) == ["2", "4", "5"]

    def test_one_entry_for_each_record(self, near: Near[str]) -> None:
        """What is handed over is what was put in last of each record."""
        put(near, "7", "7", "7 old")
        put(near, USER, "7", "7 new")
        put(near, "8", "8", "8")
        assert sorted(near.entries()) == ["7 new", "8"]


class TestFork:
    """A forked child."""

    def test_starts_empty(self, near: Near[str], clock: Clock) -> None:
        """Its events do not arrive yet; the lock may have been held by a thread that it does not have."""
        put(near, "7", "7", "token")
        near.find("7")
        near._lock.acquire()
        near.reset_after_fork()
        assert (len(near), near.find("7"), near.ticket(), near.hits()) == (0, None, None, (0, 0))
        near.connected(clock.now)
        put(near, "7", "7", "token")
        assert near.find("7") == "token"


def test_what_a_hit_costs() -> None:
    """Print it; what it may cost depends on the machine."""
    clock = SystemClock()
    near: Near[str] = Near(1000, MAX_AGE, OUTAGE_TTL, clock)
    near.connected(clock.monotonic() + 60)
    put(near, "1234567890", "1234567890", "token")
    find, entries, now, runs = near.find, near._entries, clock.monotonic, 20_000
    hit = min(timeit.repeat(lambda: find("1234567890"), number=runs, repeat=5)) / runs * 1e9
    least = min(timeit.repeat(lambda: (entries.get("1234567890"), now()), number=runs, repeat=5)) / runs * 1e9
    assert near.find("1234567890") == "token"
    print(f"\nNear.find: {hit:.0f} ns; a dictionary look-up and the clock alone: {least:.0f} ns")
