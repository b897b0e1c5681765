"""Who gets a caller its access token: the worker that is elected lets the SDK ask Zoho, or the store asks by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from zoho_token_store.background import Background
from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import RefreshRejected, RefreshTimeout, TokenStoreError
from zoho_token_store.finder import Finder, Found
from zoho_token_store.margin import LATE, Margin, ahead_margin, drop_in_margin
from zoho_token_store.match import TokenData, data_of
from zoho_token_store.options import Options
from zoho_token_store.refresher import Errand, Refresher
from zoho_token_store.site import find_site
from zoho_token_store.storage import LeaseLost

log = logging.getLogger("zoho_token_store")


class Supply(Protocol):
    """Finds records with an access token."""

    margin: Margin

    def close(self, at_most: float) -> None:
        """Let what is under way end, for some seconds at most."""

    def reset_after_fork(self) -> None:
        """Start as a process of its own."""

    def by_id(self, record_id: str) -> Found:
        """See :meth:`Finder.by_id`."""

    def by_data(self, data: TokenData, *, names_user: bool, own: bool) -> Found | None:
        """See :meth:`Finder.by_data`.

        Args:
            data: What a caller's token says.
            names_user: Whether the caller wants the user's name to be looked up if it is not known.
            own: Whether the caller brings an access token of its own that can be used.
        """


class ElectedSupply:
    """Look-ups that may give the caller a lease instead of an access token: then the SDK refreshes.

    Args:
        finder: Finds, and elects.
        options: How long before its end a token is due.
    """

    def __init__(self, finder: Finder, options: Options) -> None:
        self._finder = finder
        self.margin = drop_in_margin(options)

    def by_id(self, record_id: str) -> Found:
        """See :class:`Supply`."""
        return self._finder.by_id(record_id, self.margin)

    def by_data(self, data: TokenData, *, names_user: bool, own: bool) -> Found | None:
        """See :class:`Supply`."""
        return self._finder.by_data(data, self.margin)

    def close(self, at_most: float) -> None:
        """See :class:`Supply`: there is nothing under way."""

    def reset_after_fork(self) -> None:
        """See :class:`Supply`."""


class ManagedSupply:
    """Look-ups that always bring an access token, if there is any record: the store refreshes, ahead of time if it can.

    Args:
        finder: Finds, and elects.
        refresher: Does what this process is elected for.
        options: Times.
        clock: This machine's clocks.
    """

    def __init__(self, finder: Finder, refresher: Refresher, options: Options, clock: SystemClock) -> None:
        self._finder = finder
        self._refresher = refresher
        self._options = options
        self._clock = clock
        self._background = Background()
        self.margin = ahead_margin(options)

    def by_id(self, record_id: str) -> Found:
        """See :class:`Supply`."""
        return self._by_id(record_id, self._due())

    def by_data(self, data: TokenData, *, names_user: bool, own: bool) -> Found | None:
        """See :class:`Supply`. For a caller with an access token of its own a lease means that it is to be stored."""
        return self._supplied(lambda: self._finder.by_data(data, self._due()), data, names_user, own)

    def refreshed(self, record_id: str, margin: Margin) -> Found:
        """Find a record and refresh it if it is due, also if it can still be used: the caller waits for that."""
        return self._by_id(record_id, margin, waits=True)

    def close(self, at_most: float) -> None:
        """Let refreshes in the background end, for some seconds at most."""
        self._background.join(at_most)

    def reset_after_fork(self) -> None:
        """Start as a process of its own."""
        self._background.reset_after_fork()
        self._refresher.reset_after_fork()
        self.margin = ahead_margin(self._options)

    def _due(self) -> Margin:
        """Return the margin to ask with: a process that is busy refreshing leaves further tokens to others."""
        return self.margin if self._background.has_room else LATE

    def _by_id(self, record_id: str, margin: Margin, *, waits: bool = False) -> Found:
        found = self._supplied(
            lambda: self._finder.by_id(record_id, margin), TokenData(id=record_id), False, False, waits=waits
        )
        return found or Found(None, None)

    def _supplied(
        self, ask: Callable[[], Found | None], data: TokenData, names_user: bool, own: bool, *, waits: bool = False
    ) -> Found | None:
        """Ask, and refresh if this process is elected: in the background while the token can still be used."""
        deadline = self._clock.monotonic() + self._options.wait_timeout
        while True:
            try:
                found = ask()
            except RefreshRejected as refusal:
                if refusal.record_id is None or not self._refresher.appeal(
                    refusal.record_id, self._options.environment
                ):
                    raise
                continue
            if found is None or found.lease is None or (found.record is None and own):
                return found
            errand = self._errand(found, data, names_user)
            if found.record and found.record.access and not waits:
                self._background.run(partial(self._refresh_unseen, errand))
                return Found(found.record, None)
            try:
                return Found(self._refresher.refresh(errand), None)
            except LeaseLost:
                if self._clock.monotonic() > deadline:
                    raise RefreshTimeout(errand.record_id, self._options.wait_timeout) from None

    def _errand(self, found: Found, data: TokenData, names_user: bool) -> Errand:
        record, lease = found.record, found.lease
        assert lease is not None  # noqa: S101 - the caller has looked
        if record is not None:
            # What the record lacks the caller may bring.
            pairs = zip(data_of(record)[:8], data[:8], strict=True)
            data = TokenData._make((*(mine if mine is not None else theirs for mine, theirs in pairs), None, None))
        try:
            # In the caller's thread: the SDK's settings belong to it.
            site = find_site(data.api_domain, self._options.environment)
        except TokenStoreError:
            self._refresher.decline(lease)
            raise
        return Errand(lease, found.attempts, record, data, site, names_user)

    def _refresh_unseen(self, errand: Errand) -> None:
        """Refresh while everybody goes on with the old token; whatever goes wrong is tried again later."""
        try:
            self._refresher.refresh(errand)
        except LeaseLost:
            pass  # somebody else has seen to it
        except TokenStoreError as error:
            log.info("record %s was not refreshed ahead of time: %s", errand.record_id, error)
        except Exception:
            log.exception("the refresh of record %s ahead of time has ended with a bug", errand.record_id)
