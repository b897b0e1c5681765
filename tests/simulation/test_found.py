"""Schedules that have found errors, which are mended; the errors themselves are put back in by `mutations.py`.

A name is the same schedule only as long as its family stays as it is.
"""

from __future__ import annotations

import pytest

from simulation.simulate import simulate

FOUND = {
    "new_login-stormy-14": "a late save of a new login left the access token of the old one in place",
    "new_login-stalling-27": "the same, without a lost message",
    "outage-quiet-12": "a worker that failed and ended took its attempt off the count: the fleet never cooled down",
    "outage-quiet-23": "the same, for a grant code",
    "merges-lossy-10200": "a merge pushed out the operations of the record that stays: a save was written twice",
    "rejection-lossy-10055": "a rejected access token came back with a save that had been kept",
    "direct_saves-lossy-20193": "a request that came late brought a deleted token back",
    "refresh_token-quiet-20006": "a save that was refused left its lease, and others waited for it to run out",
    "rejection-stormy-80075": "a rejected access token came back with a repeat that the record had forgotten",
    "direct_saves-lossy-140060": "the invariant took a record to remember more than its last operations",
    "everything-quiet-80086": "the invariant held a login after a deletion to the cool-down of the deleted record",
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_mended(name: str) -> None:
    """The schedule that showed the error breaks no invariant any more."""
    simulate(name)
