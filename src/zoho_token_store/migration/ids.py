"""Ids of new rows."""

from __future__ import annotations

from collections.abc import Callable

from zoho_token_store.saver import new_id


class Numbers:
    """Ids as the SDK's stores draw them, which can read no others: whole numbers, each one above the last.

    Args:
        highest: The highest that there is.
        longest: How many digits fit.
    """

    def __init__(self, highest: int = 0, longest: int = 10) -> None:
        self._highest = highest
        self._longest = longest

    def __call__(self, wish: str | None, taken: Callable[[str], bool]) -> str:
        """Return an id: the one that is wished for if it can be kept."""
        if wish is not None and wish.isascii() and wish.isdigit() and len(wish) <= self._longest and not taken(wish):
            self._highest = max(self._highest, int(wish))
            return wish
        self._highest += 1
        while taken(str(self._highest)):
            self._highest += 1
        return str(self._highest)


def new_name(wish: str | None, taken: Callable[[str], bool]) -> str:
    """Return an id for a place that takes any: the one that is wished for if it is free."""
    if wish is not None and not taken(wish):
        return wish
    while taken(drawn := new_id()):
        pass
    return drawn
