"""A Redis without memory: refresh tokens are stored even then, and leases are given."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from integration.desk import make_token
from integration.fleet import Worker, do_all
from integration.site import Site
from servers import Binary, Server, find_binaries
from zoho_token_store import RedisTokenStore
from zoho_token_store.testing import FakeZoho

Start = Callable[[int], list[Worker]]
CLIENT = {"client_id": "client", "client_secret": "secret"}


@pytest.fixture(params=find_binaries().values(), ids=find_binaries())
def full_server(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Server:
    """Run a server that refuses every command that needs memory."""
    binary: Binary = request.param
    server = start_server(binary, ["--maxmemory-policy", "noeviction"])
    with server.client() as client:
        client.set("filler", "x" * 1_000_000)
        client.config_set("maxmemory", "1mb")  # less than is in use already
        with pytest.raises(redis.OutOfMemoryError):
            client.set("more", "1")
    return server


def test_everything_works_on_a_full_server(full_server: Server, namespace: str) -> None:
    """New records, refreshes, leases, waiting, invalidation and deletion all go on."""
    options = {"operation_timeout": 10.0}
    with (
        RedisTokenStore.from_url(full_server.url, namespace, **options) as store,
        RedisTokenStore.from_url(full_server.url, namespace, **options) as other,
    ):
        login = make_token(grant_token="code", **CLIENT)
        assert store.find_token(login) is None, "the lease on the code is given"
        login.set_refresh_token("refresh")
        login.set_access_token("access")
        login.set_expires_in(str(int((time.time() + 3600) * 1000)))
        store.save_token(login)
        record_id = login.get_id()
        assert other.find_token_by_id(record_id).get_refresh_token() == "refresh"
        other.invalidate_access_token(record_id, "access")
        due = other.find_token_by_id(record_id)
        assert due.get_access_token() is None, "the lease on the record is given"
        due.set_access_token("next")
        due.set_refresh_token("next refresh")
        other.save_token(due)
        found = store.find_token(make_token(refresh_token="next refresh", **CLIENT))
        assert (found.get_access_token(), found.get_refresh_token()) == ("next", "next refresh")
        assert len(store.get_tokens()) == 1
        store.delete_token(record_id)
        assert store.get(record_id) is None
        assert store.stats()["retries"] == other.stats()["retries"] == 0


def test_a_fleet_on_a_full_server(full_server: Server, namespace: str, zoho: FakeZoho, start_workers: Start) -> None:
    """Eight processes boot on one code and go through an expiry, waiting on each other, as ever."""
    site = Site(full_server, namespace, zoho)
    workers = start_workers(8)
    site.open(workers, operation_timeout=10.0)
    do_all(workers, "boot", zoho.url, grant_token=zoho.issue_grant_code(), **site.client_fields)
    with site.store() as store:
        (token,) = store.get_tokens()
    site.expire(token.get_id())
    do_all(workers, "call")
    counters = zoho.counters
    assert (counters.exchanges, counters.refreshes, counters.rejected, counters.crm_rejected) == (1, 1, 0, 0)
    assert sum(stats["unavailable"] for stats in do_all(workers, "ask", "stats")) == 0


def test_other_traffic_recovers(full_server: Server, namespace: str) -> None:
    """Memory that comes back is used: nothing in a worker has to be restarted."""
    with RedisTokenStore.from_url(full_server.url, namespace) as store, full_server.client() as client:
        token = make_token(user="ada", refresh_token="refresh", **CLIENT)
        store.save_token(token)
        client.config_set("maxmemory", "0")
        assert store.find_token_by_id(token.get_id()).get_refresh_token() == "refresh"
