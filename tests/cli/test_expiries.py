"""Which expiry a refresh call is charged to."""

from __future__ import annotations

from zoho_token_store.cli.demo.expiries import refresh_calls_by_expiry
from zoho_token_store.testing import RequestSeen, fingerprint

CODE = "1000.code"
DUE_AFTER = 4.0


def seen(at: float, outcome: str = "refreshed", *, code: bool = False, endpoint: str = "token") -> RequestSeen:
    """Make a request that the stand-in has seen."""
    return RequestSeen(at, 0.1, endpoint, outcome, fingerprint(CODE) if code else "a grant", True)


def calls(*requests: RequestSeen) -> list[int]:
    """Count after a boot at 100."""
    return refresh_calls_by_expiry([seen(100.0, "exchanged", code=True), *requests], CODE, DUE_AFTER)


def test_one_call_each() -> None:
    """A fleet that refreshes once whenever the token is due has ones, and exchanges and CRM calls are no refreshes."""
    others = (seen(100.1, "invalid_code", code=True), seen(104.2, "answered", endpoint="/crm/v8/org"))
    assert calls(*others, seen(104.0), seen(108.1), seen(112.2)) == [1, 1, 1]


def test_a_storm_is_one_expiry() -> None:
    """Calls that come together belong to one expiry, whether or not they were granted, in any order of arrival."""
    storm = [seen(105.0 + number / 100, "refreshed" if number < 9 else "throttled") for number in range(16)]
    assert calls(*reversed(storm)) == [16]


def test_a_fleet_that_gets_nothing_stays_in_its_expiry() -> None:
    """Without a granted call no new expiry begins, however long the fleet asks."""
    assert calls(*(seen(105.0 + second, "throttled") for second in range(60))) == [60]


def test_a_call_that_nothing_called_for_is_charged() -> None:
    """A second refresh between two expiries, or right after the exchange, is never an expiry of its own."""
    assert calls(seen(101.0), seen(104.0)) == [2]
    assert calls(seen(104.0), seen(106.0), seen(108.0)) == [2, 1]
    assert calls(seen(101.0)) == [1]


def test_nothing_happened() -> None:
    """A run without refreshes has no expiry."""
    assert calls() == []
