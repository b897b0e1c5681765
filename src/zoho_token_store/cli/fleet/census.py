"""All tokens of a store, counted by how they stand; and those whose access tokens end next."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from zoho_token_store.cli.selection import BATCH
from zoho_token_store.cli.view import STATES, View, view
from zoho_token_store.errors import TokenStoreError
from zoho_token_store.store import CoordinatedTokenStore


@dataclass
class Census:
    """How many tokens there are.

    Attributes:
        states: By how they stand.
        refreshable: How many can be refreshed.
        unreadable: How many cannot be read.
        next: Those whose access tokens end next, the first of them first.
    """

    states: Counter[str] = field(default_factory=Counter)
    refreshable: int = 0
    unreadable: int = 0
    next: list[View] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many can be read."""
        return sum(self.states.values())

    def told(self) -> dict[str, int]:
        """Return it for JSON."""
        states = {name.replace("-", "_"): self.states[name] for name in STATES}
        return {"total": self.total, **states, "refreshable": self.refreshable, "unreadable": self.unreadable}


def count_tokens(store: CoordinatedTokenStore, keep: int = 0) -> Iterator[Census]:
    """Yield one census again and again while it grows; at the end it is complete.

    Args:
        store: The tokens; they are looked at, a page at a time, and no more than a page is kept.
        keep: How many of those that end next are kept.
    """
    census = Census()

    def note(_: TokenStoreError) -> None:
        census.unreadable += 1

    ending: list[tuple[int, str, View]] = []  # the last to end is first: it is the first to be dropped
    for token in store.iter_tokens(BATCH, note):
        seen = view(token)
        census.states[seen.state] += 1
        census.refreshable += seen.refreshable
        if keep and seen.expires_ms is not None:
            push = heapq.heappush if len(ending) < keep else heapq.heappushpop
            push(ending, (-seen.expires_ms, seen.id, seen))
        yield census
    census.next = [seen for _, _, seen in sorted(ending, reverse=True)]
    yield census
