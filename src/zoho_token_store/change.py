"""What a save, a deletion or an invalidation does to records: the state before and the state after."""

from __future__ import annotations

from typing import NamedTuple

from zoho_token_store.keyspace import client_digest, pointer, user_pointer
from zoho_token_store.lease import Lease
from zoho_token_store.record import TokenRecord

CLEARED = "cleared"
"""The event of records that are deleted with all others."""


class Change(NamedTuple):
    """A change to one grant, to be written as a whole or not at all; with the event ``cleared``, to several.

    Attributes:
        event: What happened, for the event stream (:class:`zoho_token_store.events.Event`).
        before: The records as they are, the one that stays first; empty for a new record.
        after: The one that is left; None for a deletion.
        lease: The lease under which this is done, if there is one.
        fence: Of the save; 0 for what is not a save.
        notes: Names of counters to add to once it is written.
    """

    event: str
    before: tuple[TokenRecord, ...]
    after: TokenRecord | None
    lease: Lease | None = None
    fence: int = 0
    notes: tuple[str, ...] = ()


def credential_pointers(record: TokenRecord) -> set[str]:
    """Return the names of the pointers of a record's grant and refresh tokens, current, spare and superseded."""
    book = record.bookkeeping()
    refresh = [token for token in (record.refresh_token, *record.spare_tokens()) if token]
    names = {pointer("refresh", token) for token in refresh} | {f"refresh:{old}" for old in book.old_refresh}
    if record.grant_token:
        names.add(pointer("grant", record.grant_token))
    return names | {f"grant:{old}" for old in book.old_grant}


def user_entry(record: TokenRecord) -> tuple[str, str] | None:
    """Return the name of a record's user pointer and the entry in it, or None for a record without a user name."""
    if record.user_name is None:
        return None
    return user_pointer(record.user_name), client_digest(record.client_id)


def access_pointer(record: TokenRecord) -> str | None:
    """Return the name of the pointer of a record's access token."""
    return pointer("access-token", record.access.token) if record.access else None


def pointer_names(record: TokenRecord) -> list[str]:
    """Return the names of all pointers that lead to a record."""
    names = credential_pointers(record)
    names |= {name for name in (access_pointer(record), (user_entry(record) or (None,))[0]) if name}
    return sorted(names)


def user_tombstone(entry: tuple[str, str]) -> str:
    """Return the name under which the deletion of one user name under one client is remembered."""
    return ":".join(entry)
