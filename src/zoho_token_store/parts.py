"""What a store is made of, put together in one place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from math import inf

from zoho_token_store.accounts import Accounts
from zoho_token_store.adopter import Adopter
from zoho_token_store.breaker import Breaker
from zoho_token_store.clock import SystemClock
from zoho_token_store.durable import DurableTransactions
from zoho_token_store.errors import TokenStoreError
from zoho_token_store.feed import EventFeed
from zoho_token_store.hooked import HookedNear, kinds
from zoho_token_store.keeper import Keeper
from zoho_token_store.kept import KeptSaves
from zoho_token_store.lease import HeldLeases, Owners
from zoho_token_store.lifecycle import GRACE
from zoho_token_store.near import Near
from zoho_token_store.options import NearCache, Options
from zoho_token_store.predecessor import Predecessor
from zoho_token_store.revocation import Revoker
from zoho_token_store.saver import Save
from zoho_token_store.shortcut import Known, Shortcut, give_back
from zoho_token_store.stats import Stats
from zoho_token_store.storage import Repository
from zoho_token_store.succession import Succession
from zoho_token_store.supply import ElectedSupply, ManagedSupply

log = logging.getLogger("zoho_token_store")

MakeFeed = Callable[..., EventFeed[Known]]
"""Makes the reader of events; called with what it keeps right, what it tells of losses, breaker and clock."""


class Parts:
    """The parts of one store. None of them knows the store, which can so be collected while threads of theirs run.

    Args:
        repository: The records.
        options: How the store behaves.
        stats: Where it is counted.
        clock: This machine's clocks.
        make_feed: Follows events, for a near cache; None for records that have none.
        durable: Writes what replicas must have; None if there are none.

    Attributes:
        origin: Stands for the store in the tokens that it hands out.
        shortcut: None without a near cache.
        keeper: None unless the store refreshes by itself.
    """

    def __init__(
        self,
        repository: Repository,
        options: Options,
        stats: Stats,
        clock: SystemClock,
        make_feed: MakeFeed | None = None,
        durable: DurableTransactions | None = None,
    ) -> None:
        self.origin = object()
        self.stats = stats
        self._kinds = kinds(stats.hooks)
        self.repository = repository
        self.owners = Owners()
        # One that is renewed is held until it is used or given up.
        self.held = HeldLeases(clock, options.lease_ttl if options.refresh == "sdk" else inf)
        self.transactions = self._kinds.transactions(repository, options, stats)
        shared = (options, self.owners, self.held, self.stats, clock)
        self.finder = self._kinds.finder(self.repository, *shared)
        self.accounts = Accounts(options.request_timeout, clock)
        self.saver = self._kinds.saver(self.repository, self.transactions, durable, *shared)
        self.adopter = Adopter(repository, self.transactions, self.saver, options, stats)
        self.kept = KeptSaves(self.saver.store, self._hold, options.operation_timeout, self.stats, clock)
        self.supply = self._make_supply(options, clock)
        predecessor = Predecessor(options.fallback, self.adopter) if options.fallback is not None else None
        self.succession = Succession(self.supply, repository, predecessor)
        self.revoker = Revoker(self.accounts, self.repository, self.transactions, options, self.stats, clock)
        self.shortcut = self._make_shortcut(options, make_feed, clock)
        self.keeper = None
        if isinstance(self.supply, ManagedSupply):
            self.keeper = Keeper(self.supply, self.repository, options, clock)

    def _make_supply(self, options: Options, clock: SystemClock) -> ElectedSupply | ManagedSupply:
        if options.refresh == "sdk":
            return ElectedSupply(self.finder, options)
        stored = (self.repository, self.transactions, self.saver, self.kept, self.held)
        refresher = self._kinds.refresher(self.accounts, *stored, options, self.stats, clock)
        return ManagedSupply(self.finder, refresher, options, clock)

    def _make_shortcut(self, options: Options, make_feed: MakeFeed | None, clock: SystemClock) -> Shortcut | None:
        if options.near_cache is False or make_feed is None:
            return None
        size = options.near_cache if isinstance(options.near_cache, NearCache) else NearCache()
        kind = HookedNear[Known] if self.stats.hooks.any else Near[Known]
        near = kind(size.entries, size.max_age, size.outage_ttl, clock)
        on_loss = partial(give_back, self.transactions, self.stats)
        breaker = Breaker(clock)
        feed = make_feed(near, on_loss, breaker, clock)
        shortcut = Shortcut(near, feed, breaker, self.repository.server_clock, self.supply, self.origin)
        self.stats.include(shortcut.hits)
        if isinstance(near, HookedNear):
            near.report(shortcut.hits, self.stats.hooks)
        return shortcut

    def _hold(self, save: Save) -> None:
        save.wish.kept_us = self.repository.server_clock.now_ms() * 1000
        if self.shortcut:
            self.shortcut.hold(save.wish)

    def reset_after_fork(self) -> None:
        """Become the parts of a store of its own in a forked child."""
        self.owners.__init__()  # type: ignore[misc]
        for part in (
            self.held,
            self.stats,
            self.repository,
            self.accounts,
            self.finder,
            self.supply,
            self.kept,
        ):
            part.reset_after_fork()
        if self.shortcut:
            self.shortcut.reset_after_fork()

    def end(self) -> None:
        """Let refreshes end, store what is kept, give leases back, close connections: when store or process end."""
        if self.shortcut:
            self.shortcut.close()
        self.supply.close(GRACE / 2)
        self.accounts.close()
        self.kept.close()
        try:
            self.repository.release(self.held.take_all())
        except TokenStoreError as error:
            log.warning("leases could not be given back, and will run out: %s", error)
        self.repository.close()
