"""What is read from a place, one row at a time."""

from __future__ import annotations

from typing import NamedTuple

from zoho_token_store.match import TokenData


class Entry(NamedTuple):
    """A row that can be moved.

    Attributes:
        where: Names it for people, such as "line 3"; never what is in it.
        data: What it says.
        notes: What of it was not taken as it stands, and why.
    """

    where: str
    data: TokenData
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Entry({self.where!r}, ...)"


class Unreadable(NamedTuple):
    """A row that cannot be moved.

    Attributes:
        where: See :class:`Entry`.
        reason: Why.
    """

    where: str
    reason: str


class Remark(NamedTuple):
    """Something about a place that is no row, such as a header that is missing.

    Attributes:
        where: See :class:`Entry`.
        text: What.
        is_flaw: Whether there may have been rows that are not there any more.
    """

    where: str
    text: str
    is_flaw: bool = False


Read = Entry | Unreadable | Remark
