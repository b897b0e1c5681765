"""Whether a record is what a caller has asked for, by its own word: rules without I/O.

A pointer or a redirect in Redis says where to look, and no more. Whoever can write to Redis can write one, and would
hand one user another's token by it. So the record that was found has to hold what led to it.
"""

from __future__ import annotations

from zoho_token_store.change import credential_pointers
from zoho_token_store.errors import CorruptRecord
from zoho_token_store.keyspace import is_id
from zoho_token_store.match import TokenData, selectors
from zoho_token_store.record import TokenRecord

LED_ASTRAY = "what leads from it to another record"

MOST_REDIRECTS = 16
"""A merge makes older redirects lead to its end, so there is one on a way; more only while records are being merged."""


class Trail:
    """The redirects that were followed from an id.

    Args:
        record_id: The id that was asked for.

    Attributes:
        end: The id that it leads to, as far as is known.
    """

    def __init__(self, record_id: str) -> None:
        self.end = record_id
        self._asked = record_id
        self._left = MOST_REDIRECTS

    def follow(self, heir: str) -> str:
        """Take one step, and return where it leads.

        Raises:
            CorruptRecord: It does not lead to an id, or the way does not end.
        """
        self._left -= 1
        if self._left < 0 or not is_id(heir):
            raise CorruptRecord(self._asked, LED_ASTRAY)
        self.end = heir
        return heir


def check_asked(record: TokenRecord, record_id: str, client_id: str | None = None) -> None:
    """Check a record that was found under an id.

    Args:
        record: What was found.
        record_id: The id that was asked for: the record's, or that of one that it knows to have taken in.
        client_id: The caller's.

    Raises:
        CorruptRecord: It is another, or another client's.
    """
    if record.id != record_id and record_id not in record.bookkeeping().absorbed:
        raise CorruptRecord(record_id, LED_ASTRAY)
    if client_id is not None and record.client_id not in (None, client_id):
        raise CorruptRecord(record.id, "the digest of its client id")


def check_found(record: TokenRecord, data: TokenData) -> None:
    """Check a record that was found by what a caller's token says.

    Raises:
        CorruptRecord: It has neither the user name nor any of the credentials, or it is another client's.
    """
    check_asked(record, record.id, data.client_id)
    if data.user_name is not None and record.user_name == data.user_name:
        return  # the usual look-up, for which no digest has to be made
    wanted = selectors(data)
    if wanted.access and record.access and record.access.token == data.access_token:
        return
    if not any(holds(record, name) for name in (wanted.grant, wanted.refresh) if name):
        raise CorruptRecord(record.id, "a pointer that leads to it")


def holds(record: TokenRecord, name: str) -> bool:
    """Return whether a record has the credential of a pointer's name: current, spare or superseded."""
    return name in credential_pointers(record)
