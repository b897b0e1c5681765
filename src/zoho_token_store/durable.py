"""Transactions that count only when replicas have what they have written."""

from __future__ import annotations

from collections.abc import Callable

from zoho_token_store.change import Change
from zoho_token_store.options import Options
from zoho_token_store.pinned import PinnedLink
from zoho_token_store.redis_repository import RedisRepository
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.stats import Stats
from zoho_token_store.transaction import Plan, Transactions


class DurableTransactions:
    """Runs plans, and waits for replicas on the connection that the last step of each took.

    That step has either written, or seen that there is nothing to do; so whatever server it led to has the outcome. A
    connection of another step might lead to the next master, which may not.

    Args:
        pin: Makes a link for one transaction.
        over: Makes a repository that uses a link.
        options: How many replicas have to have it, and lives of records.
        stats: Where conflicts are counted.
    """

    def __init__(
        self,
        pin: Callable[[], PinnedLink],
        over: Callable[[PinnedLink], RedisRepository],
        options: Options,
        stats: Stats,
    ) -> None:
        self._pin = pin
        self._over = over
        self._options = options
        self._stats = stats

    def run(
        self, plan: Plan, snapshot: Snapshot, *, guess: bool = False, attempt: Callable[[Change], None] | None = None
    ) -> Change | None:
        """Write what a plan comes to; see :meth:`Transactions.run`.

        Raises:
            NotDurable: It is written, and too few replicas have it.
            StoreUnavailable: Redis has not taken it.
            TokenStoreError: What the plan raises.
        """
        link = self._pin()
        try:
            repository = self._over(link)
            transactions = Transactions(repository, self._options, self._stats)
            written = transactions.run(plan, snapshot, guess=guess, attempt=attempt)
            while not link.confirm(repository.keys.key("mark"), self._options.min_replicas):
                written = transactions.run(plan, Snapshot(), attempt=attempt) or written
            return written
        finally:
            link.close()
