"""Optimistic transactions: plan from what is known, compare and write in one step, and plan anew if that has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from zoho_token_store.change import Change
from zoho_token_store.commit import CommitBuilder
from zoho_token_store.errors import StoreUnavailable, TokenStoreError
from zoho_token_store.options import Options
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.stats import Stats
from zoho_token_store.storage import Repository

Plan = Callable[[Snapshot, int], "Change | None"]
"""Makes a change from what is stored and from the store's time in ms; None if there is nothing to do."""

MOST_ATTEMPTS = 100
"""Each conflict means that somebody else has written; nobody loses this often unless something is broken."""


class Transactions:
    """Runs plans against a repository.

    Args:
        repository: Where to.
        options: Lives of records and tombstones.
        stats: Where conflicts and changes are counted.
    """

    def __init__(self, repository: Repository, options: Options, stats: Stats) -> None:
        self._repository = repository
        self._options = options
        self._stats = stats

    def run(
        self, plan: Plan, snapshot: Snapshot, *, guess: bool = False, attempt: Callable[[Change], None] | None = None
    ) -> Change | None:
        """Write what a plan comes to.

        Args:
            plan: Called again whenever what it was made from turns out to be stale.
            snapshot: What the caller knows.
            guess: Whether to try with what is known first: one round trip if it is still so. Otherwise everything that
                the plan reads is loaded before.
            attempt: Told of each change before it is sent.

        Returns:
            The change that was written; None if there was nothing to do.

        Raises:
            StoreUnavailable: The store has not taken it.
            TokenStoreError: What the plan raises, once what it was made from was loaded.
        """
        for _ in range(MOST_ATTEMPTS):
            snapshot.start_over()
            now_ms = self._repository.server_clock.now_ms()
            refusal: TokenStoreError | None = None
            change = commit = None
            try:
                change = plan(snapshot, now_ms)
                if change:
                    commit = CommitBuilder(self._options, snapshot, now_ms).build([change])
            except TokenStoreError as error:
                refusal = error
            strings, ids = snapshot.guessed()
            if (strings or ids) and not (guess and commit):
                self._repository.load(snapshot, strings, ids)
                continue
            if refusal:
                raise refusal
            if change is None or commit is None:
                return None
            if attempt:
                attempt(change)
            if self._repository.commit(commit):
                return change if change.after is None else change._replace(after=change.after._replace(stale=False))
            self._stats.count("conflicts")
            guess = False
            strings_read, records_read = snapshot.reads()
            self._repository.load(snapshot, list(strings_read), list(records_read))
        raise StoreUnavailable(f"the record was written by others {MOST_ATTEMPTS} times in a row")

    def foresee(self, plan: Plan, snapshot: Snapshot) -> Change | None:
        """Return what a plan comes to as things are, and write nothing.

        Args:
            plan: See :meth:`run`.
            snapshot: What is known; whatever the plan reads beyond that is loaded into it.

        Raises:
            TokenStoreError: What the plan raises, once what it was made from was loaded.
        """
        while True:
            snapshot.start_over()
            change, refusal = self._planned(plan, snapshot)
            strings, ids = snapshot.guessed()
            if not strings and not ids:
                if refusal:
                    raise refusal
                return change
            self._repository.load(snapshot, strings, ids)

    def read_ahead(self, plans: Iterable[Plan], snapshot: Snapshot) -> None:
        """Load what several plans read, all of them in each round trip, so that each is one more at most."""
        every = list(plans)
        while True:
            snapshot.start_over()
            for plan in every:
                self._planned(plan, snapshot)
            strings, ids = snapshot.guessed()
            if not strings and not ids:
                return
            self._repository.load(snapshot, strings, ids)

    def _planned(self, plan: Plan, snapshot: Snapshot) -> tuple[Change | None, TokenStoreError | None]:
        try:
            return plan(snapshot, self._repository.server_clock.now_ms()), None
        except TokenStoreError as error:
            return None, error
