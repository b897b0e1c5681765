"""A simulation that cannot fail proves nothing: each rule, broken on purpose, is caught."""

from __future__ import annotations

import pytest

from simulation.mutations import MUTATIONS, Mutation
from simulation.simulate import simulate

SCHEDULES = 300


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.name for mutation in MUTATIONS])
def test_a_broken_rule_is_caught(mutation: Mutation) -> None:
    """A store with this rule broken breaks an invariant in some schedule, and it is the invariant that is meant."""
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
