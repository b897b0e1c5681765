"""The stores of this package, as places to move tokens from and to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zoho_token_store.adoption import Adoption
from zoho_token_store.errors import InvalidToken, TokenStoreError
from zoho_token_store.match import TokenData
from zoho_token_store.migration.entry import Entry, Read, Unreadable
from zoho_token_store.migration.place import Place
from zoho_token_store.sdk import read_token, token_of
from zoho_token_store.store import CoordinatedTokenStore


class OwnStore(Place):
    """A store of ours: workers may use it meanwhile.

    Args:
        store: Which; it is closed with this.
    """

    is_unique = True

    def __init__(self, store: CoordinatedTokenStore) -> None:
        self._store = store

    def read(self, batch: int) -> Iterator[Read]:
        """See :class:`Place`."""
        unreadable: list[TokenStoreError] = []
        for token in self._store.iter_tokens(batch, unreadable.append):
            yield from _drained(unreadable)
            place = f"record {token.get_id()}"
            try:
                yield Entry(place, read_token(token))
            except InvalidToken as error:  # what is stored is no text that any store could keep
                yield Unreadable(place, str(error.error_message))
        yield from _drained(unreadable)

    def count(self) -> int | None:
        """See :class:`Place`."""
        return None

    def settle(self, tokens: Sequence[TokenData], *, write: bool) -> list[Adoption]:
        """See :class:`Place`."""
        return self._store.adopt([token_of(data) for data in tokens], dry_run=not write)

    def close(self) -> None:
        """See :class:`Place`."""
        self._store.close()


def _drained(errors: list[TokenStoreError]) -> Iterator[Unreadable]:
    while errors:
        error = errors.pop(0)
        yield Unreadable(f"record {getattr(error, 'record_id', None) or '?'}", str(error.error_message))
