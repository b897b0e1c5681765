"""One run: a fleet on one store, from the boot on a grant code to the last call."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Protocol

import click

from zoho_token_store.cli.demo.expiries import refresh_calls_by_expiry
from zoho_token_store.cli.demo.fleet import START_LIMIT, Fleet
from zoho_token_store.cli.demo.job import Job
from zoho_token_store.cli.demo.local_redis import RedisPlace
from zoho_token_store.cli.demo.outcome import Outcome
from zoho_token_store.cli.demo.tally import FleetTally
from zoho_token_store.cli.demo.workload import Workload
from zoho_token_store.testing import Counters, FakeZoho

TICK = 0.1
"""Time between two looks at a run, seconds."""
HISTORY = 1_000_000
"""Requests that the stand-in remembers: more than a run makes."""


class View(Protocol):
    """Whoever watches a run."""

    def show(self, store: str, elapsed: float | None, tally: FleetTally, counters: Counters) -> None:
        """Show how it stands; ``elapsed`` is None while the workers start."""


def run_store(store: str, workload: Workload, place: RedisPlace, view: View) -> Outcome:
    """Run the fleet on a store.

    Args:
        store: ``file`` or ``redis``.
        workload: What the fleet is put through.
        place: The Redis.
        view: Who watches.

    Raises:
        click.ClickException: The workers do not start.
    """
    with (
        tempfile.TemporaryDirectory(prefix="zoho-tokens-", ignore_cleanup_errors=True) as folder,
        FakeZoho(expires_in=workload.life, history=HISTORY) as zoho,
        Fleet(workload.workers, Path(folder)) as fleet,
    ):
        zoho.faults.set(latency=workload.accounts_latency, crm_latency=workload.crm_latency)
        _start(fleet, store, zoho, view)
        code = zoho.issue_grant_code()
        fleet.go(_job(store, workload, place, zoho, code, folder))
        started = time.monotonic()
        while (elapsed := time.monotonic() - started) < workload.seconds:
            view.show(store, elapsed, fleet.tally, zoho.counters)
            time.sleep(TICK)
        fleet.end()
        view.show(store, workload.seconds, fleet.tally, zoho.counters)
        return _outcome(store, workload, fleet.tally, zoho, code)


def _start(fleet: Fleet, store: str, zoho: FakeZoho, view: View) -> None:
    """Start the workers and wait until all have imported the SDK, so that they boot at the same moment."""
    fleet.start()
    deadline = time.monotonic() + START_LIMIT
    while not fleet.ready():
        if time.monotonic() > deadline:
            raise click.ClickException(f"the workers have not started within {START_LIMIT:.0f} s")
        view.show(store, None, fleet.tally, zoho.counters)
        time.sleep(TICK)


def _job(store: str, workload: Workload, place: RedisPlace, zoho: FakeZoho, code: str, folder: str) -> Job:
    return Job(
        store=store,
        place=str(Path(folder) / "tokens.csv") if store == "file" else place.url,
        namespace=place.namespace,
        zoho=zoho.url,
        client_id=zoho.client_id,
        client_secret=zoho.client_secret,
        redirect_url=zoho.redirect_uri or "",
        grant_code=code,
        resources=folder,
        pause=workload.pause,
        error_pause=workload.error_pause,
    )


def _outcome(store: str, workload: Workload, tally: FleetTally, zoho: FakeZoho, code: str) -> Outcome:
    of_code, counters = zoho.traffic(code), zoho.counters
    return Outcome(
        store=store,
        workers=workload.workers,
        up_at_once=tally.up_at_once(),
        up=tally.up(),
        exchanges=of_code.exchanges + of_code.rejected,
        exchanges_refused=of_code.rejected,
        refresh_calls=tuple(refresh_calls_by_expiry(zoho.requests, code, workload.due_after(store))),
        throttled=counters.throttled,
        rejected=counters.crm_rejected,
        errors=tally.failed(),
        calls=tally.calls(),
        slowest_call=tally.slowest_call,
        slowest_boot=tally.slowest_boot,
        error_messages=dict(tally.errors.most_common()),
        statistics={name: count for name, count in sorted(tally.statistics.items()) if count},
    )
