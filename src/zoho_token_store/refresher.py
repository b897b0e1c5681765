"""Managed refresh: ask Zoho under the lease, and store what it gave before anyone uses it."""

from __future__ import annotations

import contextlib
import logging
import random
from functools import partial
from typing import NamedTuple

from zoho_token_store.accounts import Accounts, Credentials, Granted, Rejected, Throttled, Transient
from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import (
    RefreshFailing,
    RefreshRejected,
    RefreshThrottled,
    StoreUnavailable,
    TokenStoreError,
)
from zoho_token_store.kept import KeptSaves
from zoho_token_store.keyspace import digest, pointer
from zoho_token_store.lease import HeldLeases, Lease
from zoho_token_store.match import TokenData, data_of
from zoho_token_store.options import USABLE, Options
from zoho_token_store.plan import plan_appeal, plan_rejection
from zoho_token_store.question import FAILED, THROTTLED, Pause
from zoho_token_store.record import TokenRecord
from zoho_token_store.renewal import Renewals
from zoho_token_store.saver import Save, Saver
from zoho_token_store.site import Site, find_site
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.stats import Stats
from zoho_token_store.storage import LeaseLost, Repository
from zoho_token_store.transaction import Transactions

log = logging.getLogger("zoho_token_store")

FIRST_PAUSE = 10.0
"""Seconds that the fleet pauses after a failed refresh; doubled with each that follows."""
LONGEST_PAUSE = 120.0

SPENT = ("invalid_code", "invalid_grant")
"""Words for a code or a refresh token that is worth nothing any more, as against a client that is not known."""


class Errand(NamedTuple):
    """One refresh that this process was elected for.

    Attributes:
        lease: The right to do it.
        attempts: How many leases there have been since the last save, this one included.
        record: What is stored; None for a new login.
        data: What to spend, and what is known beside it.
        site: Where to ask.
        names_user: Whether to ask CRM for the user's name if it is not known, as the SDK's ``find_user`` does.
    """

    lease: Lease
    attempts: int
    record: TokenRecord | None
    data: TokenData
    site: Site
    names_user: bool

    def __repr__(self) -> str:
        return f"Errand(lease={self.lease!r}, attempts={self.attempts}, record={self.record!r}, ...)"

    @property
    def record_id(self) -> str | None:
        """The record's id, for errors."""
        return self.record and self.record.id


class BudgetSpent(Exception):
    """The fleet has made all its calls; the next is free after ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Refresher:
    """Does the refreshes that this process was elected for.

    Args:
        accounts: Asks Zoho.
        repository: The records.
        transactions: Writes plans.
        saver: Stores tokens.
        kept: Where saves go that Redis does not take.
        held: The leases of this process.
        options: Times and budget.
        stats: Where it is counted.
        clock: This machine's clocks.
    """

    def __init__(
        self,
        accounts: Accounts,
        repository: Repository,
        transactions: Transactions,
        saver: Saver,
        kept: KeptSaves,
        held: HeldLeases,
        options: Options,
        stats: Stats,
        clock: SystemClock,
    ) -> None:
        self._accounts = accounts
        self._repository = repository
        self._transactions = transactions
        self._saver = saver
        self._kept = kept
        self._held = held
        self._options = options
        self._stats = stats
        self._clock = clock
        self._renewals = Renewals(repository.renew, options.lease_ttl)

    def refresh(self, errand: Errand) -> TokenRecord:
        """Get an access token and store it.

        Returns:
            The record with its new access token.

        Raises:
            RefreshRejected, RefreshThrottled, RefreshFailing: See there; the fleet knows it too.
            StoreUnavailable: Redis does not take what Zoho gave. The save is kept, and tried again.
            TokenDeleted: The record was deleted meanwhile.
            LeaseLost: Another has become the one to refresh, or something new was saved: ask anew.
        """
        try:
            with self._renewals.keep(errand.lease):
                spent, granted = self._ask(errand)
                self._stats.count("refreshes")
                record = self._store(errand, spent, granted)
        except Rejected as refusal:
            raise self._reject(errand, refusal.code) from refusal
        except BudgetSpent as error:
            raise self._throttle(errand, error.seconds) from None
        except Throttled as error:
            raise self._throttle(errand, max(error.retry_after or 0, self._throttled_s(errand.attempts))) from error
        except Transient as error:
            raise self._fail(errand, error) from error
        except LeaseLost:
            self._held.remove(errand.lease)
            raise
        log.info("record %s has a new access token", record.id)
        named = self._name_user(errand, record)
        if not self._can_be_used(named, granted):
            raise LeaseLost
        return named

    def appeal(self, record_id: str, environment: object) -> bool:
        """Return whether credentials that were refused may be offered here, since another server has refused them."""
        record = self._repository.get(record_id)
        if record is None:
            return False
        plan = partial(plan_appeal, record_id, _digest(find_site(record.api_domain, environment)))
        return self._transactions.run(plan, Snapshot()) is not None

    def decline(self, lease: Lease) -> None:
        """Give back a lease that cannot be used here, such as that of a process which does not know where to ask."""
        self._held.remove(lease)
        self._repository.decline(lease)

    def reset_after_fork(self) -> None:
        """Leave renewals to the parent."""
        self._renewals.reset_after_fork()

    def _ask(self, errand: Errand) -> tuple[str | None, Granted]:
        """Offer the current refresh token, and if it is worth nothing those that were kept aside, newest first.

        Returns:
            The refresh token that was taken (None for a grant code), and what it has brought.
        """
        deadline = self._clock.monotonic() + self._options.request_timeout
        spares = errand.record.spare_tokens() if errand.record else []
        refusal = Rejected("invalid_code")
        for token in (errand.data.refresh_token, *reversed(spares)):
            try:
                return token, self._call(errand, token, deadline)
            except Rejected as error:
                refusal = error
                if error.code not in SPENT:
                    break
        raise refusal

    def _call(self, errand: Errand, refresh_token: str | None, deadline: float) -> Granted:
        """Ask Zoho, once more if the first lease since the last save meets a hitch that has cost little time.

        What took long is not asked again: Zoho may have worked, and a code or a rotating token would be spent.
        """
        data = errand.data
        credentials = Credentials(
            data.client_id, data.client_secret, refresh_token, data.grant_token, data.redirect_url
        )
        ask = self._accounts.refresh if refresh_token else self._accounts.exchange
        offered = pointer("refresh", refresh_token) if refresh_token else pointer("grant", data.grant_token or "")
        for tries_left in (1, 0) if errand.attempts == 1 else (0,):
            # Each call, not each lease: the lease is made sure of, and the call counted, before it is made.
            retry_ms = self._repository.take_call(errand.lease, offered)
            if retry_ms is not None:
                raise BudgetSpent((retry_ms - self._repository.server_clock.now_ms()) / 1000)
            try:
                return ask(errand.site, credentials, deadline - self._clock.monotonic())
            except Transient as error:
                self._stats.count("refreshes_failed")
                if not tries_left or deadline - self._clock.monotonic() < self._options.request_timeout / 2:
                    raise
                log.warning("the refresh of %s has met a hitch, and is tried again: %s", errand.lease.name, error)
            self._clock.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - spreads load, guards nothing
        raise AssertionError("every round returns or raises")

    def _store(self, errand: Errand, spent: str | None, granted: Granted) -> TokenRecord:
        """Store what Zoho gave.

        Raises:
            StoreUnavailable: Redis does not take it, and it cannot be had again. An access token can, and is handed out
                although it is only kept in this process.
        """
        given, record = errand.data, errand.record
        domain = granted.api_domain if granted.api_domain and not errand.site.keeps_domain else given.api_domain
        data = given._replace(
            refresh_token=granted.refresh_token or spent or given.refresh_token,
            api_domain=domain or granted.api_domain or errand.site.crm_url,
            access_token=granted.access_token,
            expires_in=self._expires_in(granted.expires_in),
        )
        # Of a new login it is known what was spent; of a record only if it was not its current refresh token.
        aside = spent if record is None or (granted.refresh_token and spent != record.refresh_token) else None
        stored: list[tuple[TokenRecord | None, str]] = []
        save = self._saver.make_save(
            data, record, errand.lease, aside, lambda after, record_id: stored.append((after, record_id))
        )
        try:
            self._saver.store(save)
        except StoreUnavailable:
            self._kept.keep(save)
            if record is None or granted.refresh_token:
                raise
            return record._replace(access=save.wish.access)
        return self._as_stored(*stored[0])

    def _as_stored(self, after: TokenRecord | None, record_id: str) -> TokenRecord:
        record = after or self._repository.get(record_id)
        if record is None:
            raise LeaseLost
        return record

    def _can_be_used(self, record: TokenRecord, granted: Granted) -> bool:
        """Return whether a record is fit to be handed out.

        What is stored need not be what was got: others may have saved a new login or reported the token meanwhile.
        """
        access = record.access
        if access is None or access.token == granted.access_token or not access.expires_ms:
            return access is not None
        return access.expires_ms - self._repository.server_clock.now_ms() > USABLE * 1000

    def _expires_in(self, seconds: float | None) -> str | None:
        """Return an expiry as the SDK has it: epoch milliseconds by this machine's clock."""
        return None if seconds is None else str(int((self._clock.wall() + seconds) * 1000))

    def _name_user(self, errand: Errand, record: TokenRecord) -> TokenRecord:
        """Find out whose token it is, and store that: after the token, which must not be lost over it."""
        if not errand.names_user or record.user_name is not None or record.access is None:
            return record
        name = self._accounts.user_name(errand.site, record.access.token, self._options.request_timeout)
        if name is None:
            return record
        stored: list[TokenRecord | None] = []
        save = self._make_name_save(record, name, stored)
        try:
            self._saver.store(save)
        except StoreUnavailable:
            self._kept.keep(save)
        return next(filter(None, stored), record)

    def _make_name_save(self, record: TokenRecord, name: str, stored: list[TokenRecord | None]) -> Save:
        data = data_of(record)._replace(user_name=name)
        return self._saver.make_save(data, record, None, None, lambda after, _: stored.append(after))

    def _reject(self, errand: Errand, code: str) -> TokenStoreError:
        """Let the fleet know that Zoho has refused for good.

        Raises:
            LeaseLost: Something new was saved meanwhile.
        """
        self._stats.count("refreshes_rejected")
        log.error("Zoho has refused the credentials of %s for good: %s", errand.lease.name, code)
        record = errand.record
        if record is None:
            # A code that is worth nothing stays so; a client may be corrected, and tried again.
            seconds = self._options.refresh_window if code in SPENT else self._pause_s(errand.attempts)
            self._give_back(errand.lease, Pause(seconds, code))
            return RefreshRejected(None, code)
        with contextlib.suppress(StoreUnavailable):  # then the next one will be told the same
            plan = partial(plan_rejection, record, code, _digest(errand.site))
            change = self._transactions.run(plan, Snapshot([record]), guess=True)
            self._give_back(errand.lease, None)
            if change is None:
                raise LeaseLost
        return RefreshRejected(record.id, code)

    def _throttle(self, errand: Errand, seconds: float) -> TokenStoreError:
        self._stats.count("refreshes_throttled")
        log.warning("no more access tokens for %s in the next %.0f s", errand.lease.name, seconds)
        self._give_back(errand.lease, Pause(seconds, THROTTLED))
        return RefreshThrottled(errand.record_id, self._clock.wall() + seconds)

    def _fail(self, errand: Errand, error: Transient) -> TokenStoreError:
        seconds = self._pause_s(errand.attempts)
        log.warning("the refresh of %s has failed, the next is in %.0f s: %s", errand.lease.name, seconds, error)
        self._give_back(errand.lease, Pause(seconds, FAILED))
        return RefreshFailing(errand.record_id, self._clock.wall() + seconds)

    def _give_back(self, lease: Lease, pause: Pause | None) -> None:
        self._held.remove(lease)
        with contextlib.suppress(StoreUnavailable):  # then it runs out
            self._repository.release([lease], pause)

    def _pause_s(self, attempts: int) -> float:
        """Return how long the fleet pauses after so many failures in a row, seconds; drawn by one for all."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * _growth(attempts))
        return pause * random.uniform(1, 1.25)  # noqa: S311 - spreads load, guards nothing

    def _throttled_s(self, attempts: int) -> float:
        """Return how long the fleet leaves Zoho alone that has said so: up to a window, by which it counts."""
        return min(self._options.refresh_window, self._options.refresh_window / 10 * _growth(attempts))


def _growth(attempts: int) -> float:
    return 2.0 ** min(attempts - 1, 10)


def _digest(site: Site) -> str:
    return digest("site", site.accounts_url)
