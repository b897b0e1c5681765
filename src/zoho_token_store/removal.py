"""Deleting a record that cannot be read."""

from __future__ import annotations

from collections.abc import Callable

from zoho_token_store.change import Change
from zoho_token_store.commit import CommitBuilder
from zoho_token_store.details import DeletedDetails
from zoho_token_store.errors import UNREADABLE, StoreUnavailable, TokenStoreError
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.stats import Stats
from zoho_token_store.storage import Repository
from zoho_token_store.transaction import MOST_ATTEMPTS


def remove(repository: Repository, record_id: str, delete: Callable[[str], Change | None], stats: Stats) -> bool:
    """Delete a record; if it cannot be read, remove it and its entry in the list, and leave a tombstone under its id.

    Args:
        repository: The records.
        record_id: Which.
        delete: Deletes one that can be read; None if there is none.
        stats: Where it is counted.

    Returns:
        Whether there was one.

    Raises:
        StoreUnavailable: The store does not answer.
        TokenStoreError: What the id leads to cannot be read, and is under another id, which the error names.
    """
    for _ in range(MOST_ATTEMPTS):
        failure: TokenStoreError | None = None
        try:
            if delete(record_id):
                return True
        except UNREADABLE as error:
            failure = error
        except StoreUnavailable as error:
            if error.passing:
                raise
            failure = error  # something else may lie in its place
        revisions = repository.unread(record_id)
        if revisions is None:
            if failure:
                raise failure
            return False
        builder = CommitBuilder(repository.options, Snapshot(), repository.server_clock.now_ms())
        if repository.commit(builder.removal(record_id, revisions)):
            stats.count("deletes")
            stats.hooks.tell(DeletedDetails(stats.hooks.namespace, record_id, "deleted"))
            return True
    raise StoreUnavailable(f"the record was written by others {MOST_ATTEMPTS} times in a row")
