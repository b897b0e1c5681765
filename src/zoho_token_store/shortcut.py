"""Look-ups that need no Redis: answers that this process was given, kept as long as no event says otherwise."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, NamedTuple

from zoho_token_store.breaker import Breaker
from zoho_token_store.clock import ServerClock
from zoho_token_store.errors import StoreUnavailable, TokenStoreError
from zoho_token_store.feed import EventFeed
from zoho_token_store.finder import Found
from zoho_token_store.merge import Wish
from zoho_token_store.near import Near
from zoho_token_store.options import USABLE
from zoho_token_store.plan import plan_restoration
from zoho_token_store.record import Access, TokenRecord
from zoho_token_store.sdk import Carried, carry, make_token
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.stats import Stats
from zoho_token_store.supply import Supply
from zoho_token_store.transaction import Transactions

log = logging.getLogger("zoho_token_store")

DUE_AGAIN = 1.0
"""Seconds for which a token that is due is handed out without asking anew who refreshes it."""


class Known(NamedTuple):
    """A record with a usable access token, and the attributes of the token that is made of it."""

    record: TokenRecord
    attributes: dict[str, Any]

    def __repr__(self) -> str:
        return f"Known(record={self.record!r}, ...)"


def give_back(transactions: Transactions, stats: Stats, held: list[Known], witness: bool) -> None:
    """Give records back that Redis has lost, as far as nothing newer is there.

    Args:
        transactions: Writes plans.
        stats: Where it is counted.
        held: What this process knew when Redis lost its data.
        witness: Whether it was listening until then, so that it has seen every deletion. Else it gives nothing back.

    Raises:
        StoreUnavailable: Redis does not take all of it; it is to be tried again.
    """
    away: StoreUnavailable | None = None
    log.error("Redis has lost data; this process %s", "gives back what it knows" if witness else "may have missed more")
    for known in held if witness else ():
        plan = partial(plan_restoration, known.record)
        try:
            change = transactions.run(plan, Snapshot())
        except StoreUnavailable as error:
            away = error
            continue
        except TokenStoreError as error:
            log.error("record %s could not be given back: %s", known.record.id, error)
            continue
        if change:
            stats.count("restored")
            log.warning("record %s is given back to Redis", known.record.id)
    if away:
        raise away


class Shortcut:
    """Answers look-ups from the process, and learns from those that Redis has answered.

    Args:
        near: What is held.
        feed: Keeps it right.
        breaker: Lets no look-up wait for a Redis that is known to be away.
        server_clock: Redis's clock.
        supply: Knows how long before its end a token is due.
        origin: Marks tokens as handed out by this store.
    """

    def __init__(
        self,
        near: Near[Known],
        feed: EventFeed[Known],
        breaker: Breaker,
        server_clock: ServerClock,
        supply: Supply,
        origin: object,
    ) -> None:
        self._near = near
        self._feed = feed
        self._breaker = breaker
        self._server_clock = server_clock
        self._supply = supply
        self._origin = origin
        self.find = near.find

    def learn(self, key: Hashable, ask: Callable[[], Found | None]) -> Found | None:
        """Ask Redis, and remember what it says; if it does not answer, hand out what is known.

        Args:
            key: A record id, or a selector as a tuple.
            ask: Makes the look-up.
        """
        self._feed.start()
        ticket = self._near.ticket()
        try:
            found = self._breaker.call(ask)
        except StoreUnavailable:
            known = self._near.last_resort(key)
            if known is None:
                raise
            return Found(known.record, None)
        if ticket is not None and found and found.record and found.lease is None and found.record.access:
            self._keep(key, found.record, ticket)
        return found

    def hold(self, wish: Wish) -> None:
        """Go on with the token of a save that Redis does not take: this process has it, and nobody else a newer one.

        Not if a refresh has brought a new refresh token too: until that is stored the old access token goes on. And not
        with what an application has changed by itself, such as a new login: neither with it nor with what was before.
        """
        record, access = wish.baseline, wish.access
        if record is None or access is None or (wish.intended and not wish.lease):
            self.drop(wish.data.id)
        elif not wish.intended.keys() & {"refresh_token", "grant_token"}:
            refreshed = record._replace(**wish.intended, access=access)  # type: ignore[arg-type]  # durable fields
            self._near.hold(record.id, self._known(refreshed), self._usable_s(refreshed, access))

    def drop(self, record_id: str | None) -> None:
        """Forget a record that this process is changing: its own event comes a moment later."""
        if record_id is not None:
            self._near.drop(record_id)

    def hits(self) -> dict[str, int]:
        """Return the counters of what was answered here."""
        while_connected, in_outages = self._near.hits()
        emptied = self._feed.counts["missed"] + self._feed.counts["losses"]
        return {"near_hits": while_connected + in_outages, "near_outage_hits": in_outages, "near_emptied": emptied}

    def close(self) -> None:
        """Stop following events."""
        self._feed.close()

    def reset_after_fork(self) -> None:
        """Start empty; the parent's thread stays with the parent."""
        self._near.reset_after_fork()
        self._breaker.reset_after_fork()
        self._feed.reset_after_fork()

    def _keep(self, key: Hashable, record: TokenRecord, ticket: int) -> None:
        access = record.access
        if access is None:
            return
        spare_s = self._supply.margin.spare_ms(access, self._server_clock.now_ms()) / 1000
        usable_s = self._usable_s(record, access)
        fresh_s = min(spare_s if spare_s > 0 else DUE_AGAIN, usable_s)
        self._near.put(key, record.id, self._known(record), fresh_s, usable_s, ticket)

    def _known(self, record: TokenRecord) -> Known:
        token = make_token(record, self._server_clock, usable=True)
        carry(token, Carried(self._origin, record, None))
        return Known(record, vars(token))

    def _usable_s(self, record: TokenRecord, access: Access) -> float:
        """Return how long an access token can be used, seconds; if its end is not known, as long as Redis keeps it."""
        now_ms = self._server_clock.now_ms()
        if access.expires_ms:
            return (access.expires_ms - now_ms) / 1000 - USABLE
        return (record.written_ms() + access.life_ms - now_ms) / 1000
