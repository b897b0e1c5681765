"""The lives of access tokens that the demo chooses."""

from __future__ import annotations

import pytest

from zoho_token_store.cli.demo.workload import Workload
from zoho_token_store.options import USABLE, Options
from zoho_token_store.testing import Limits


@pytest.mark.parametrize("seconds", [6, 7.5, 18, 24, 30, 60, 75, 150, 151, 600, 3600])
def test_the_fleet_stays_under_zohos_limit(seconds: float) -> None:
    """In each length of run there is an expiry, and with one refresh for each Zoho's limit is not met."""
    workload = Workload(16, seconds)
    expiries = seconds / workload.due_after("redis")
    assert 1 <= expiries < Limits().access_tokens_per_window - 1


@pytest.mark.parametrize("seconds", [6, 18, 60, 600])
def test_due_by_the_rules(seconds: float) -> None:
    """The age at which the store calls a token due is that of its own rule, and FileStore's that of the SDK's."""
    workload = Workload(16, seconds)
    margin = max(USABLE, min(Options().freshness_margin, workload.life / 2))
    assert workload.due_after("redis") == workload.life - margin
    assert workload.due_after("file") == workload.life - 5
    assert workload.life >= 7  # less, and the SDK would refresh at each call
