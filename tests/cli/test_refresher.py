"""``zoho-tokens refresher`` as a process of its own, on a real Redis, with the stand-in for Zoho."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.program import Program, until
from integration.site import Site, environment_of
from servers import Server
from zoho_token_store import RedisTokenStore
from zoho_token_store.testing import FakeZoho

LIFE = 30.0
"""Life of an access token: due for a refresher 15 s before its end, for a worker 10 s."""
DUE = 17.0
"""An age at which it is due for a refresher only."""
GIVEN_UP = 7.0
"""Within this time a signal has ended it, seconds: before a lease, or a call to Zoho, would end by itself."""


Start = Callable[..., Program]


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """Run a stand-in whose access tokens live shortly."""
    with FakeZoho(expires_in=LIFE) as zoho:
        yield zoho


@pytest.fixture
def site(real_server: Server, namespace: str, zoho: FakeZoho) -> Site:
    """Give a Redis server, a namespace and a stand-in."""
    return Site(real_server, namespace, zoho)


@pytest.fixture
def start(site: Site, tmp_path: Path) -> Iterator[Start]:
    """Start refreshers for the site, or for another Redis; none of them may print a secret."""
    programs: list[Program] = []

    def start(*arguments: str, url: str = site.server.url, zoho: bool = True) -> Program:
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment |= {"ZOHO_TOKEN_STORE_URL": url, "ZOHO_TOKEN_STORE_NAMESPACE": site.namespace}
        places = ["--accounts-url", site.zoho.url, "--crm-url", site.zoho.url] if zoho else []
        program = Program(["refresher", *places, *arguments], environment, tmp_path / f"{len(programs)}.log")
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.kill()
        assert not re.search(rf"1000\.\w|{site.zoho.client_secret}|password-of-redis", program.output), program.output


def worker(site: Site) -> RedisTokenStore:
    """Return the store of a worker that refreshes by itself, if it has to."""
    return site.store(refresh="managed", environment=environment_of(site.zoho))


def log_in(site: Site, name: str = "ada", age: float = DUE) -> str:
    """Store a user's token of some age; return its id."""
    record_id = site.log_in(f"{name}@example.com:1", life=LIFE)
    site.age(record_id, age)
    return record_id


def left(site: Site, record_id: str) -> float:
    """Return how long an access token lives."""
    with site.store() as store:
        return int(store.get(record_id).get_expires_in() or 0) / 1000 - time.time()


def is_fresh(site: Site, record_id: str) -> bool:
    """Return whether a token was just refreshed."""
    return left(site, record_id) > LIFE - DUE + 5


def test_no_worker_refreshes(site: Site, start: Start) -> None:
    """A token that nobody asks for is refreshed in time, again and again; a worker only ever finds it fresh."""
    record_id = log_in(site)
    program = start("--every", "1")
    with worker(site) as store:
        for number in (1, 2, 3):
            until(lambda: is_fresh(site, record_id), lambda: program.output)
            assert site.zoho.counters.refreshes == number
            store.find_token_by_id(record_id)
            site.age(record_id, DUE)
            store.find_token_by_id(record_id)
        assert store.stats()["leases"] == 0
    program.wait_for(f"INFO record {record_id} has a new access token", times=3)


def test_it_comes_when_the_next_token_is_due(site: Site, start: Start) -> None:
    """It does not sleep for a minute when one is due in two seconds."""
    record_id = log_in(site, age=LIFE / 2 - 3)
    start()
    until(lambda: is_fresh(site, record_id))
    assert site.zoho.counters.refreshes == 1


def test_two_elect(site: Site, start: Start) -> None:
    """Both look again while one of them is still refreshing: Zoho sees one call for each expiry."""
    record_id = log_in(site, age=0)
    programs = [start("--every", "1", "--verbose") for _ in range(2)]
    for program in programs:
        program.rounds(1)
    site.zoho.faults.set(latency=1.2)
    for number in (1, 2):
        site.age(record_id, DUE)
        until(lambda: is_fresh(site, record_id))
        for program in programs:
            program.rounds(1)
        assert site.zoho.counters.refreshes == number
    assert site.zoho.max_in_flight() == 1


def test_only_the_chosen_tokens(site: Site, start: Start) -> None:
    """Others are left alone, and an id that leads nowhere is said once."""
    chosen, other = log_in(site), log_in(site, "grace")
    program = start("--id", chosen, "--id", "not-there", "--every", "1", "--verbose")
    program.rounds(3)
    assert is_fresh(site, chosen)
    assert not is_fresh(site, other)
    assert site.zoho.counters.refreshes == 1
    assert program.said("no token under the id not-there") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_signal_ends_a_rest(site: Site, start: Start, number: int) -> None:
    """Status 0, at once."""
    program = start("--verbose")
    program.rounds(1)
    status, seconds = program.end(number)
    assert (status, program.said("stopped")) == (0, 1)
    assert seconds < GIVEN_UP
    assert "Traceback" not in program.output


def test_a_refresh_under_way_may_end(site: Site, start: Start) -> None:
    """SIGTERM while Zoho takes its time: the token that it gives is stored."""
    record_id = log_in(site)
    site.zoho.faults.set(latency=0.8)
    program = start()
    until(lambda: site.lease(record_id).get("owner"))
    status, seconds = program.end()
    assert status == 0
    assert seconds < GIVEN_UP
    assert is_fresh(site, record_id)
    assert site.zoho.counters.refreshes == 1


def test_a_refresh_that_hangs_is_left_to_another(site: Site, start: Start) -> None:
    """SIGTERM ends it soon all the same, and its lease is free before it would have run out."""
    record_id = log_in(site)
    site.zoho.faults.set(hang=True)
    program = start()
    until(lambda: site.lease(record_id).get("owner"))
    status, seconds = program.end()
    assert status == 0, program.output
    assert seconds < GIVEN_UP
    assert "Traceback" not in program.output
    assert "owner" not in site.lease(record_id)
    until(lambda: site.zoho.counters.abandoned)
    site.zoho.faults.clear()
    with worker(site) as store:
        store.keep_fresh()
    assert site.zoho.counters.refreshes == 1
    assert is_fresh(site, record_id)


def test_redis_away_and_back(site: Site, start: Start, start_server: Callable[..., Server]) -> None:
    """It says so once, goes on trying, and refreshes when Redis is there again."""
    server = start_server(arguments=("--appendonly", "yes", "--appendfsync", "always"))
    site = site._replace(server=server)
    record_id = log_in(site, age=0)
    program = start("--every", "1", "--verbose", url=server.url)
    program.rounds(1)
    server.kill()
    program.wait_for("Redis cannot be used", times=2)
    server.start()
    site.age(record_id, DUE)
    until(lambda: is_fresh(site, record_id), lambda: program.output)
    assert program.said("WARNING Redis cannot be used") == 1
    program.wait_for("Redis can be used again")
    assert program.said("Redis can be used again") == 1
    assert program.end()[0] == 0


def test_it_may_start_before_redis(site: Site, start: Start, start_server: Callable[..., Server]) -> None:
    """And SIGTERM ends it while it waits."""
    server = start_server()
    server.kill()
    program = start("--every", "1", "--verbose", url=server.url)
    program.wait_for("Redis cannot be used")
    server.start()
    program.rounds(1)
    server.kill()
    program.wait_for("WARNING Redis cannot be used", times=2)
    status, seconds = program.end()
    assert status == 0
    assert seconds < GIVEN_UP


def test_a_rejected_token_is_not_offered_again(site: Site, start: Start) -> None:
    """It is said once, Zoho is asked once, and the other tokens are kept fresh."""
    rejected, other = log_in(site), log_in(site, "grace")
    with site.store() as store:
        site.zoho.accounts.revoke(store.get(rejected).get_refresh_token())
    program = start("--every", "1", "--verbose")
    program.rounds(3)
    assert site.zoho.counters.rejected == 1
    assert program.said(f"refused the credentials of {rejected}") == 1
    assert program.said("WARNING|ERROR") == 1
    assert is_fresh(site, other)


def test_a_failure_is_said_once(site: Site, start: Start) -> None:
    """One line, and the pause of the fleet is kept."""
    record_id = log_in(site)
    site.zoho.faults.fail_next(times=None, status=503)
    program = start("--every", "1", "--verbose")
    program.rounds(3)
    assert program.said(f"WARNING .*refresh of {record_id} has failed") == 1
    assert site.zoho.counters.errors == 2  # the first attempt is made twice


@pytest.mark.parametrize(
    ("trouble", "status"),
    [("none", 0), ("hitch", 0), ("failure", 1), ("rejection", 1), ("throttle", 1), ("no-such-id", 1)],
)
def test_the_exit_status_of_one_round(site: Site, start: Start, trouble: str, status: int) -> None:
    """1 if a token could not be refreshed; one that the second try has brought counts as refreshed."""
    record_id = log_in(site)
    options = []
    if trouble == "hitch":
        site.zoho.faults.fail_next(status=503)
    elif trouble == "failure":
        site.zoho.faults.fail_next(times=None, status=503)
    elif trouble == "rejection":
        site.zoho.faults.fail_next(status=200, body='{"error": "invalid_code"}')
    elif trouble == "throttle":
        site.zoho.accounts.limits = site.zoho.accounts.limits.__class__(access_tokens_per_window=1)
        site.zoho.accounts.refresh(*_credentials(site, record_id))
    elif trouble == "no-such-id":
        options = ["--id", "not-there"]
    program = start("--once", *options)
    assert program.wait() == status, program.output
    assert is_fresh(site, record_id) == (trouble in ("none", "hitch"))
    assert "Traceback" not in program.output


def _credentials(site: Site, record_id: str) -> tuple[str, str, str]:
    with site.store() as store:
        return site.zoho.client_id, site.zoho.client_secret, store.get(record_id).get_refresh_token()


def test_an_accounts_server_that_is_not_known(site: Site, start: Start) -> None:
    """It says so, and takes no lease that would only count as a failure of the fleet."""
    record_id = log_in(site)
    program = start("--every", "1", "--verbose", zoho=False)
    program.rounds(2)
    assert program.said(f"WARNING .*{record_id} .*accounts server") >= 1
    assert site.lease(record_id) == {}
    assert program.end()[0] == 0


def test_one_round_without_redis(start: Start) -> None:
    """Status 4, and no traceback."""
    program = start("--once", url="redis://:password-of-redis@127.0.0.1:1")
    assert program.wait() == 4
    assert "Redis cannot be used" in program.output
    assert "Traceback" not in program.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--namespace", "no namespace"], "namespace"),
        (["--url", "http://:password-of-redis@localhost"], "redis://"),
        (["--url", "redis://:password-of-redis@localhost:port"], "url"),
        (["--url", "redis://:password-of-redis@localhost?no_such_option=1"], "url"),
        (["--id", "no id"], "id"),
        (["--accounts-url", "https://accounts.example.com"], "--crm-url"),
        (["--accounts-url", "accounts.example.com", "--crm-url", "https://crm.example.com"], "--accounts-url"),
        (["--every", "0"], "--every"),
    ],
)
def test_what_cannot_be_used(start: Start, arguments: list[str], message: str) -> None:
    """Status 2 and a message that says what it is, whatever else may be tried again."""
    program = start(*arguments, zoho=False)
    assert program.wait() == 2, program.output
    assert message in program.output.partition("Error: ")[2]
    assert "Traceback" not in program.output
