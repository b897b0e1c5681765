"""What a place of tokens has to do, to move tokens from there or to it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol

from zoho_token_store.adoption import Adoption
from zoho_token_store.match import TokenData
from zoho_token_store.migration.entry import Read


class Place(Protocol):
    """Tokens in one form: a file, a table, a store of ours.

    Attributes:
        is_unique: Whether no two of its tokens can be of one user and client, or have one credential.
    """

    is_unique: bool

    @abstractmethod
    def read(self, batch: int) -> Iterator[Read]:
        """Yield every row, in the same order whenever it is called, reading so many at a time."""

    @abstractmethod
    def count(self) -> int | None:
        """Return about how many rows there are; None if that is not known."""

    @abstractmethod
    def settle(self, tokens: Sequence[TokenData], *, write: bool) -> list[Adoption]:
        """Take tokens in, unless newer ones are here; return what becomes of each.

        Args:
            tokens: What they say; an id is a wish.
            write: Whether to do it, and not only to say what would be done.
        """

    def finish(self) -> None:
        """Write what was held back until all tokens are there."""
        return

    @abstractmethod
    def close(self) -> None:
        """Give connections back."""

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
