"""Run schedules by their names: `<family>-<faults>-<number>`.

To see one: `PYTHONPATH=src:tests python -m simulation.simulate boot-lossy-7`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from simulation.families_managed import MANAGED
from simulation.workloads import FAMILIES
from simulation.world import World

FAULTS: dict[str, dict[str, float]] = {
    "quiet": {},
    "lossy": {"lost": 0.15},
    "crashing": {"crash": 0.025},
    "stalling": {"stall": 0.03, "hang": 0.25},
    "refusing": {"refused": 0.4, "zoho_lost": 0.05},
    "full": {"full": 0.06, "lost": 0.02},
    "stormy": {
        "lost": 0.1,
        "crash": 0.008,
        "stall": 0.015,
        "refused": 0.15,
        "hang": 0.1,
        "zoho_lost": 0.03,
        "full": 0.01,
    },
}
"""What goes wrong; probabilities at each step."""


def make(name: str, **settings: Any) -> World:
    """Return the world of a schedule, not yet run."""
    family, faults, _ = name.rsplit("-", 2)
    world = World(name, **settings)
    for kind, chance in FAULTS[faults].items():
        setattr(world.faults, kind, chance)
    world.invariants.quick = faults == "quiet"
    (FAMILIES | MANAGED)[family](world)
    return world


def simulate(name: str, **settings: Any) -> World:
    """Run a schedule.

    Args:
        name: `<family>-<faults>-<number>`: the same name is the same schedule.
        settings: Of :class:`World`.

    Raises:
        AssertionError: An invariant is broken.
    """
    world = make(name, **settings)
    try:
        world.run()
    except AssertionError as failure:
        raise AssertionError(f"{name}: {failure}") from failure
    return world


def simulate_many(family: str, faults: str, numbers: range) -> int:
    """Run many schedules; the first that breaks an invariant is run again to show how.

    Returns:
        How many round trips to Redis they took.

    Raises:
        AssertionError: An invariant is broken; with the trace.
    """
    round_trips = 0
    for number in numbers:
        name = f"{family}-{faults}-{number}"
        try:
            round_trips += simulate(name).round_trips
        except AssertionError:
            simulate(name, traced=True)
            raise
    return round_trips


def simulate_side_by_side(kinds: Iterable[tuple[str, str]], numbers: range) -> int:
    """Run many schedules of several kinds on all processors.

    Returns:
        How many round trips to Redis they took.

    Raises:
        AssertionError: An invariant is broken; with the first broken schedule of each kind.
    """
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(simulate_many, family, faults, numbers) for family, faults in kinds]
        failures = [str(failure) for failure in (run.exception() for run in runs) if failure]
    if failures:
        raise AssertionError("\n\n".join(failures))
    return sum(run.result() for run in runs)


if __name__ == "__main__":
    print("\n".join(simulate(sys.argv[1], traced=True).trace or ()))
