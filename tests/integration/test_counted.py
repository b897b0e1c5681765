"""What processes tell Redis of what they have counted: exactly, seldom, and at no cost to anybody."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from integration.desk import make_token
from integration.fleet import Worker, do_all, wait_until
from integration.site import Site
from proxy import FaultyProxy
from servers import Server, client_for
from zoho_token_store import RedisTokenStore, StoreUnavailable, TokenNotFound, acl, script
from zoho_token_store.clock import SystemClock
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.tally import EVERY
from zoho_token_store.topology import topology_of


class Clock(SystemClock):
    """A clock that goes ahead when a test says so."""

    ahead = 0.0

    def monotonic(self) -> float:
        """Return this machine's time, and what the test has added."""
        return time.monotonic() + self.ahead


class StoppedClock(Clock):
    """One that goes ahead at no other time."""

    def monotonic(self) -> float:
        """Return what the test has added."""
        return self.ahead


class Clocked(RedisTokenStore):
    """A store with a clock of the test's."""

    def __init__(self, client: Any, namespace: str, clock: Clock, **options: Any) -> None:
        self._connect(topology_of(client), namespace, options, clock)


def log_in(store: RedisTokenStore) -> str:
    """Save a token that can be used for an hour; return its id."""
    token = make_token(user="ada", refresh_token="refresh", client_id="client", access_token="access")
    token.set_expires_in(str(int((time.time() + 3600) * 1000)))
    store.save_token(token)
    return str(token.get_id())


def told(server: Any, namespace: str) -> dict[str, int]:
    """Return the sums."""
    with server.client(decode_responses=True) as client:
        sums = client.hgetall(Keyspace(namespace).counted)
    assert not sums or int(sums["since_ms"]) == pytest.approx(time.time() * 1000, abs=60_000)
    return {name: int(number) for name, number in sums.items() if name != "since_ms"}


def counted(store: RedisTokenStore) -> Counter[str]:
    """Return what a store has counted, without what is zero."""
    return +Counter(store.stats())


def test_what_is_told_is_what_was_counted(real_server: Server, namespace: str) -> None:
    """At the end of several stores the sums are those of all of them."""
    stores = [RedisTokenStore(real_server.client(), namespace) for _ in range(3)]
    record_id = log_in(stores[0])
    for number, store in enumerate(stores):
        for _ in range(5 + number):
            store.find_token_by_id(record_id)
        with pytest.raises(TokenNotFound):
            store.find_token_by_id("never-seen")
    expected = sum(map(counted, stores), Counter[str]())
    assert told(real_server, namespace) == {}
    for store in stores:
        store.close()
    assert told(real_server, namespace) == expected == {"finds": 21, "saves": 1}


def test_at_most_once_in_ten_seconds(real_server: Server, namespace: str) -> None:
    """However many look-ups there are; none before the first ten seconds are over, and none without news."""
    clock = StoppedClock()
    with RedisTokenStore(real_server.client(), namespace) as other:
        record_id = log_in(other)
    store = Clocked(real_server.client(), namespace, clock)
    with real_server.client() as client:
        client.config_resetstat()

        def additions() -> int:
            return int(client.info("commandstats").get("cmdstat_hincrby", {"calls": 0})["calls"])

        for elapsed, expected in ((0.0, 0), (EVERY - 0.1, 0), (0.1, 1), (EVERY - 0.1, 1), (0.1, 2), (100.0, 3)):
            clock.ahead += elapsed
            for _ in range(50):
                store.find_token_by_id(record_id)
            assert additions() == expected
        store.close()
        assert additions() == 4
    assert told(real_server, namespace) == {"finds": 300, "saves": 1}


def test_hits_are_told_while_nothing_is_asked(real_server: Server, namespace: str) -> None:
    """What only the near cache has answered is told beside the events that its reader asks for."""
    clock = Clock()
    with Clocked(real_server.client(), namespace, clock, near_cache=True) as store:
        record_id = log_in(store)
        wait_until(lambda: store.find_token_by_id(record_id) and store.stats()["near_hits"], "the cache answers")
        assert told(real_server, namespace) == {}
        clock.ahead += EVERY
        wait_until(lambda: told(real_server, namespace) == counted(store), "the reader tells")


def test_a_server_that_was_killed(start_server: Callable[..., Server], namespace: str) -> None:
    """An outage is no time to tell anything; what was counted in it is told later, and nothing twice."""
    server, clock = start_server(), Clock()
    with Clocked(server.client(), namespace, clock, operation_timeout=1.0) as store:
        record_id = log_in(store)
        clock.ahead += EVERY
        store.find_token_by_id(record_id)
        before = counted(store)
        assert told(server, namespace) == before == {"finds": 1, "saves": 1}
        server.kill()
        clock.ahead += EVERY
        with pytest.raises(StoreUnavailable):
            store.find_token_by_id(record_id)
        server.start()
        clock.ahead += EVERY
        with pytest.raises(TokenNotFound):  # it has come back empty
            store.find_token_by_id(record_id)
        assert told(server, namespace) == counted(store) - before
        assert {"finds": 2, "unavailable": 1}.items() <= told(server, namespace).items()


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_a_message_that_is_lost(real_server: Server, namespace: str, lost: str) -> None:
    """A lost reply changes nothing, a lost request loses what was in it; nothing is told twice, and nobody notices."""
    with real_server.client() as client:
        client.script_load(script.COUNT.text)
    with FaultyProxy(real_server.socket_path) as proxy:
        store = RedisTokenStore(proxy.client(), namespace)
        store.find_token_by_id(log_in(store))
        drop = {"request": proxy.drop_next_request, "reply": proxy.drop_next_reply}[lost]
        drop()
        store.close()
        store.close()
    assert told(real_server, namespace) == ({"finds": 1, "saves": 1} if lost == "reply" else {})


def test_a_silent_server_holds_up_no_end(start_server: Callable[..., Server], namespace: str) -> None:
    """The end of a store waits for an answer a moment at most, however patient the store is otherwise."""
    server = start_server()
    store = RedisTokenStore(server.client(), namespace, operation_timeout=60.0)
    log_in(store)
    with server.paused():
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < 20


def test_an_end_after_an_error(real_server: Server, namespace: str) -> None:
    """Redis was away at last: no connection is made to tell anything."""
    with FaultyProxy(real_server.socket_path) as proxy:
        store = RedisTokenStore(proxy.client(), namespace, operation_timeout=1.0)
        record_id = log_in(store)
        proxy.black_hole = True
        with pytest.raises(StoreUnavailable):
            store.find_token_by_id(record_id)
        made = proxy.accepted
        store.close()
        assert proxy.accepted == made


def test_a_user_who_may_not(
    start_server: Callable[..., Server], namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Look-ups and saves go on as ever, and the log says once what the user lacks."""
    server, clock = start_server(tcp=True), Clock()
    with server.client() as admin:
        rules = [rule for rule in acl.worker(namespace) if rule != "+hincrby"]
        admin.execute_command("ACL", "SETUSER", "worker", *rules, ">pw")
    with Clocked(client_for(f"redis://worker:pw@127.0.0.1:{server.port}"), namespace, clock) as store:
        record_id = log_in(store)
        for _ in range(3):
            clock.ahead += EVERY
            assert store.find_token_by_id(record_id).get_access_token() == "access"
    assert told(server, namespace) == {}
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "hincrby" in said[0].getMessage()


def test_the_rules_of_a_worker_are_enough(start_server: Callable[..., Server], namespace: str) -> None:
    """A user with them tells."""
    server = start_server(tcp=True)
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "worker", *acl.worker(namespace), ">pw")
        with RedisTokenStore(client_for(f"redis://worker:pw@127.0.0.1:{server.port}"), namespace) as store:
            log_in(store)
        assert admin.acl_log() == []
    assert told(server, namespace) == {"saves": 1}


def test_the_audit_knows_the_sums(real_server: Server, namespace: str) -> None:
    """It finds nothing wrong with them, and something with what is no hash; deleting all tokens leaves them."""
    with RedisTokenStore(real_server.client(), namespace) as store:
        log_in(store)
    with RedisTokenStore(real_server.client(), namespace) as store, real_server.client() as client:
        assert [finding for step in store.audit(repair=True) for finding in step.findings] == []
        store.delete_tokens()
        assert told(real_server, namespace) == {"saves": 1}
        client.delete(Keyspace(namespace).counted)
        client.set(Keyspace(namespace).counted, "1")
        assert [finding.kind for step in store.audit() for finding in step.findings] == ["unknown"]


def test_what_somebody_has_spoilt(real_server: Server, namespace: str) -> None:
    """One sum that is no number is left, the others go on."""
    with real_server.client(decode_responses=True) as client:
        client.hset(Keyspace(namespace).counted, mapping={"finds": "many", "saves": "7"})
        with RedisTokenStore(real_server.client(), namespace) as store:
            store.find_token_by_id(log_in(store))
        sums = client.hgetall(Keyspace(namespace).counted)
    assert (sums["finds"], sums["saves"]) == ("many", "8")


def test_children_tell_what_they_have_counted(site: Site, start_workers: Callable[[int], list[Worker]]) -> None:
    """Forked when the parent has told something already, and has more to tell; each tells its own."""
    record_id = site.log_in(life=3600)
    parents = start_workers(2)
    site.open(parents, near_cache=True)
    do_all(parents, "tell_at_once")
    for _ in range(3):
        do_all(parents, "find_by_id", record_id)
    assert told(site.server, site.namespace)["finds"] > 0
    for parent in parents:
        parent.do("in_forks", 3, "find_by_id", record_id)
    expected = Counter[str](saves=1, finds=6)  # the children's own, in whom the cache begins empty
    for parent in parents:
        expected += +Counter(parent.do("ask", "stats"))
        parent.do("ask", "close")
    assert told(site.server, site.namespace) == expected
