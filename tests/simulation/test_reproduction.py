"""A seed is a schedule: today, tomorrow, and on another machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from simulation.simulate import simulate


@pytest.mark.parametrize("name", ["boot-lossy-3", "direct_saves-stormy-7", "everything-stormy-9", "threads-crashing-2",
                                  "managed_threads-stormy-5", "managed_ahead-stalling-3"])  # fmt: skip
def test_the_same_name_is_the_same_schedule(name: str) -> None:
    """Two runs in one process, and one in a process that hashes in another order, take the same steps."""
    trace = simulate(name, traced=True).trace
    assert trace
    assert simulate(name, traced=True).trace == trace
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    other = subprocess.run(
        [sys.executable, "-m", "simulation.simulate", name], env=environment, capture_output=True, text=True, check=True
    )
    assert other.stdout.splitlines() == trace


def test_another_number_is_another_schedule() -> None:
    """The number decides: schedules of one kind differ."""
    traces = {tuple(simulate(f"boot-lossy-{number}", traced=True).trace or ()) for number in range(10)}
    assert len(traces) == 10
