"""Moving records to new keys while workers run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from zoho_token_store.errors import TokenStoreError
from zoho_token_store.record import TokenRecord
from zoho_token_store.storage import Repository, read_one

log = logging.getLogger("zoho_token_store")


@dataclass(frozen=True)
class RotationProgress:
    """How far a rotation has come.

    Attributes:
        total: Records of the namespace when it began.
        seen: Records looked at and read.
        moved: Records that were written anew; the others were in place already.
        failed: Ids of records that could not be moved, each logged with its reason.
    """

    total: int
    seen: int = 0
    moved: int = 0
    failed: tuple[str, ...] = ()


def rotate(repository: Repository, batch: int) -> Iterator[RotationProgress]:
    """Write every record that is not in place: sealed under the newest key, with its pointers under every pointer key.

    It may be stopped at any time and begun again: what is in place is only read.

    Args:
        repository: The records.
        batch: How many are looked at in one round trip.

    Yields:
        After each batch, how far it has come.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    failed: list[str] = []

    def leave(error: TokenStoreError) -> None:
        log.error("a record is left as it is: %s", error)
        failed.append(str(getattr(error, "record_id", None)))

    progress = RotationProgress(repository.count())
    yield progress
    for page in repository.pages(batch, leave):
        in_place, left = repository.in_place(page), len(failed)
        moved = sum(_move(repository, record, leave) for record in page if record.id not in in_place)
        seen = progress.seen + len(page) - (len(failed) - left)
        progress = RotationProgress(progress.total, seen, progress.moved + moved, tuple(failed))
        yield progress


def _move(repository: Repository, record: TokenRecord, leave: Callable[[TokenStoreError], None]) -> bool:
    """Move a record; return whether it had to be. One that became unreadable since its page was read is left."""
    current: TokenRecord | None = record
    while current is not None and not repository.in_place([current]):
        if repository.rewrite(current):
            return True
        # A worker has written it meanwhile, and may have moved it.
        current = read_one(partial(repository.get, record.id), leave)
    return False
