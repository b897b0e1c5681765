"""A simulation that cannot fail proves nothing: each rule, broken on purpose, is caught."""

from __future__ import annotations

import pytest

from simulation.catching import catch
from simulation.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.name for mutation in MUTATIONS])
def test_a_broken_rule_is_caught(mutation: Mutation) -> None:
    """A store with this rule broken breaks an invariant in some schedule, and it is the invariant that is meant."""
    catch(mutation)
