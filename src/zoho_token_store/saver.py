"""Saves: what a caller's token says, made into a plan and written."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from zoho_token_store.change import Change
from zoho_token_store.clock import SystemClock
from zoho_token_store.durable import DurableTransactions
from zoho_token_store.errors import NotDurable, StoreUnavailable, TokenStoreError
from zoho_token_store.lease import HeldLeases, Lease, Owners
from zoho_token_store.match import TokenData, lease_names
from zoho_token_store.merge import Wish
from zoho_token_store.options import Options
from zoho_token_store.plan import plan_refresh, plan_save
from zoho_token_store.record import Access, TokenRecord
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.stats import Stats
from zoho_token_store.storage import Repository
from zoho_token_store.transaction import Transactions

log = logging.getLogger("zoho_token_store")

FAR_MS = 10 * 365 * 86_400_000
"""An expiry further away than this is taken as this far."""


@dataclass(repr=False)  # it holds tokens
class Save:
    """One save, until it is stored.

    Attributes:
        wish: What is to be saved; its access token is set when Redis's time is known.
        on_stored: Called with the record as this attempt has stored it (None if an earlier one did), and with its id.
        tried: The change that the last attempt has made of it.
        is_short: Whether it is stored, and only lacks replicas.
    """

    wish: Wish
    on_stored: Callable[[TokenRecord | None, str], None]
    tried: Change | None = None
    is_short: bool = False

    def attempt(self, change: Change) -> None:
        """Take note of what is sent now. Its reply may be lost: its fence stays, so that no repeat passes for newer."""
        self.tried = change
        self.wish.fence = change.fence


def new_id() -> str:
    """Return an id for a new record: 95 random bits that a command line does not take for an option."""
    while (drawn := secrets.token_urlsafe(12)).startswith("-"):
        pass
    return drawn


class Saver:
    """Stores tokens.

    Args:
        repository: The records.
        transactions: Writes plans.
        durable: Writes those that bring a refresh token; None if replicas do not matter.
        options: Life of an access token whose expiry is not known.
        owners: Names of threads and operations.
        held: The leases of this process.
        stats: Where it is counted.
        clock: This machine's clocks.

    Attributes:
        draw_id: Gives ids to new records.
    """

    draw_id: Callable[[], str] = staticmethod(new_id)

    def __init__(
        self,
        repository: Repository,
        transactions: Transactions,
        durable: DurableTransactions | None,
        options: Options,
        owners: Owners,
        held: HeldLeases,
        stats: Stats,
        clock: SystemClock,
    ) -> None:
        self._repository = repository
        self._transactions = transactions
        self._durable = durable
        self._options = options
        self._owners = owners
        self._held = held
        self._stats = stats
        self._clock = clock

    def make_save(
        self,
        data: TokenData,
        baseline: TokenRecord | None,
        lease: Lease | None,
        spent: str | None,
        on_stored: Callable[[TokenRecord | None, str], None],
    ) -> Save:
        """Return a save of what a caller's token says.

        Args:
            data: What it says.
            baseline: The record as it was when the token was handed out.
            lease: The lease that came with it. Without one, a lease on one of its credentials that this thread was
                given is taken.
            spent: The refresh token that the lease was given to spend.
            on_stored: See :class:`Save`.
        """
        if lease is None and self._owners.claims():
            lease = self._owners.claimed(lease_names(data))
        made = "" if baseline else self.draw_id()
        fence = lease.fence if lease else 0
        wish = Wish(data, None, self._owners.save_nonce(), made, baseline, lease, spent, fence)
        return Save(wish, on_stored)

    def store(self, save: Save) -> None:
        """Try to store a save. It may be called again after :class:`StoreUnavailable`: nothing is written twice.

        Raises:
            TokenStoreError: See :func:`plan_save`; any but StoreUnavailable is final.
        """
        wish = save.wish
        if not self._repository.server_clock.known:
            self._repository.load(Snapshot(), (), ())
        wish.access = wish.access or self.access_of(wish.data)
        change = self._refresh(save)
        if change is None:
            # What was handed out is worth a guess, unless it has just turned out to be stale.
            guess = save.tried is None and bool(wish.baseline or wish.lease)
            snapshot = Snapshot([wish.baseline] if guess and wish.baseline else [])
            plan = partial(plan_save, wish)
            try:
                change = self.transactions_for(wish).run(plan, snapshot, guess=guess, attempt=save.attempt)
            except NotDurable:
                self._settle(save, save.tried, is_durable=False)
                save.is_short = True
                raise
            except StoreUnavailable:
                raise
            except TokenStoreError:
                self._give_back(wish.lease)
                raise
        self._settle(save, change)

    def transactions_for(self, wish: Wish) -> Transactions | DurableTransactions:
        """Return what writes a save: what brings nothing that could not be had again needs no replicas."""
        brings_login = wish.intended.get("refresh_token") is not None
        return self._durable if self._durable and brings_login else self._transactions

    def _settle(self, save: Save, change: Change | None, *, is_durable: bool = True) -> None:
        """See to what follows from a save that is stored; again, if only replicas have been waited for."""
        wish = save.wish
        if not save.is_short:
            self._forget(wish.lease)
            self._report(change or save.tried)
        after = change.after if change else None
        # What replicas lack is not what a second save of the same object may take as known: it waits for them, too.
        save.on_stored(after if is_durable else None, after.id if after else wish.stored_as)

    def _refresh(self, save: Save) -> Change | None:
        """Store the save if it is that of an ordinary refresh and nothing has come between; return what was written."""
        baseline = save.wish.baseline
        if save.tried or self._options.retention or (baseline and baseline.stale):
            return None
        change = plan_refresh(save.wish, self._repository.server_clock.now_ms())
        if change is None:
            return None
        save.attempt(change)
        if self._repository.refresh(change):
            return change
        self._stats.count("conflicts")
        return None

    def _forget(self, lease: Lease | None) -> None:
        if lease:
            self._held.remove(lease)
            self._owners.claims().pop(lease.name, None)

    def _give_back(self, lease: Lease | None) -> None:
        """End the lease of a save that is refused for good: nobody shall wait for what will not come."""
        self._forget(lease)
        if lease:
            with contextlib.suppress(StoreUnavailable):  # then it runs out
                self._repository.release([lease])

    def _report(self, change: Change | None) -> None:
        """Count a save, and log what is worth a word; also one whose reply was lost."""
        if change is None or change.after is None:
            return
        for note in change.notes:
            self._stats.count(note)
        if "late_saves" in change.notes:
            log.warning("late save of record %s: another worker has saved since; merged", change.after.id)
        if "name_conflicts" in change.notes:
            log.warning("record %s was saved without its user name: another record has it", change.after.id)

    def access_of(self, data: TokenData) -> Access | None:
        """Return the access token with its expiry by Redis's clock."""
        if data.access_token is None:
            return None
        here_ms = int(self._clock.wall() * 1000)
        try:
            expires_ms = int(float(data.expires_in or ""))
        except (ValueError, OverflowError):
            return Access(data.access_token, 0, int(self._options.default_access_ttl * 1000))
        expires_ms = min(max(expires_ms, here_ms), here_ms + FAR_MS)
        server_ms = self._repository.server_clock.to_server_ms(expires_ms)
        return Access(data.access_token, server_ms, expires_ms - here_ms)
