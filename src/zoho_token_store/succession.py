"""What changes in a store that has a predecessor: look-ups go through to it, and deletions too."""

from __future__ import annotations

from zoho_token_store.errors import TokenNotFound
from zoho_token_store.finder import Found
from zoho_token_store.match import TokenData
from zoho_token_store.predecessor import Predecessor
from zoho_token_store.record import TokenRecord
from zoho_token_store.storage import Repository
from zoho_token_store.supply import ElectedSupply, ManagedSupply


class Succession:
    """Look-ups and deletions of a store with a predecessor, or without one.

    Args:
        supply: Finds records that are here.
        repository: The records.
        predecessor: None for none.
    """

    def __init__(
        self, supply: ElectedSupply | ManagedSupply, repository: Repository, predecessor: Predecessor | None
    ) -> None:
        self._supply = supply
        self._repository = repository
        self._predecessor = predecessor

    def get(self, record_id: str) -> TokenRecord | None:
        """Return a record without a lease."""
        record = self._repository.get(record_id)
        if record is None and self._predecessor:
            here = self._predecessor.bring_id(record_id)
            record = self._repository.get(here) if here else None
        return record

    def by_id(self, record_id: str) -> Found:
        """See :class:`~zoho_token_store.supply.Supply`."""
        if self._predecessor is None:
            return self._supply.by_id(record_id)
        if self._repository.options.on_missing_id == "none":  # then the caller would be given the lease to make it
            record = self.get(record_id)
            return self._supply.by_id(record.id if record else record_id)
        try:
            return self._supply.by_id(record_id)
        except TokenNotFound:
            here = self._predecessor.bring_id(record_id)
            if here is None:
                raise
        return self._supply.by_id(here)

    def by_data(self, data: TokenData, *, names_user: bool, own: bool) -> Found | None:
        """See :class:`~zoho_token_store.supply.Supply`. Before anything is spent: the predecessor may have done so."""
        if self._predecessor:
            self._predecessor.bring(data)
        return self._supply.by_data(data, names_user=names_user, own=own)

    def forget(self, record_id: str) -> None:
        """Delete at the predecessor what is about to be deleted here."""
        if self._predecessor:
            self._predecessor.forget(record_id)

    def forget_to_revoke(self, record_id: str) -> None:
        """Delete at the predecessor what is about to be revoked here, once it is here: else nobody could end it."""
        if self._predecessor:
            self.get(record_id)
            self._predecessor.forget(record_id)

    def forget_all(self) -> None:
        """Delete everything at the predecessor."""
        if self._predecessor:
            self._predecessor.empty()
