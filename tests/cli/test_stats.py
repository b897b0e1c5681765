"""``stats``, and what it and ``top`` are made of."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing

import click
import pytest
from prometheus_client import CollectorRegistry, start_http_server

from cli.desk import Desk
from cli.program import until
from servers import Server
from zoho_token_store import RedisTokenStore, SQLiteTokenStore
from zoho_token_store.cli.fleet.census import count_tokens
from zoho_token_store.cli.fleet.leases import Lease, paused, read_lease
from zoho_token_store.cli.fleet.rounds import Rounds
from zoho_token_store.cli.fleet.workers import read_page
from zoho_token_store.instrumentation.prometheus import PrometheusHook
from zoho_token_store.keyspace import Keyspace


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
    assert "counted in each process" in text.stderr
    assert redis_desk.run("stats", "--quiet").stderr == ""


def test_a_file_has_tokens_and_no_more(tmp_path) -> None:
    """What is not known is null, and it is said why."""
    with SQLiteTokenStore(tmp_path / "tokens.db"):
        pass
    desk = Desk(f"sqlite:///{tmp_path}/tokens.db", "default")
    desk.save("ada")
    told = json.loads(desk.run("stats", "--json").stdout)
    assert told["tokens"]["total"] == 1
    assert (told["leases"], told["events"], told["blocked_clients"]) == (None, None, None)
    assert 'the events of a file are in its table "events"' in desk.run("stats").stderr
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


class TestWorkers:
    """What workers tell Prometheus."""

    def test_hits_and_waits_are_added_up(self, redis_desk: Desk) -> None:
        """Of all pages, for this namespace, with the share that near caches have answered."""
        registry = CollectorRegistry()
        [token] = redis_desk.save("ada", access="at-of-ada")
        server, thread = start_http_server(0, "127.0.0.1", registry)
        try:
            page = f"http://127.0.0.1:{server.server_port}/metrics"
            with redis_desk.store(hooks=[PrometheusHook(registry)], near_cache=True) as store:
                until(lambda: store.find_token_by_id(token) and store.stats()["near_hits"] >= 3)
                counted, labels = store.stats(), {"namespace": redis_desk.namespace}
                until(
                    lambda: (
                        registry.get_sample_value("zoho_token_store_near_hits_total", labels) == counted["near_hits"]
                    )
                )
                done = redis_desk.run("stats", "--json", "--metrics", page, "--metrics", page)
                text = redis_desk.run("stats", "--metrics", page)
            elsewhere = redis_desk.run("--namespace", "another", "stats", "--metrics", page)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
        told = json.loads(done.stdout)["workers"]
        assert told["look_ups"] == 2 * (counted["finds"] + counted["near_hits"])
        assert told["hit_rate"] == counted["near_hits"] / (counted["finds"] + counted["near_hits"])
        assert (told["waits"], told["refreshes_throttled"], told["near_hits"]) == (0, 0, 2 * counted["near_hits"])
        assert f"{told['hit_rate']:.1%}" in text.stdout
        assert text.stderr == ""
        assert elsewhere.returncode == 1
        assert "says nothing of the namespace" in elsewhere.stderr

    @pytest.mark.parametrize(
        ("page", "status", "said"),
        [
            ("http://u:made-up-password@127.0.0.1:1/", 4, "cannot be had (ConnectionError)"),
            ("http://u:made-up-password@127.0.0.1:port/", 4, "cannot be had"),
            ("ftp://u:made-up-password@h/", 2, "http:// or https://"),
        ],
    )
    def test_a_page_that_cannot_be_had(self, redis_desk: Desk, page: str, status: int, said: str) -> None:
        """It is said why, without the URL, in which there may be a password."""
        done = redis_desk.run("stats", "--metrics", page)
        assert done.returncode == status
        assert said in done.stderr
        assert "made-up-password" not in done.stdout + done.stderr

    @pytest.mark.parametrize(
        "text",
        ["<html>", 'zoho_token_store_waits_total{namespace="crm"} x', 'zoho_token_store_waits_total{namespace="crm'],
    )
    def test_what_is_no_page_of_metrics(self, text: str) -> None:
        """It is refused, and nothing of it is counted."""
        with pytest.raises(click.ClickException):
            read_page(text, "crm")

    def test_others_metrics_are_left_out(self) -> None:
        """Those of another namespace, of another name, and times at which a counter was made."""
        text = "\n".join(
            f'{name}{{namespace="{namespace}"}} {value}'
            for name, namespace, value in [
                ("zoho_token_store_waits_total", "crm", 3), ("zoho_token_store_waits_total", "other", 5),
                ("zoho_token_store_waits_created", "crm", 7), ("other_waits_total", "crm", 9),
            ]
        )  # fmt: skip
        assert read_page(text, "crm") == {"waits": 3}


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
