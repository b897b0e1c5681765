"""A token as commands show it: what it is and how it stands, and no secret."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Literal, NamedTuple

State = Literal["fresh", "expiring", "expired", "no-access"]

STATES: tuple[State, ...] = ("fresh", "expiring", "expired", "no-access")

EXPIRING = 300.0
"""Left life below which an access token counts as expiring, seconds: where a managed store begins to refresh."""

CALENDAR_MS = 253_402_300_799_999
"""The last time that a calendar has, milliseconds since the epoch."""


class View(NamedTuple):
    """A token without its secrets.

    Attributes:
        id: Its id.
        user_name: Whose it is, if that is known.
        client_id: Of which application.
        state: ``fresh``; ``expiring``: for less than five minutes; ``expired``; ``no-access``: there is no access
            token, since none was got yet, it has ended, or CRM has rejected it.
        expires_ms: When the access token ends, milliseconds since the epoch by this machine's clock; None if there is
            none, or nobody knows.
        refreshable: Whether there is something to get an access token with.
        api_domain: Where its CRM is.
    """

    id: str
    user_name: str | None
    client_id: str | None
    state: State
    expires_ms: int | None
    refreshable: bool
    api_domain: str | None

    @property
    def expires(self) -> str | None:
        """When the access token ends, for people and for programs."""
        if self.expires_ms is None or not 0 <= self.expires_ms <= CALENDAR_MS:
            return None
        return datetime.fromtimestamp(self.expires_ms / 1000, timezone.utc).isoformat(timespec="seconds")

    def told(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "id": self.id,
            "user_name": self.user_name,
            "client_id": self.client_id,
            "state": self.state,
            "expires": self.expires,
            "refreshable": self.refreshable,
            "api_domain": self.api_domain,
        }


def view(token: Any, now: Callable[[], float] = time.time) -> View:
    """Return what is shown of an ``OAuthToken`` of a store.

    Args:
        token: The token.
        now: This machine's clock, by which the expiry of a token is told.
    """
    signature = token.get_user_signature()
    expires_ms = int(token.get_expires_in()) if token.get_access_token() and token.get_expires_in() else None
    return View(
        token.get_id(),
        signature and signature.get_name(),
        token.get_client_id(),
        _state(token.get_access_token() is not None, expires_ms, now() * 1000),
        expires_ms,
        bool(token.get_refresh_token() or token.get_grant_token()),
        token.get_api_domain(),
    )


def _state(has_access: bool, expires_ms: int | None, now_ms: float) -> State:
    if not has_access:
        return "no-access"
    if expires_ms is None:
        return "fresh"
    left_ms = expires_ms - now_ms
    return "expired" if left_ms <= 0 else "expiring" if left_ms < EXPIRING * 1000 else "fresh"
