"""What hooks are told: one frozen object for each thing that has happened. None of them holds a secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Details:
    """Something that has happened in a store of this process.

    Attributes:
        event: What it is called.
        namespace: Of the store.
    """

    event: ClassVar[str]
    namespace: str


@dataclass(frozen=True)
class FoundDetails(Details):
    """A look-up that asked Redis has ended; the near cache answers without telling anybody.

    Attributes:
        record_id: Which record it was about, if that is known.
        outcome: ``fresh``; ``leased``, if the caller is the one to refresh; ``missing``; or the name of the error.
        seconds: How long it took, waiting for another worker included.
    """

    event = "found"
    record_id: str | None
    outcome: str
    seconds: float


@dataclass(frozen=True)
class WaitedDetails(Details):
    """A look-up has waited for the worker that refreshes.

    Attributes:
        record_id: Which record it was about; None for a credential that has no record yet.
        outcome: What it was told then: ``fresh``, ``leased``, ``failing``, ``refused``, ``missing``, ``gone`` or
            another answer of :mod:`zoho_token_store.question`; or the name of the error.
        seconds: How long it waited.
    """

    event = "waited"
    record_id: str | None
    outcome: str
    seconds: float


@dataclass(frozen=True)
class RefreshedDetails(Details):
    """A new access token is stored by the worker that was elected to get it.

    Attributes:
        record_id: Whose.
        outcome: Always ``refreshed``.
        seconds: How long that took: with ``refresh="managed"`` Zoho's answer and the save, else all from the election
            to the save, which the SDK does meanwhile.
    """

    event = "refreshed"
    outcome: ClassVar[str] = "refreshed"
    record_id: str
    seconds: float


@dataclass(frozen=True)
class RefreshFailedDetails(Details):
    """A refresh by the store itself has brought no token; what the SDK does is not seen here.

    Attributes:
        record_id: Whose; None for a new login.
        outcome: The name of the error.
        seconds: How long it took.
    """

    event = "refresh failed"
    record_id: str | None
    outcome: str
    seconds: float


@dataclass(frozen=True)
class SavedDetails(Details):
    """A save has ended.

    Attributes:
        record_id: Of the record; None if it has none yet.
        outcome: ``stored``, or the name of the error; after ``StoreUnavailable`` it is kept and tried again.
        seconds: How long this attempt took.
    """

    event = "saved"
    record_id: str | None
    outcome: str
    seconds: float


@dataclass(frozen=True)
class FencedDetails(Details):
    """A save came too late: its lease had passed to another worker, which has saved since, and the fence has kept that.

    Attributes:
        record_id: Of the record.
        outcome: Always ``fenced``.
        seconds: How long the save took.
    """

    event = "rejected by fence"
    outcome: ClassVar[str] = "fenced"
    record_id: str
    seconds: float


@dataclass(frozen=True)
class DeletedDetails(Details):
    """A record was deleted by this process.

    Attributes:
        record_id: Which.
        outcome: ``deleted``; ``revoked`` if Zoho has ended it before; ``cleared`` if it was deleted with all others.
    """

    event = "deleted"
    record_id: str
    outcome: str


@dataclass(frozen=True)
class DegradedDetails(Details):
    """The store goes on with less than it should have.

    Attributes:
        outcome: The counter (:mod:`zoho_token_store.stats`) that this is about, one of :data:`DEGRADED`.
        times: How often.
    """

    event = "degraded"
    outcome: str
    times: int


DEGRADED = (
    "unavailable",
    "saves_kept",
    "saves_not_durable",
    "saves_dropped",
    "near_outage_hits",
    "near_emptied",
    "restored",
)
"""Counters that speak of trouble. The near cache's are told once a second, not at each look-up."""

ALL = (
    FoundDetails,
    WaitedDetails,
    RefreshedDetails,
    RefreshFailedDetails,
    SavedDetails,
    FencedDetails,
    DeletedDetails,
    DegradedDetails,
)
"""Every kind that there is."""
