"""Deleting all records of a namespace: many in one step, and no step that takes the server long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from zoho_token_store.change import CLEARED, user_entry
from zoho_token_store.commit import CommitBuilder
from zoho_token_store.errors import CorruptRecord, DecryptionFailed, TokenStoreError
from zoho_token_store.keyspace import write_user_pointer
from zoho_token_store.plan import plan_clearing, plan_deletion
from zoho_token_store.record import TokenRecord
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.storage import Repository
from zoho_token_store.transaction import Transactions

PAGE = 500
"""Records that are held in this process at a time."""
STEP = 25
"""Records deleted in one step: a millisecond or so of the server's time."""

OnUnreadable = Callable[[TokenStoreError], None]


def clear(repository: Repository, transactions: Transactions, on_unreadable: OnUnreadable) -> Iterator[list[str]]:
    """Delete every record, also if that was begun before and not ended.

    Args:
        repository: The records.
        transactions: Writes plans.
        on_unreadable: Told of each record that cannot be read, which stays.

    Yields:
        The ids of those that one step has deleted.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    now_ms = repository.server_clock.now_ms()
    repository.commit(CommitBuilder(repository.options, Snapshot(), now_ms).begin_clearing())
    for page in repository.pages(PAGE, on_unreadable):
        for first in range(0, len(page), STEP):
            yield _delete(transactions, page[first : first + STEP], on_unreadable)


def _delete(transactions: Transactions, records: Sequence[TokenRecord], on_unreadable: OnUnreadable) -> list[str]:
    """Delete some records; return the ids of those that were still there."""
    plan = partial(plan_clearing, [record.id for record in records])
    try:
        change = transactions.run(lambda snapshot, _: plan(snapshot), _guess(records))
    except (CorruptRecord, DecryptionFailed):  # one of those that were read anew
        return [each for record in records for each in _delete_one(transactions, record.id, on_unreadable)]
    return [record.id for record in change.before] if change else []


def _delete_one(transactions: Transactions, record_id: str, on_unreadable: OnUnreadable) -> list[str]:
    try:
        change = transactions.run(lambda snapshot, _: plan_deletion(record_id, snapshot, CLEARED), Snapshot())
    except (CorruptRecord, DecryptionFailed) as error:
        on_unreadable(error)
        return []
    return [record.id for record in change.before] if change else []


def _guess(records: Sequence[TokenRecord]) -> Snapshot:
    """Return what is most likely stored: the records as they were read, and no user under two clients."""
    snapshot = Snapshot(records)
    entries = {(record.id, entry) for record in records if (entry := user_entry(record))}
    snapshot.load({name: write_user_pointer({client: record_id}) for record_id, (name, client) in entries}, {})
    return snapshot
