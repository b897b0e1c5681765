"""``stats``, and what it and ``top`` are made of."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from cli.desk import Desk
from cli.program import until
from contract.tokens import refreshed
from servers import Server
from zoho_token_store import RedisTokenStore, SQLiteTokenStore
from zoho_token_store.cli.fleet.census import count_tokens
from zoho_token_store.cli.fleet.counted import LEAST_MS, Counted, Pace, Readings
from zoho_token_store.cli.fleet.leases import Lease, paused, read_lease
from zoho_token_store.cli.fleet.rounds import Rounds
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.stats import NAMES


def test_what_the_fleet_has_done_is_counted(redis_desk: Desk, real_server: Server) -> None:
    """Tokens by how they stand, leases, pauses and events: as they are."""
    redis_desk.save("ada", "grace", access="at-of-x")
    redis_desk.save("soon", access="at-of-soon", left=200)
    [idle] = redis_desk.save("idle")
    redis_desk.save("fleeting", refresh=None, access="at-of-x")
    keys = Keyspace(redis_desk.namespace)
    with real_server.client() as client, RedisTokenStore(real_server.client(), redis_desk.namespace) as store:
        assert store.find_token_by_id(idle).get_access_token() is None
        in_an_hour = int((time.time() + 3600) * 1000)
        client.hset(keys.lease("refresh:x"), mapping={"retry_ms": in_an_hour, "reason": "+throttled", "attempts": 1})
        client.hset(keys.lease("refresh:y"), mapping={"retry_ms": 1, "attempts": 1})
        done = redis_desk.run("stats", "--json")
        told = json.loads(done.stdout)
        text = redis_desk.run("stats")
    assert (done.returncode, done.stderr) == (0, "")
    assert told["tokens"] == {
        "total": 5, "fresh": 3, "expiring": 1, "expired": 0, "no_access": 1, "refreshable": 4, "unreadable": 0,
    }  # fmt: skip
    assert told["leases"] == {"held": 1, "paused": {"throttled": 1}}
    assert told["events"]["counts"] == {"saved": 5}
    assert told["events"]["since"].startswith("20")
    assert told["blocked_clients"] == 0
    lines = {line[:32].strip(): line[32:].split()[0] for line in text.stdout.splitlines()}
    assert (lines["tokens"], lines["no access"], lines["refreshes under way"], lines["throttled"]) == (
        "5",
        "1",
        "1",
        "1",
    )
    assert text.stderr == ""


def test_a_file_has_tokens_and_no_more(tmp_path) -> None:
    """What is not known is null, and it is said why."""
    with SQLiteTokenStore(tmp_path / "tokens.db"):
        pass
    desk = Desk(f"sqlite:///{tmp_path}/tokens.db", "default")
    desk.save("ada")
    told = json.loads(desk.run("stats", "--json").stdout)
    assert told["tokens"]["total"] == 1
    assert (told["leases"], told["events"], told["blocked_clients"], told["counted"]) == (None, None, None, None)
    assert 'the events of a file are in its table "events"' in desk.run("stats").stderr
    assert desk.run("stats", "--quiet").stderr == ""
    with closing(sqlite3.connect(tmp_path / "tokens.db")) as connection:
        assert connection.execute("SELECT event FROM events").fetchall() == [("saved",)]


def test_what_stands_in_redis_is_shown_and_does_no_harm(redis_desk: Desk, real_server: Server) -> None:
    """Leases and events that nobody of ours has written."""
    keys = Keyspace(redis_desk.namespace)
    with real_server.client() as client:
        client.hset(keys.lease("x\x1b[2J"), mapping={"retry_ms": "9" * 15, "reason": "\x1b[31m", "until_ms": "soon"})
        client.xadd(keys.events, {"event": "\x1b[2J", "by": "\x07"}, id=f"{2**63 - 1}-0")
        assert redis_desk.run("stats").returncode == 0
        told = json.loads(redis_desk.run("stats", "--json").stdout)
        assert told["leases"]["paused"] == {"\x1b[31m": 1}
        assert told["events"]["since"] is None
        assert redis_desk.run("top", "--once").returncode == 0


class TestCounted:
    """What all processes together have counted."""

    def test_look_ups_and_waits_of_several_stores(self, redis_desk: Desk) -> None:
        """The sums are those of all of them, with the share that near caches have answered."""
        [token] = redis_desk.save("ada", access="at-of-ada")
        [due] = redis_desk.save("grace")
        stores = [redis_desk.store(near_cache=True) for _ in range(2)]
        with ThreadPoolExecutor(1) as pool:
            held = stores[0].find_token_by_id(due)
            waiting = pool.submit(stores[1].find_token_by_id, due)
            until(lambda: stores[1].stats()["waits"])
            stores[0].save_token(refreshed(held, "at-of-grace"))
            assert waiting.result(10).get_access_token() == "at-of-grace"
        for store in stores:
            until(lambda store=store: store.find_token_by_id(token) and store.stats()["near_hits"] >= 3)
        counts = Counter(saves=2)  # those of the desk's own stores
        for store in stores:
            counts.update(store.stats())
            store.close()
        done, text = redis_desk.run("stats", "--json"), redis_desk.run("stats")
        told = json.loads(done.stdout)["counted"]
        look_ups = counts["finds"] + counts["near_hits"]
        assert told.pop("since").startswith("20")
        assert (told.pop("look_ups"), told.pop("hit_rate")) == (look_ups, counts["near_hits"] / look_ups)
        assert told == counts
        assert (counts["waits"], counts["leases"]) == (1, 1)
        lines = {line[:32].strip(): line[32:].split() for line in text.stdout.splitlines()}
        assert lines["look-ups"][:2] == [str(look_ups), "since"]
        assert lines["by near caches"] == [str(counts["near_hits"]), f"{counts['near_hits'] / look_ups:.1%}"]
        assert (lines["by asking"], lines["waits"], lines["wait timeouts"]) == ([str(counts["finds"])], ["1"], ["0"])
        assert done.stderr == text.stderr == ""

    def test_before_anything_was_told(self, redis_desk: Desk) -> None:
        """Everything is zero, since no time."""
        told = json.loads(redis_desk.run("stats", "--json").stdout)["counted"]
        assert (told.pop("since"), told.pop("hit_rate")) == (None, None)
        assert set(told.values()) == {0}

    def test_who_looks_on_writes_nothing(self, redis_desk: Desk, real_server: Server) -> None:
        """Commands that read leave the sums as they are, and do not begin them."""
        [token] = redis_desk.save("ada", access="at-of-ada")
        key = Keyspace(redis_desk.namespace).counted
        commands = ["stats", "top --once", "doctor", "list", "find ada", f"show {token}", "audit"]
        with real_server.client() as client:
            client.delete(key)
            for each in commands:
                redis_desk.run(*each.split())
                assert not client.exists(key), each

    @pytest.mark.parametrize("kind", ["forged", "string"])
    def test_what_is_none_of_ours(self, redis_desk: Desk, real_server: Server, kind: str) -> None:
        """Fields and values that nobody of ours has written, or something else in the place of the hash."""
        key = Keyspace(redis_desk.namespace).counted
        forged = {
            "since_ms": "\x1b[2J",
            "finds": "-7",
            "waits": "9" * 40,
            "saves": "3",
            "\x1b[m": "1",
            "leases": b"\xff",
        }
        with real_server.client() as client:
            if kind == "forged":
                client.hset(key, mapping=forged)
            else:
                client.set(key, "x")
        told = json.loads(redis_desk.run("stats", "--json").stdout)["counted"]
        assert (told["since"], told["saves"]) == (None, 3 if kind == "forged" else 0)
        assert sum(told[name] for name in NAMES) == told["saves"]
        assert redis_desk.run("stats").returncode == 0
        assert redis_desk.run("top", "--once").returncode == 0


class TestReadings:
    """Sums, read again and again: what is counted in a minute."""

    @staticmethod
    def sums(since_ms: int | None = 1_000, **counts: int) -> Counted:
        """Return what was read."""
        return Counted(since_ms, Counter(counts))

    def test_the_whole_time_first(self) -> None:
        """One reading, or several within some seconds, say how it was since the sums began."""
        readings = Readings()
        assert readings.add(0, self.sums(None)) is None
        pace = readings.add(11_000, self.sums(finds=5, near_hits=15, waits=2))
        assert pace == Pace(10.0, self.sums(finds=5, near_hits=15, waits=2))
        assert (pace.of.look_ups, pace.of.hit_rate) == (20, 0.75)

    def test_then_the_last_minute(self) -> None:
        """What has come since the oldest reading that is at most a minute old."""
        readings = Readings()
        readings.add(100_000, self.sums(finds=100))
        assert readings.add(100_000 + LEAST_MS, self.sums(finds=110)) == Pace(20.0, self.sums(100_000, finds=10))
        assert readings.add(160_000, self.sums(finds=130)) == Pace(60.0, self.sums(100_000, finds=30))
        assert readings.add(180_000, self.sums(finds=131, waits=1)) == Pace(60.0, self.sums(120_000, finds=21, waits=1))

    @pytest.mark.parametrize("since_ms", [1_000, 195_000])
    def test_sums_that_begin_anew(self, since_ms: int) -> None:
        """Deleted in between, or lost: it begins anew, and nothing is less than zero."""
        readings = Readings()
        readings.add(100_000, self.sums(finds=100))
        readings.add(160_000, self.sums(finds=200))
        pace = readings.add(200_000, self.sums(since_ms, finds=3))
        assert pace == Pace((200_000 - since_ms) / 1000, self.sums(since_ms, finds=3))

    def test_a_clock_that_was_set_back(self) -> None:
        """It begins anew."""
        readings = Readings()
        readings.add(100_000, self.sums(finds=100))
        assert readings.add(90_000, self.sums(finds=100)) == Pace(89.0, self.sums(finds=100))

    def test_it_keeps_a_minute(self) -> None:
        """However long it goes on."""
        readings = Readings()
        for second in range(1000):
            readings.add(second * 1000, self.sums(finds=second))
        assert len(readings._seen) <= 61


class TestLease:
    """What Redis has of a lease, at the time 1000."""

    def test_one_that_is_held(self) -> None:
        """Until its end."""
        assert read_lease("x", ["1500", None, "2", None], 1000) == Lease("x", True, 500, 2, "")

    def test_one_that_is_held_back(self) -> None:
        """With the reason; a pause behind a lease that goes on is not counted yet."""
        assert read_lease("x", [None, "4000", "3", "+failed"], 1000) == Lease("x", False, 3000, 3, "failed")
        assert read_lease("x", ["1500", "4000", "3", None], 1000) == Lease("x", True, 500, 3, "")

    def test_one_that_is_over_or_none(self) -> None:
        """Is not there."""
        for stored in (["999", "1000", "1", ""], [None] * 4, ["soon", "-1", "x", "y"]):
            assert read_lease("x", stored, 1000) is None

    def test_pauses_are_counted_by_reason(self) -> None:
        """Those of leases that have ended without a save count as failed."""
        leases = [Lease("a", True, 1, 1, ""), Lease("b", False, 1, 3, ""), Lease("c", False, 1, 1, "invalid_code")]
        assert paused(leases) == {"failed": 1, "invalid_code": 1}


def test_a_census_keeps_those_that_end_next(redis_desk: Desk) -> None:
    """The soonest first, and no more than wanted; those that do not end are counted only."""
    redis_desk.save("idle")
    for number in (5, 3, 9, 1, 7):
        redis_desk.save(f"user{number}", access=f"at-of-{number}", left=1000.0 * number)
    with redis_desk.store() as store:
        *_, census = count_tokens(store, keep=3)
    assert [seen.user_name for seen in census.next] == ["user1", "user3", "user5"]
    assert (census.total, census.states["no-access"]) == (6, 1)


class TestRounds:
    """A long look in slices."""

    def test_it_goes_on_where_it_was_and_rests(self) -> None:
        """A slice is as long as is allowed; the rest is nine times what the walk has taken."""
        now = [0.0]

        def walk():
            for number in range(6):
                now[0] += 1
                yield number

        rounds = Rounds(walk, every=1.0, clock=lambda: now[0])
        rounds.step(4)
        assert (rounds.result, rounds.partial, now[0]) == (None, 3, 4)
        rounds.step(4)
        assert (rounds.result, now[0]) == (5, 6)
        for resting in (7.0, 59.0):
            now[0] = resting
            rounds.step(4)
            assert now[0] == resting
        now[0] = 60.0
        rounds.step(4)
        assert (rounds.result, rounds.partial, now[0]) == (5, 3, 64)
