"""Schedules of stores that refresh by themselves; see `test_schedules.py`."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from simulation.catching import catch
from simulation.families_crowd import DOWN, OUTAGE, crowd
from simulation.families_managed import MANAGED
from simulation.mutations import Mutation
from simulation.mutations_managed import MUTATIONS
from simulation.simulate import FAULTS, simulate, simulate_many, simulate_side_by_side
from simulation.world import World
from zoho_token_store.options import USABLE

START = int(os.environ.get("SIMULATION_START", "0"))
SCHEDULES = int(os.environ.get("SIMULATION_SCHEDULES", "0"))
KINDS = [(family, faults) for family in MANAGED for faults in FAULTS]

FOUND = {
    "managed_changes-quiet-4": "an access token was rejected while its user's name was looked up: none was handed out",
    "managed_changes-crashing-16": "a login came in between: an old access token with a second to live was handed out",
    "managed_secret-crashing-80047": "whoever was to change the secret was killed before: the fleet never recovered",
}


@pytest.mark.parametrize(("family", "faults"), KINDS, ids=["-".join(kind) for kind in KINDS])
def test_no_schedule_breaks_an_invariant(family: str, faults: str) -> None:
    """Whatever the schedule and the faults: what must hold does, after every step and at the end."""
    simulate_many(family, faults, range(START, START + (SCHEDULES or 6)))


@pytest.mark.soak
def test_no_schedule_of_a_long_run_breaks_an_invariant() -> None:
    """The same with many more schedules, on all processors."""
    numbers = range(START, START + (SCHEDULES or 500))
    assert simulate_side_by_side(KINDS, numbers) > 0


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_mended(name: str) -> None:
    """The schedule that showed the error breaks no invariant any more."""
    simulate(name)


@pytest.mark.parametrize("seed", range(3))
def test_ten_minutes_of_errors_cost_nine_calls_and_no_request_while_the_token_lasts(seed: int) -> None:
    """32 workers in use, and a Zoho that fails: it is spared, nobody notices before they must, and all recover."""
    world = World(f"crowd-{seed}")
    seen = crowd(world, workers=32)
    world.run()
    token, recovers = world.zoho.calls[0].access_token, DOWN + OUTAGE
    assert 2 <= seen.calls(DOWN, recovers) <= 9
    assert seen.failures, "the outage outlasts the token"
    assert min(seen.failures) >= seen.seconds(world.zoho.expires_us[token]) - USABLE
    assert max(seen.failures) <= recovers + 150, "the longest pause, and its jitter"
    assert seen.calls(recovers, recovers + 400) == 1
    assert seen.served > 500


def test_the_schedules_reach_what_is_rare() -> None:
    """The invariants are not held by schedules in which nothing happens: each counter of the store is reached."""
    counts: Counter[str] = Counter()
    kinds = ("outage-quiet", "throttled-quiet", "refused-quiet", "boot-stormy", "changes-lossy", "overlap-quiet")
    for kind in kinds:
        for number in range(10):
            counts += simulate(f"managed_{kind}-{number}").counts
    needed = ("takeovers", "waits", "failing", "refreshes", "refreshes_failed", "refreshes_throttled",
              "refreshes_rejected", "deletes", "invalidations", "conflicts", "merges", "late_saves")  # fmt: skip
    assert not [name for name in needed if not counts[name]]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.name for mutation in MUTATIONS])
def test_a_broken_rule_is_caught(mutation: Mutation) -> None:
    """A store with this rule broken breaks an invariant in some schedule, and it is the invariant that is meant."""
    catch(mutation)
