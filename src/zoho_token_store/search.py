"""One look-up by pointers: what is known of them so far, and which record to ask for next. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from zoho_token_store.keyspace import read_user_pointer
from zoho_token_store.match import TokenData, resolve, selectors
from zoho_token_store.provenance import Trail
from zoho_token_store.record import TokenRecord


class Subject(NamedTuple):
    """What to ask for next.

    Attributes:
        name: A record id, or the pointer name of the credential that the caller will spend.
        claims: Whether it is the latter.
    """

    name: str
    claims: bool


class Search:
    """Finds out which record is the caller's.

    Args:
        data: What the caller says.
    """

    def __init__(self, data: TokenData) -> None:
        self._data = data
        self._wanted = selectors(data)
        self.names = self._wanted.names()
        self.values: tuple[str, ...] = ()
        self._ended: set[str] = set()
        self._foreign: set[str] = set()
        self._heirs: dict[str, str] = {}

    def seen(self, values: Sequence[str]) -> None:
        """Take in what the pointers hold, in the order of ``names``; what was learnt from older values is void."""
        self.values = tuple(values)
        self._ended.clear()
        self._foreign.clear()

    def subject(self) -> Subject | None:
        """Return what to ask for; None if there is nothing.

        Raises:
            AmbiguousToken: See :func:`resolve`.
            CorruptRecord: Its redirects do not end.
        """
        match = resolve(self._data, self._wanted, self._pointers(), self._ended, self._foreign)
        if match.claim:
            return Subject(match.claim, True)
        return Subject(self._end(match.record_id), False) if match.record_id else None

    def namesakes(self) -> set[str]:
        """Return the ids to which the user name leads and that are not known to have ended."""
        return set(read_user_pointer(self._pointers().get(self._wanted.user or "", "")).values()) - self._ended

    def names_user(self, record: TokenRecord) -> bool:
        """Return whether a record has the caller's user name."""
        return record.user_name == self._data.user_name

    def ended(self, *ids: str) -> None:
        """Take note of records that are there no more, or cannot be used: as if no pointer led to them."""
        self._ended.update(self._leading_to(ids))

    def foreign(self, record_id: str) -> None:
        """Take note of a record that belongs to another client."""
        self._foreign.update(self._leading_to([record_id]))

    def merged(self, record_id: str, heir: str) -> None:
        """Take note of a record that was merged into another."""
        self._heirs[record_id] = heir

    def _end(self, record_id: str) -> str:
        """Return what an id leads to, as far as is known."""
        trail = Trail(record_id)
        while trail.end in self._heirs:
            trail.follow(self._heirs[trail.end])
        return trail.end

    def _leading_to(self, ids: Collection[str]) -> set[str]:
        return {*ids, *(record_id for record_id in self._heirs if self._end(record_id) in ids)}

    def _pointers(self) -> dict[str, str]:
        return dict(zip(self.names, self.values, strict=True))
