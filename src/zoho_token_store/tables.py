"""What a store without scripts keeps, as one transaction sees it: rows and strings, and no rule about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from zoho_token_store.commit import Write
from zoho_token_store.record import TokenRecord
from zoho_token_store.tenure import Tenure
from zoho_token_store.verdict import Head


class Row(Protocol):
    """A record as it lies there."""

    @property
    def rev(self) -> str:
        """Its revision."""

    def head(self, client_id: str) -> Head:
        """Return what a look-up by a caller with this client id ("" for none) goes by."""

    def open(self) -> TokenRecord:
        """Return the record.

        Raises:
            CorruptRecord: It was changed by something else.
            DecryptionFailed: It cannot be opened.
        """


class Tables(Protocol):
    """One namespace inside a transaction. What has ended by itself is not there.

    Attributes:
        now_us: The time of the transaction, microseconds since the epoch.
    """

    now_us: int

    def row(self, record_id: str) -> Row | None:
        """Return a record."""

    def string(self, name: str) -> str:
        """Return a pointer or a tombstone by its name, "" for none."""

    def tenure(self, name: str) -> Tenure:
        """Return what is stored of a lease."""

    def put_tenure(self, name: str, tenure: Tenure | None) -> None:
        """Store it, or remove it."""

    def calls(self, credential: str) -> list[int]:
        """Return when calls to Zoho were made with a credential, ms, oldest first."""

    def put_calls(self, credential: str, calls: Sequence[int], ends_ms: int) -> None:
        """Store them until a time, ms."""

    def ids(self, after: str, most: int) -> list[str]:
        """Return the ids of records in their order, beginning after one."""

    def count(self) -> int:
        """Return about how many records there are."""

    def leads(self, name: str, record_id: str) -> bool:
        """Return whether a pointer leads to a record, under every pointer key."""

    def write(self, write: Write) -> None:
        """Carry out one write of a commit, of all kinds but ``EndLease`` and ``Bury``."""


class Database(Protocol):
    """Where the tables of one namespace are."""

    def reading(self) -> AbstractContextManager[Tables]:
        """Begin a transaction that sees one moment and writes nothing."""

    def writing(self) -> AbstractContextManager[Tables]:
        """Begin a transaction that nobody else's comes between. Who raises inside has written nothing before."""

    def wait(self, changed: Callable[[Tables], bool], at_most: float) -> None:
        """Block until something is so, but not longer than some seconds; now and then for no reason."""

    def close(self) -> None:
        """Let go of it."""

    def reset_after_fork(self) -> None:
        """Become a forked child's own."""
