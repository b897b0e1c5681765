"""Refresh calls by expiry, from what the stand-in has seen."""

from __future__ import annotations

from collections.abc import Iterable

from zoho_token_store.testing import RequestSeen, fingerprint

TOLERANCE = 0.25
"""A call may come this much before an access token falls due, seconds, and still open its expiry."""


def refresh_calls_by_expiry(requests: Iterable[RequestSeen], grant_code: str, due_after: float) -> list[int]:
    """Return how many refresh calls each expiry cost, refused ones too.

    An expiry lasts from the first refresh call after an access token fell due until the first one that came of it falls
    due in its turn. A fleet that gets none stays in the same expiry, however often it asks. Calls that nothing called
    for are charged to the expiry before them, or to the first.

    Args:
        requests: What the stand-in has seen.
        grant_code: The code of the boot; calls to exchange it are no refreshes.
        due_after: How old an access token is when the next one is asked for, seconds.
    """
    code = fingerprint(grant_code)
    early, calls = 0, list[int]()
    granted_at: float | None = None
    for seen in sorted((seen for seen in requests if seen.endpoint == "token"), key=lambda seen: seen.at):
        if seen.subject != code:
            if granted_at is not None and seen.at >= granted_at + due_after - TOLERANCE:
                calls.append(0)
                granted_at = None
            if calls:
                calls[-1] += 1
            else:
                early += 1
        if granted_at is None and seen.outcome in ("exchanged", "refreshed"):
            granted_at = seen.at
    if early:
        calls[:1] = [early + sum(calls[:1])]
    return calls
