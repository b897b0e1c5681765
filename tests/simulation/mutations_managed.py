"""Rules of managed refresh, broken on purpose; see `mutations.py`."""

from __future__ import annotations

from typing import Any

from simulation.mutations import Mutation, edited
from zoho_token_store import merge, plan, refresher
from zoho_token_store.accounts import Credentials
from zoho_token_store.background import Background
from zoho_token_store.finder import Finder
from zoho_token_store.merge import Wish
from zoho_token_store.record import Bookkeeping, TokenRecord
from zoho_token_store.redis_repository import RedisRepository
from zoho_token_store.refresher import Errand, Refresher
from zoho_token_store.renewal import Renewals
from zoho_token_store.script import FIND, RENEW


def _owner_by_thread(self: Finder) -> tuple[str, str]:
    """Take a thread that asks anew for one whose refresh has failed, though it goes on in the background."""
    return self._owners.this_thread(), self._owners.nonce()


def _plan_uncompared(record: TokenRecord, code: str, site: str, snapshot: Any, now_ms: int) -> Any:
    """Mark a record as refused, whatever was saved since its credentials were offered."""
    stored = snapshot.record(record.id)
    return stored and plan.plan_rejection(stored, code, site, snapshot, now_ms)


def _without_pause(original: Any) -> Any:
    """Give a lease back without a word of the failure."""
    return lambda self, lease, pause: original(self, lease, None)


def _without_spares(original: Any) -> Any:
    """Offer nothing but the current refresh token."""

    def stand_in(self: Refresher, errand: Errand) -> Any:
        record = errand.record and errand.record._replace(spares=None)
        return original(self, errand._replace(record=record))

    return stand_in


def _without_successor(*values: Any) -> Credentials:
    """Offer the first refresh token that this process has ever seen."""
    credentials = Credentials(*values)
    first = _FIRST.setdefault(credentials.client_id, credentials.refresh_token or "")
    if not first:
        del _FIRST[credentials.client_id]
    return credentials._replace(refresh_token=first or credentials.refresh_token)


_FIRST: dict[str | None, str] = {}


def _latest_wins(original: Any) -> Any:
    """Make the refresh token current that is saved last, under whichever lease it was got."""

    def stand_in(wish: Wish, record: TokenRecord, book: Bookkeeping, fence: int, token: str | None) -> Any:
        return original(wish, record, book, max(fence, book.refresh_fence), token)

    return stand_in


MUTATIONS = (
    Mutation(
        "a lease is not renewed", ("managed_slow-quiet",), "while",
        ((Renewals, "_try", lambda self, lease: None),),
    ),
    Mutation(
        "calls are not counted", ("managed_throttled-quiet",), "in a window",
        (), edited(RENEW, ("redis.call('SET', calls", "tostring('SET', calls")),
    ),
    Mutation(
        "the lease is not made sure of before a call", ("managed_boot-quiet",), "made sure",
        ((RedisRepository, "take_call", lambda self, lease, credential: None),),
    ),
    Mutation(
        "who asks anew passes for one that has failed", ("managed_threads-quiet", "managed_slow-quiet"), "while",
        ((Finder, "_asker", _owner_by_thread),),
    ),
    Mutation(
        "a refusal is written without comparing", ("managed_refused-quiet",), "marked as refused",
        ((refresher, "plan_rejection", _plan_uncompared),),
    ),
    Mutation(
        "spare refresh tokens are not tried", ("managed_spares-quiet",), "marked as refused",
        ((Refresher, "_ask", _without_spares(Refresher._ask)),),
    ),
    Mutation(
        "a failure is not said to the fleet", ("managed_outage-quiet",), "after a failure",
        ((Refresher, "_give_back", _without_pause(Refresher._give_back)),),
    ),
    Mutation(
        "a pause is not heeded", ("managed_outage-quiet",), "in a pause",
        (), edited(FIND, ("if now < retry_ms then", "if false then")),
    ),
    Mutation(
        "a refusal is not heeded", ("managed_refused-quiet",), "refused for good",
        (), edited(FIND, ("if record[14] then", "if false then")),
    ),
    Mutation(
        "a token that can be used is waited for", ("managed_slow-quiet", "managed_ahead-quiet"), "WAIT for",
        (), edited(FIND, ("local usable = left > usable_ms and", "local usable = false and")),
    ),
    Mutation(
        "a look-up refreshes ahead of time by itself", ("managed_ahead-quiet",), "in a look-up",
        ((Background, "run", lambda self, job: job()),),
    ),
    Mutation(
        "a rotated refresh token is offered again", ("managed_rotation-quiet",), "has a successor",
        ((refresher, "Credentials", _without_successor),),
    ),
    Mutation(
        "a late successor takes the place of a newer one", ("managed_overlap-quiet",), "took the place",
        ((merge, "_refresh_token", _latest_wins(merge._refresh_token)),),
    ),
    # Errors that the simulation has found, put back in.
    Mutation(
        "found: what was stored is handed out unseen", ("managed_changes-quiet",), "the SDK would refresh",
        ((Refresher, "_can_be_used", lambda self, record, granted: True),),
    ),
)  # fmt: skip
"""All of them."""
