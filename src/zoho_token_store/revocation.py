"""Logging out for good: ending a token at Zoho and deleting it here."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable

from zoho_token_store.accounts import Accounts, AccountsError, Transient
from zoho_token_store.change import Change
from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import ConfigurationError, RevocationIncomplete, TokenStoreError
from zoho_token_store.options import Options
from zoho_token_store.plan import plan_deletion
from zoho_token_store.record import TokenRecord
from zoho_token_store.site import Site, find_site
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.stats import Stats
from zoho_token_store.storage import Repository
from zoho_token_store.transaction import Transactions

log = logging.getLogger("zoho_token_store")


class Revoker:
    """Ends tokens at Zoho and here.

    Zoho goes first. As long as the record is there, the call can be repeated, whatever it has died of; a record that
    was deleted first would take the refresh token with it, and nobody could end that any more. But the deletion depends
    on Zoho for nothing but the time that Zoho may take: it follows on a failure too, and if the caller is interrupted.

    Args:
        accounts: Asks Zoho.
        repository: The records.
        transactions: Writes plans.
        options: How long Zoho may take, and where it is.
        stats: Where it is counted.
        clock: This machine's clocks.
    """

    def __init__(
        self,
        accounts: Accounts,
        repository: Repository,
        transactions: Transactions,
        options: Options,
        stats: Stats,
        clock: SystemClock,
    ) -> None:
        self._accounts = accounts
        self._repository = repository
        self._transactions = transactions
        self._options = options
        self._stats = stats
        self._clock = clock

    def revoke(self, record_id: str) -> bool:
        """End a token at Zoho, then delete it here; see :meth:`RedisTokenStore.revoke`."""
        record = self._repository.get(record_id)
        tokens = _refresh_tokens(record)
        # What is not known here is no failure of Zoho's, and can be mended: nothing has happened yet.
        site = find_site(record.api_domain, self._options.environment) if record and tokens else None
        refusal: Exception | None = Transient("the caller was interrupted")
        try:
            refusal = self._end(site, tokens) if site else None
        finally:
            change, failure = self._delete(record_id, "revoked" if tokens and refusal is None else "deleted")
        if change:  # a login may have come between
            others = self._end_others(site, change.before[0], tokens)
            refusal = refusal or others
        self._report(record_id, bool(tokens), refusal, failure)
        return record is not None or change is not None

    def _end(self, site: Site, tokens: Iterable[str]) -> Exception | None:
        """End refresh tokens; return the first reason why one was not."""
        deadline = self._clock.monotonic() + self._options.request_timeout
        refusal: Exception | None = None
        for token in tokens:
            try:
                self._end_one(site, token, deadline)
            except AccountsError as error:
                refusal = refusal or error
        return refusal

    def _end_one(self, site: Site, refresh_token: str, deadline: float) -> None:
        """End a refresh token; a hitch that has cost little time is tried once more."""
        try:
            self._accounts.revoke(site, refresh_token, deadline - self._clock.monotonic())
        except Transient:
            if deadline - self._clock.monotonic() < self._options.request_timeout / 2:
                raise
            self._clock.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - spreads load, guards nothing
            self._accounts.revoke(site, refresh_token, deadline - self._clock.monotonic())

    def _end_others(self, site: Site | None, record: TokenRecord, ended: tuple[str, ...]) -> Exception | None:
        """End what the record had got by the time that it was deleted."""
        others = [token for token in _refresh_tokens(record) if token not in ended]
        if not others:
            return None
        try:
            return self._end(site or find_site(record.api_domain, self._options.environment), others)
        except ConfigurationError as error:
            return error

    def _delete(self, record_id: str, event: str) -> tuple[Change | None, TokenStoreError | None]:
        """Delete a record; return what was done, or why it was not."""
        try:
            change = self._transactions.run(lambda snapshot, _: plan_deletion(record_id, snapshot, event), Snapshot())
        except TokenStoreError as error:
            return None, error
        if change:
            self._stats.count("deletes")
        return change, None

    def _report(
        self, record_id: str, had_tokens: bool, refusal: Exception | None, failure: TokenStoreError | None
    ) -> None:
        """Count a revocation, or say which half of it is missing.

        Raises:
            RevocationIncomplete: One half is missing, or both.
            TokenStoreError: Redis has failed, and there was nothing to do at Zoho.
        """
        if failure and not had_tokens:
            raise failure
        cause = failure or refusal
        if cause is None:
            self._stats.count("revocations", had_tokens)
            return
        log.error("the revocation of record %s is incomplete: %s", record_id, cause)
        raise RevocationIncomplete(record_id, deleted=failure is None, revoked=refusal is None, cause=cause) from cause


def _refresh_tokens(record: TokenRecord | None) -> tuple[str, ...]:
    """Return the refresh tokens of a record, the current one first."""
    if record is None:
        return ()
    return tuple(token for token in (record.refresh_token, *record.spare_tokens()) if token)
