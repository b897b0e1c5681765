"""gevent workers: greenlets take the place of threads, and no call holds the others up."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integration.fleet import PATIENCE, Worker, do_all, python_environment, start_all, value_of, wait_until
from integration.replies import Loop, Reply
from integration.site import Site

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed; it is an option of gunicorn"
)
Start = Callable[[int], list[Worker]]
StartGreenlets = Callable[..., "subprocess.Popen[str]"]
GREENLETS = 50


@pytest.fixture
def start_greenlets(site: Site, tmp_path: Path) -> Iterator[StartGreenlets]:
    """Start gevent workers that do not outlive the test."""
    started = []

    def start(record_id: str, zoho_url: str = "-", seconds: float = 0.0, **options: float) -> subprocess.Popen[str]:
        where = [site.server.url, site.namespace, zoho_url, record_id]
        how = [str(GREENLETS), str(seconds), json.dumps(options)]
        command = [sys.executable, "-m", "integration.greenlets", *where, *how]
        process = subprocess.Popen(command, env=python_environment(tmp_path), stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def outcome(process: subprocess.Popen[str]) -> tuple[list[Reply], dict[str, Any]]:
    """Return what a gevent worker has printed at its end: its greenlets' replies, and the rest."""
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    seen = json.loads(printed)
    return [Reply(*reply) for reply in seen["replies"]], seen


def test_greenlets_wait_together(site: Site, start_workers: Start, start_greenlets: StartGreenlets) -> None:
    """50 greenlets in each of two processes wait for a refresh: one connection each blocks, and nothing else does."""
    record_id = site.log_in()
    (holder,) = start_workers(1)
    patience = {"lease_ttl": 60.0, "wait_timeout": 120.0}  # one may be up long before the other is
    site.open([holder], **patience)
    holder.do("find_by_id", record_id)
    workers = [start_greenlets(record_id, **patience) for _ in range(2)]
    wait_until(lambda: site.blocked() == len(workers), "they wait", 40)
    for _ in range(100):
        assert site.blocked() <= len(workers)
        time.sleep(0.01)
    holder.do("save", access_token="fresh")
    for worker in workers:
        replies, seen = outcome(worker)
        assert [value_of(reply) for reply in replies] == ["fresh"] * GREENLETS
        assert seen["ticks"] > 30, "another greenlet goes on all the time"
        assert seen["stats"]["leases"] == 0


def test_a_mixed_fleet(site: Site, start_workers: Start, start_greenlets: StartGreenlets) -> None:
    """Two gevent workers with 50 greenlets each and four plain ones, across real expiries: one refresh for each."""
    record_id = site.log_in()
    site.zoho.accounts.limits = replace(site.zoho.accounts.limits, access_token_ttl=8)  # due after 2 s of 8
    plain = start_workers(4)
    site.open(plain)
    started = time.monotonic()
    do_all(plain, "boot", site.zoho.url, id=record_id)
    workers = [start_greenlets(record_id, site.zoho.url, 4.5) for _ in range(2)]
    start_all(plain, "call_until", time.monotonic() + 6, pause=0.1)
    loops = [Loop(*value_of(reply)) for worker in workers for reply in outcome(worker)[0]]
    loops += [value_of(worker.finish()) for worker in plain]
    took = time.monotonic() - started
    assert [failure for loop in loops for failure in loop.failures] == []
    assert 3 <= site.zoho.counters.refreshes <= 2 + took / 2
    assert (site.zoho.counters.crm_rejected, site.zoho.max_in_flight()) == (0, 1)
