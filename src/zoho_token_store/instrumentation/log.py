"""Details as log records."""

from __future__ import annotations

import logging
from dataclasses import fields

from zoho_token_store.details import (
    DegradedDetails,
    DeletedDetails,
    Details,
    FencedDetails,
    RefreshedDetails,
    RefreshFailedDetails,
    WaitedDetails,
)

LEVELS = {
    WaitedDetails: logging.INFO,
    RefreshedDetails: logging.INFO,
    DeletedDetails: logging.INFO,
    RefreshFailedDetails: logging.WARNING,
    FencedDetails: logging.WARNING,
    DegradedDetails: logging.WARNING,
}
"""What is not listed is logged at DEBUG: it comes with every look-up or save."""


class LoggingHook:
    """Logs what happens, for people as text and for machines as attributes of the record.

    The attributes are ``token_store``, a dictionary of the event's name and all that its details say.

    Args:
        logger: Where to.
    """

    def __init__(self, logger: str | logging.Logger = "zoho_token_store.hooks") -> None:
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger

    def __call__(self, details: Details) -> None:
        """Log one."""
        level = LEVELS.get(type(details), logging.DEBUG)
        if not self._logger.isEnabledFor(level):
            return
        said = {each.name: getattr(details, each.name) for each in fields(details)}
        text = " ".join(f"{name}={_as_text(value)}" for name, value in said.items())
        self._logger.log(level, "%s: %s", details.event, text, extra={"token_store": {"event": details.event, **said}})


def _as_text(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)
