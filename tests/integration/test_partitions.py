"""A fleet on a store with partitions: what holds in one namespace holds in each of them, and one harms no other."""

from __future__ import annotations

import re
import signal
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integration.desk import make_token, user_name_of
from integration.fleet import Worker, do_all, start_all, value_of, wait_until
from integration.site import environment_of
from servers import Server, newest_binary
from zoho_token_store import PartitionedTokenStore, StoreUnavailable
from zoho_token_store.keyspace import Keyspace, spread
from zoho_token_store.testing import FakeZoho

Start = Callable[[int], list[Worker]]
USERS = ("ada", "emmy", "joan", "vera")
PARTITIONS = 4
"""By this number each of the four users is in another partition, two of them on each server."""
LEASE = 2.5
"""Longer than a machine stands still, seconds."""
WORKERS = 12


class Town:
    """Two servers with the partitions of one application, and the stand-in for Zoho."""

    def __init__(self, servers: list[Server], zoho: FakeZoho) -> None:
        self.servers = servers
        self.zoho = zoho
        self.fields = {"client_id": zoho.client_id, "client_secret": zoho.client_secret}
        self.fields["redirect_url"] = zoho.redirect_uri

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    def store(self, **options: Any) -> PartitionedTokenStore:
        """Return a store in this process."""
        return PartitionedTokenStore.from_url(self.urls, "crm", PARTITIONS, key=user_name_of, **options)

    def open(self, workers: list[Worker], **options: Any) -> None:
        """Have workers make their stores."""
        do_all(workers, "open_partitions", self.urls, "crm", PARTITIONS, **options)

    def log_in(self, user: str) -> str:
        """Store a refresh token that Zoho knows, without an access token; return the record's id."""
        token = make_token(user=user, refresh_token=self.zoho.issue_refresh_token(), **self.fields)
        with self.store() as store:
            store.save_token(token)
        return str(token.get_id())

    def server_of(self, user: str) -> Server:
        """Return the server that has a user's partition."""
        return self.servers[spread(user, PARTITIONS) % len(self.servers)]

    def expire(self, record_id: str) -> None:
        """Let an access token end."""
        number = spread(record_id, PARTITIONS)
        with self.servers[number % len(self.servers)].client() as client:
            assert client.delete(Keyspace(f"crm.{number}").access(record_id))

    def blocked(self) -> int:
        """Return how many connections wait on a stream."""
        counts = []
        for server in self.servers:
            with server.client() as client:
                counts.append(int(client.info("clients")["blocked_clients"]))
        return sum(counts)


@pytest.fixture
def town(start_server: Callable[..., Server], zoho: FakeZoho) -> Town:
    """Start two servers; a closed partition must not be one that another test needs."""
    return Town([start_server(newest_binary()) for _ in range(2)], zoho)


def test_each_code_is_exchanged_once(town: Town, start_workers: Start) -> None:
    """Twelve processes boot at once on the codes of four users: four exchanges, all are up, in several partitions."""
    workers = start_workers(WORKERS)
    town.open(workers)
    codes = {user: town.zoho.issue_grant_code() for user in USERS}
    for number, worker in enumerate(workers):
        user = USERS[number % len(USERS)]
        worker.start("boot", town.zoho.url, user=user, grant_token=codes[user], **town.fields)
    for worker in workers:
        value_of(worker.finish())
    assert do_all(workers, "call") == ["60000000001"] * WORKERS
    assert (town.zoho.counters.exchanges, town.zoho.counters.rejected) == (len(USERS), 0)
    with town.store() as store:
        tokens = store.get_tokens()
        assert sorted(user_name_of(token) or "" for token in tokens) == sorted(USERS)
        homes = {spread(token.get_id(), PARTITIONS) for token in tokens}
    assert homes == set(range(PARTITIONS))


def test_each_expiry_costs_one_refresh(town: Town, start_workers: Start) -> None:
    """All tokens end at once, and all processes ask for each, twice: one refresh for each token and expiry."""
    workers = start_workers(WORKERS)
    town.open(workers)
    ids = [town.log_in(user) for user in USERS]
    for expiry in range(1, 3):
        for record_id in ids:
            do_all(workers, "boot", town.zoho.url, id=record_id)
            assert len(set(do_all(workers, "get_token"))) == 1
        assert town.zoho.counters.refreshes == expiry * len(USERS)
        for record_id in ids:
            town.expire(record_id)
    assert town.zoho.counters.crm_rejected == 0


def test_the_death_of_the_one_that_refreshes(town: Town, start_workers: Start) -> None:
    """SIGKILL of it: those who wait have a token within the lease time; other partitions notice nothing."""
    ada, vera = town.log_in("ada"), town.log_in("vera")
    winner, aside, *others = workers = start_workers(6)
    town.open(workers, lease_ttl=LEASE, wait_timeout=20.0)
    aside.do("boot", town.zoho.url, id=vera)
    town.zoho.reset()
    town.zoho.faults.set(hang=True)
    winner.start("boot", town.zoho.url, id=ada)
    wait_until(lambda: town.zoho.max_in_flight() == 1, "the winner is at Zoho")
    start_all(others, "boot", town.zoho.url, id=ada)
    wait_until(lambda: town.blocked() == len(others), "the others wait")
    assert aside.do("get_token")
    assert aside.do("ask", "stats")["waits"] == 0
    winner.end(signal.SIGKILL)
    wait_until(lambda: town.zoho.counters.abandoned == 1, "Zoho sees that the winner has gone")
    town.zoho.faults.clear()
    began = time.monotonic()
    for other in others:
        value_of(other.finish())
    assert time.monotonic() - began < LEASE + 10
    assert (town.zoho.counters.refreshes, town.zoho.counters.rejected) == (1, 0)


def test_one_server_away(town: Town) -> None:
    """Its own tokens are unavailable; those of the other are found, refreshed and deleted, and codes exchanged."""
    away = town.server_of("ada")
    here = next(user for user in USERS if town.server_of(user) is not away)
    ids = {user: town.log_in(user) for user in ("ada", here)}
    options = {"operation_timeout": 1.0, "refresh": "managed", "environment": environment_of(town.zoho)}
    with town.store(**options) as store:
        for record_id in ids.values():
            assert store.find_token_by_id(record_id).get_access_token()
        away.stop()
        with pytest.raises(StoreUnavailable):
            store.find_token_by_id(ids["ada"])
        with pytest.raises(StoreUnavailable):
            store.ping()
        before = store.stats()
        town.expire(ids[here])
        assert store.find_token_by_id(ids[here]).get_access_token()
        assert store.find_token(make_token(user=here, **town.fields)).get_id() == ids[here]
        assert [store.stats()[name] - before[name] for name in ("retries", "unavailable")] == [0, 0], (
            "nobody asks there"
        )
        code = make_token(user=here, grant_token=town.zoho.issue_grant_code(), **town.fields)
        assert store.find_token(code).get_access_token()
        store.delete_token(ids[here])
        with pytest.raises(StoreUnavailable):
            store.find_token(make_token(user="ada", **town.fields))
    assert town.zoho.counters.exchanges == 1


def test_twice_as_many(start_server: Callable[..., Server]) -> None:
    """By the recipe of docs/operations.md each token is copied to where it belongs, and searched for nowhere."""
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    (recipe,) = re.findall(r"^  ```\n(  for token in old.*?)^  ```", text, re.MULTILINE | re.DOTALL)
    server, tokens = start_server(newest_binary()), 40
    with (
        PartitionedTokenStore.from_url(server.url, "crm", PARTITIONS) as old,
        PartitionedTokenStore.from_url(server.url, "crm2", 2 * PARTITIONS) as new,
        server.client() as admin,
    ):
        for number in range(tokens):
            client = {"client_id": f"client{number % 9}", "client_secret": "secret"} if number else {}
            old.save_token(make_token(user=f"user{number}", refresh_token=f"rt{number}", **client))
        new.ping()
        admin.config_resetstat()
        exec(textwrap.dedent(recipe), {"old": old, "new": new})  # noqa: S102 - that of the document
        calls = admin.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert calls < tokens * PARTITIONS
        assert [token.get_id() for token in new.iter_tokens()] == [token.get_id() for token in old.iter_tokens()]
    with PartitionedTokenStore.from_url(server.url, "crm2", 2 * PARTITIONS) as new:
        for token in new.get_tokens():
            number = (user_name_of(token) or "").removeprefix("user")
            assert new.get(token.get_id()).get_refresh_token() == f"rt{number}"
            assert new.find_token_by_id(token.get_id()).get_refresh_token() == f"rt{number}"
            sought = make_token(user=f"user{number}", client_id=token.get_client_id())
            assert new.find_token(sought).get_id() == token.get_id()
            home = new.home(token.get_client_id() or "")
            assert home.get(token.get_id()) is not None
        assert sum(bool(store.get_tokens()) for store in new.stores) > PARTITIONS


def test_near_caches_outlast_it(town: Town) -> None:
    """What a process knows of a partition that is away goes on, by id, by user, and by both."""
    record_id = town.log_in("ada")
    options = {"operation_timeout": 1.0, "refresh": "managed", "environment": environment_of(town.zoho)}
    with town.store(near_cache=True, **options) as store:
        asks: list[Callable[[], Any]] = [
            lambda: store.find_token_by_id(record_id),
            lambda: store.find_token(make_token(user="ada", **town.fields)),
            lambda: store.find_token(make_token(user="ada", id=record_id, **town.fields)),
        ]

        def hits() -> int:
            for ask in asks:
                assert ask().get_access_token()
            return store.stats()["near_hits"]

        wait_until(lambda: hits() >= 3 * len(asks), "all three are served by the cache")
        town.server_of("ada").stop()
        assert {ask().get_access_token() for ask in asks} == {store.find_token_by_id(record_id).get_access_token()}
        assert store.stats()["near_outage_hits"] >= len(asks)
