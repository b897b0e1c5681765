"""The options of a store, checked once when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from zoho_token_store.errors import ConfigurationError

SDK_LEAST = 5.0
"""The SDK refreshes by itself when fewer seconds than this are left (``OAuthToken.get_token``)."""

USABLE = 6.0
"""Seconds that a token must have left to be handed out: the SDK's five and one to get there."""


@dataclass(frozen=True)
class Options:
    """How a store behaves; all times in seconds.

    Attributes:
        freshness_margin: How long before its expiry an access token is due for refresh. Never more than half of the
            life that the token had when it was saved, and never less than 6.
        lease_ttl: How long a worker may take to refresh before another is elected.
        wait_timeout: How long a call waits for another worker's refresh; at least twice ``lease_ttl``.
        operation_timeout: The budget of one exchange with Redis, its retries included.
        retention: Life of a refreshable record since it was last saved; None keeps it until it is deleted.
        default_access_ttl: How long an access token is kept whose expiry is not known.
        tombstone_ttl: How long a deleted record is remembered as deleted.
        on_missing_id: ``"raise"`` or ``"none"``: what ``find_token_by_id`` does for an id that was never seen. With
            ``"none"`` the first caller is expected to make that record, and others wait for it.
    """

    freshness_margin: float = 30.0
    lease_ttl: float = 8.0
    wait_timeout: float = 20.0
    operation_timeout: float = 2.0
    retention: float | None = None
    default_access_ttl: float = 3600.0
    tombstone_ttl: float = 86400.0
    on_missing_id: str = "raise"

    def __post_init__(self) -> None:
        self._check_range("freshness_margin", 0, 86400)
        self._check_range("lease_ttl", 0.1, 3600)
        self._check_range("wait_timeout", 2 * self.lease_ttl, 86400, "at least twice lease_ttl")
        self._check_range("operation_timeout", 0.05, 600)
        self._check_range("default_access_ttl", 1, 10 * 365 * 86400)
        self._check_range("tombstone_ttl", self.wait_timeout, 10 * 365 * 86400, "at least wait_timeout")
        if self.retention is not None:
            self._check_range("retention", self.default_access_ttl, 10 * 365 * 86400, "at least default_access_ttl")
        if self.on_missing_id not in ("raise", "none"):
            raise ConfigurationError("on_missing_id", 'must be "raise" or "none"')

    def _check_range(self, name: str, least: float, most: float, why: str = "") -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ConfigurationError(name, "must be a number of seconds")
        if not least <= value <= most:
            raise ConfigurationError(name, f"must be {least:g} to {most:g} seconds{why and f' ({why})'}")


OPTION_NAMES = tuple(option.name for option in fields(Options))


def make_options(given: dict[str, object]) -> Options:
    """Return checked options.

    Args:
        given: Keyword arguments of a store.

    Raises:
        ConfigurationError: A name is not an option, or a value is not allowed.
    """
    for name in given:
        if name not in OPTION_NAMES:
            raise ConfigurationError(name, f"unknown option; there are {', '.join(OPTION_NAMES)}")
    return Options(**given)  # type: ignore[arg-type]  # checked by __post_init__
