"""What a store has to bring: the records of one namespace, for processes and threads to share.

Everything else is the same for every store, and knows no other way to what is stored.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from zoho_token_store.change import Change, user_entry
from zoho_token_store.clock import ServerClock
from zoho_token_store.commit import Commit, CommitBuilder
from zoho_token_store.errors import UNREADABLE, StoreUnavailable, TokenStoreError
from zoho_token_store.keyspace import read_redirect, tombstone
from zoho_token_store.lease import Lease
from zoho_token_store.options import Options
from zoho_token_store.provenance import Trail, check_asked
from zoho_token_store.question import UNTRIED, Answer, Pause, Question, Wait
from zoho_token_store.record import TokenRecord, check_schema
from zoho_token_store.snapshot import Snapshot

log = logging.getLogger("zoho_token_store")


class LeaseLost(Exception):
    """A lease has run out, or passed to another; whoever held it asks anew."""


class Repository(Protocol):
    """The records of one namespace: what a store implements, and what follows from that.

    Each method is one step that happens as a whole or not at all, and may be repeated when its outcome is not known.
    What cannot be done within the operation budget is :class:`StoreUnavailable`.

    Attributes:
        server_clock: The clock by which leases, freshness and expiry are judged.
        options: How the store behaves.
        seals_on_sight: Whether a record that is stale is written anew as soon as it is seen.
    """

    server_clock: ServerClock
    options: Options
    seals_on_sight: bool

    @abstractmethod
    def find(self, question: Question) -> Answer:
        """Answer a look-up, and give the lease to refresh to exactly one caller.

        Raises:
            CorruptRecord: What is stored was changed by something else.
            DecryptionFailed: The record cannot be opened.
        """

    @abstractmethod
    def wait(self, lease: str, answer: Wait, at_most: float) -> None:
        """Block until a lease ends, its time has passed or ``at_most`` seconds have; now and then for no reason."""

    @abstractmethod
    def load(self, snapshot: Snapshot, strings: Sequence[str], ids: Sequence[str]) -> None:
        """Read pointers and tombstones by name, and records by id, into a snapshot: as they are in one moment."""

    @abstractmethod
    def commit(self, commit: Commit) -> bool:
        """Write a plan if nothing that it was made from has changed; return whether it was written."""

    @abstractmethod
    def refresh(self, change: Change) -> bool:
        """Write the save of an ordinary refresh if the record is still the one that was handed out.

        It comes to what a commit of the same change comes to, and may be a shorter way.

        Returns:
            Whether it was written.
        """

    @abstractmethod
    def pages(
        self, size: int, on_unreadable: Callable[[TokenStoreError], None] | None = None
    ) -> Iterator[list[TokenRecord]]:
        """Yield every record, in order of id, ``size`` ids at a time, without those that have ended by themselves.

        Args:
            size: See above.
            on_unreadable: Told of each record that cannot be read, which is then left out; None lets the error end it.
        """

    @abstractmethod
    def count(self) -> int:
        """Return about how many records there are: those that have ended by themselves may be among them."""

    @abstractmethod
    def unread(self, record_id: str) -> dict[str, str] | None:
        """Return what the removal of a record is compared with that nobody can read; None if nothing is there.

        Its revision by its id; nothing if there is no record in its place, but something to which nobody can write one.
        """

    @abstractmethod
    def in_place(self, records: Iterable[TokenRecord]) -> set[str]:
        """Return the ids of those records that lie as they are written now, their pointers too."""

    @abstractmethod
    def release(self, leases: Iterable[Lease], pause: Pause | None = None) -> None:
        """Give leases back that have not led to a save, and wake those who wait for them.

        Args:
            leases: Which.
            pause: For how long nobody shall be given them; None leaves that to the number of leases in a row.
        """

    @abstractmethod
    def renew(self, lease: Lease) -> bool:
        """Make a lease last its full time from now on; return whether it is still the caller's."""

    @abstractmethod
    def take_call(self, lease: Lease, credential: str) -> int | None:
        """Take a call to Zoho from the budget of all who share the records, under a lease, which is renewed.

        Args:
            lease: See above.
            credential: Name of the pointer of what will be offered: Zoho counts for each refresh token.

        Returns:
            None if the call may be made; else when the next one may be, ms by the store's clock.

        Raises:
            LeaseLost: The lease has ended, or passed to another.
        """

    @abstractmethod
    def ping(self) -> None:
        """Return if the store answers.

        Raises:
            StoreUnavailable: It does not.
            ConfigurationError: It is nothing that this release can use.
        """

    @abstractmethod
    def close(self) -> None:
        """Close connections; every method is :class:`StoreClosed` from then on."""

    @abstractmethod
    def reset_after_fork(self) -> None:
        """Become the records of a forked child."""

    # What is the same for all.

    def get(self, record_id: str) -> TokenRecord | None:
        """Return a record, or the one that it was merged into, if it is there and can still be used.

        Raises:
            CorruptRecord: It was led astray, or changed by something else.
            DecryptionFailed: It cannot be opened.
            UnsupportedSchema: It was written by a newer release.
        """
        trail = Trail(record_id)
        while True:
            buried = tombstone(trail.end)
            snapshot = Snapshot()
            self.load(snapshot, [buried], [trail.end])
            record = snapshot.record(trail.end)
            if record is not None:
                check_schema(record)
                check_asked(record, record_id)
                self.seal_on_sight(record)
                return record if usable(record) else None
            heir = read_redirect(snapshot.string(buried))
            if heir is None:
                return None
            trail.follow(heir)

    def decline(self, lease: Lease) -> None:
        """Give back a lease that cannot be used here, as if it had not been taken; else it runs out."""
        with suppress(StoreUnavailable):
            self.release([lease], Pause(None, UNTRIED))

    def rewrite(self, record: TokenRecord) -> bool:
        """Write a record, and all that leads to it, as they are written now: sealed, and under every pointer key.

        Nothing of it changes: whoever works with it goes on. At most two steps.

        Returns:
            Whether it was written; a record that has changed meanwhile was not.
        """
        snapshot = Snapshot([record])
        entry = user_entry(record)
        if entry:
            self.load(snapshot, [entry[0]], ())
        return self.commit(CommitBuilder(self.options, snapshot, self.server_clock.now_ms()).rewrite(record))

    def seal_on_sight(self, record: TokenRecord) -> None:
        """Rewrite a record that is stale, if the store does so."""
        if not record.stale or not self.seals_on_sight:
            return
        try:
            self.rewrite(record)
        except StoreUnavailable as error:
            log.warning("record %s is still in the clear, and sealed when it is seen next: %s", record.id, error)


def usable(record: TokenRecord) -> bool:
    """Return whether a record is of any use: a token, or something to get one with."""
    return record.refreshable or record.access is not None


def read_page(
    readers: Iterable[Callable[[], TokenRecord]], on_unreadable: Callable[[TokenStoreError], None] | None
) -> list[TokenRecord]:
    """Return the records of one page; see :meth:`Repository.pages`.

    Args:
        readers: Read one record each.
        on_unreadable: See there.
    """
    page = (read_one(partial(_understood, read), on_unreadable) for read in readers)
    return [record for record in page if record and usable(record)]


def read_one(
    read: Callable[[], TokenRecord | None], on_unreadable: Callable[[TokenStoreError], None] | None
) -> TokenRecord | None:
    """Return a record; None if there is none, or if it cannot be read and there is somebody to be told so."""
    try:
        return read()
    except UNREADABLE as error:
        if on_unreadable is None:
            raise
        on_unreadable(error)
        return None


def _understood(read: Callable[[], TokenRecord]) -> TokenRecord:
    record = read()
    check_schema(record)
    return record
