"""Thousands of schedules of the real store, from seeds that reproduce.

A failure names its schedule and shows what happened; `PYTHONPATH=src:tests python -m simulation.simulate <name>` shows
what a good one does. `SIMULATION_SCHEDULES` says how many of each kind are run, `SIMULATION_START` the first number.
"""

from __future__ import annotations

import os
from collections import Counter
from itertools import pairwise

import pytest

from simulation.simulate import FAULTS, simulate, simulate_many, simulate_side_by_side
from simulation.workloads import FAMILIES

START = int(os.environ.get("SIMULATION_START", "0"))
SCHEDULES = int(os.environ.get("SIMULATION_SCHEDULES", "0"))
KINDS = [(family, faults) for family in FAMILIES for faults in FAULTS]


@pytest.mark.parametrize(("family", "faults"), KINDS, ids=["-".join(kind) for kind in KINDS])
def test_no_schedule_breaks_an_invariant(family: str, faults: str) -> None:
    """Whatever the schedule and the faults: what must hold does, after every step and at the end."""
    simulate_many(family, faults, range(START, START + (SCHEDULES or 15)))


@pytest.mark.soak
def test_no_schedule_of_a_long_run_breaks_an_invariant() -> None:
    """The same with many more schedules, on all processors."""
    numbers = range(START, START + (SCHEDULES or 500))
    assert simulate_side_by_side(KINDS, numbers) > 0


def test_a_boot_costs_one_exchange_and_each_expiry_one_refresh() -> None:
    """When nothing fails, the fleet exchanges a code once, and refreshes once for each access token that runs out."""
    for number in range(50):
        world = simulate(f"boot-quiet-{number}")
        spent = Counter(call.spent for call in world.zoho.calls)
        assert spent.pop("code1") == 1
        assert set(spent) <= {"refresh1"}
        tokens = {call.access_token for call in world.zoho.calls}
        assert len(tokens) == len(world.zoho.calls), "every call gave an access token of its own"
        started = sorted(call.started_us for call in world.zoho.calls)
        gaps = [later - earlier for earlier, later in pairwise(started)]
        assert all(gap >= world.zoho.life * 500_000 for gap in gaps), "no two calls for one expiry"


def test_the_schedules_reach_what_is_rare() -> None:
    """The invariants are not held by schedules in which nothing happens: each counter of the store is reached."""
    counts: Counter[str] = Counter()
    kinds = ("everything-stormy", "mistaken_name-quiet", "outage-quiet", "late_names-stalling", "new_login-stalling",
             "direct_saves-lossy", "threads-refusing", "rejection-quiet")  # fmt: skip
    for kind in kinds:
        for number in range(40):
            counts += simulate(f"{kind}-{number}").counts
    # A save is dropped only if its token was deleted while Redis was away, or is refused: too rare to count on.
    unreached = [name for name, count in counts.items() if not count and name != "saves_dropped"]
    needed = ("takeovers", "waits", "failing", "late_saves", "name_conflicts", "merges", "conflicts", "deletes",
              "invalidations", "retries", "unavailable", "saves_kept")  # fmt: skip
    assert not [name for name in needed if not counts[name]], unreached
