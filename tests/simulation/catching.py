"""How a broken rule is caught."""

from __future__ import annotations

import pytest

from simulation.mutations import Mutation
from simulation.simulate import simulate

SCHEDULES = 300


def catch(mutation: Mutation) -> None:
    """Fail unless some schedule of a store with this rule broken breaks the invariant that is meant."""
    seen = []
    with mutation.apply():
        for number in range(SCHEDULES):
            for where in mutation.where:
                try:
                    simulate(f"{where}-{number}", scripts=mutation.scripts)
                except AssertionError as violation:
                    seen.append(str(violation))
                    if mutation.expected in seen[-1]:
                        return
    pytest.fail(f"not caught in {SCHEDULES} schedules each of {mutation.where}; what was seen instead: {seen[:3]}")
