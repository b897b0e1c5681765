"""Many threads of one process: one refresh, and one of them waits for all."""

from __future__ import annotations

from collections.abc import Callable

from integration.fleet import Worker, do_all, start_all, value_of, wait_until
from integration.site import Site

Start = Callable[[int], list[Worker]]
THREADS = 32


def test_one_token_object_shared_by_threads(site: Site, start_workers: Start) -> None:
    """32 threads share the SDK's one token object over three expiries: three refreshes, one token for all."""
    record_id = site.log_in()
    (worker,) = start_workers(1)
    site.open([worker])
    worker.do("boot", site.zoho.url, id=record_id)
    site.zoho.reset()
    for expiry in range(1, 4):
        site.expire(record_id)
        replies = worker.do("in_threads", THREADS, "get_token")
        assert len({value_of(reply) for reply in replies}) == 1
        assert site.zoho.counters.refreshes == expiry
    assert [value_of(reply) for reply in worker.do("in_threads", THREADS, "call")] == ["60000000001"] * THREADS
    assert site.zoho.counters.crm_rejected == 0


def test_threads_that_boot_on_one_code(site: Site, start_workers: Start) -> None:
    """32 threads look one grant code up with token objects of their own: one gets to spend it, the rest its token."""
    code = site.zoho.issue_grant_code()
    workers = start_workers(2)
    site.open(workers)
    boot = {"grant_token": code, **site.client_fields}
    start_all(workers, "in_threads", THREADS // 2, "boot", site.zoho.url, **boot)
    for worker in workers:
        for reply in value_of(worker.finish()):
            value_of(reply)
    assert (site.zoho.counters.exchanges, site.zoho.counters.rejected) == (1, 0)
    with site.store() as store:
        assert len(store.get_tokens()) == 1


def test_one_blocked_connection_for_each_process_and_record(site: Site, start_workers: Start) -> None:
    """In two processes 16 threads wait for each of two records: four connections block, and all get the tokens."""
    records = [site.log_in("ada"), site.log_in("grace")]
    winner, *others = start_workers(3)
    site.open([winner, *others], lease_ttl=60.0, wait_timeout=120.0)
    for record_id in records:
        winner.do("find_by_id", record_id, name=record_id)
        do_all(others, "start_threads", 16, "find_by_id", record_id)
    wait_until(lambda: site.blocked() == 4, "one thread for each process and record waits")
    for _ in range(20):
        assert site.blocked() <= 4
    for record_id in records:
        winner.do("save", name=record_id, access_token=f"fresh {record_id}")
    for replies in do_all(others, "join_threads"):
        found = sorted(value_of(reply)["access_token"] for reply in replies)
        assert found == sorted(f"fresh {record_id}" for record_id in records for _ in range(16))


def test_connections_of_a_process_stay_few(site: Site, start_workers: Start) -> None:
    """After a burst of 64 threads a process keeps at most eight connections for scripts and eight for waiting."""
    record_id = site.log_in(life=3600)
    (worker,) = start_workers(1)
    site.open([worker])
    with site.server.client() as client:
        before = len(client.client_list())
        for reply in worker.do("in_threads", 64, "find_by_id", record_id):
            value_of(reply)
        wait_until(lambda: len(client.client_list()) <= before + 16, "the rest are closed")
        for reply in worker.do("in_threads", 1, "find_by_id", record_id):
            value_of(reply)
        assert len(client.client_list()) <= before + 16


def test_a_lease_is_this_threads_alone(site: Site, start_workers: Start) -> None:
    """While one thread holds the lease, another of the same process waits like any other process."""
    record_id = site.log_in()
    (worker, other) = start_workers(2)
    site.open([worker, other], lease_ttl=60.0, wait_timeout=120.0)
    worker.do("find_by_id", record_id)
    worker.do("start_threads", 1, "find_by_id", record_id)
    other.start("find_by_id", record_id)
    wait_until(lambda: site.blocked() == 2, "both wait")
    worker.do("save", access_token="fresh")
    assert value_of(other.finish())["access_token"] == "fresh"
    (reply,) = worker.do("join_threads")
    assert value_of(reply)["access_token"] == "fresh"
    assert do_all([worker], "ask", "stats")[0]["leases"] == 1
