"""Many threads of several processes at one expiry: one refresh, and what it costs Redis that all others wait."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integration.crowd import expiry_of
from integration.fleet import Worker, do_all
from integration.site import Site

Start = Callable[[int], list[Worker]]
EXPIRIES = 3


@pytest.mark.parametrize("refresh", ["sdk", "managed"])
@pytest.mark.parametrize(
    ("processes", "threads"), [(4, 32), pytest.param(8, 125, marks=pytest.mark.topology)], ids=["128", "1000"]
)
def test_a_crowd_at_one_expiry(site: Site, start_workers: Start, processes: int, threads: int, refresh: str) -> None:
    """One refresh, two commands for each at most, one blocked connection for each process; a thousand on a cluster."""
    record_id = site.log_in()
    workers = start_workers(processes)
    site.open(workers, refresh=refresh)
    do_all(workers, "boot", site.zoho.url, id=record_id)
    crowds = []
    for _ in range(EXPIRIES):
        crowd = expiry_of(site, workers, threads, record_id)
        assert len(crowd.tokens) == processes * threads
        assert len(set(crowd.tokens)) == 1
        assert crowd.refreshes == 1
        assert crowd.blocked == processes
        crowds.append(crowd)
    # The first one makes the connections that the others find.
    assert sum(crowd.commands_each for crowd in crowds) / EXPIRIES <= 2, crowds
    counters = site.zoho.counters
    assert (counters.throttled, counters.rejected, counters.crm_rejected) == (0, 0, 0)
