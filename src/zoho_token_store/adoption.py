"""Tokens that come from another store: what they come to beside what is here. Rules without I/O.

The newer one wins, and that is the one that expires later. The older one fills gaps and replaces nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from zoho_token_store.change import Change
from zoho_token_store.keyspace import pointer, read_deletion, tombstone
from zoho_token_store.match import TokenData, data_of
from zoho_token_store.merge import Wish
from zoho_token_store.plan import follow, plan_save
from zoho_token_store.record import DURABLE, TokenRecord
from zoho_token_store.snapshot import Snapshot

CREATED, UPDATED, LEFT, CONFLICT = "created", "updated", "left", "conflict"

ENDED = "its access token has ended, and there is nothing to get another with"
DELETED = "it was deleted here"
OTHER_CLIENT = "the token of another client has its refresh or grant token"
OTHER_USER = "the token of another user has its refresh or grant token"

TWO_TOKENS = "its user and its credential are those of two tokens there"


class Adoption(NamedTuple):
    """What has become of a token that came from another store.

    Attributes:
        outcome: ``"created"``, ``"updated"``, ``"left"`` (there is nothing to do) or ``"conflict"`` (nothing was done,
            and somebody has to decide).
        record_id: The id that it has here; None if it is not here.
        reason: Why it was left or is in conflict, or what is different here; "" if there is nothing to say. Never a
            secret or a user name.
    """

    outcome: str
    record_id: str | None
    reason: str = ""


def news(data: TokenData, held: TokenData, *, newer: bool) -> TokenData:
    """Return what of a token is to be written to one that is here, under the id of that one.

    Args:
        data: The token that comes.
        held: The one that is here.
        newer: Whether the one that comes expires later; else it only fills gaps.
    """
    taken = {
        name: value
        for name in DURABLE
        if (value := getattr(data, name)) is not None
        and value != getattr(held, name)
        and (newer or getattr(held, name) is None)
    }
    if newer and data.access_token not in (None, held.access_token):
        taken |= {"access_token": data.access_token, "expires_in": data.expires_in}
    return TokenData(held.id, **taken)


def is_nothing(data: TokenData) -> bool:
    """Return whether a token says nothing beside its id."""
    return data == TokenData(data.id)


def shares_credential(one: TokenData, other: TokenData) -> bool:
    """Return whether two tokens have the same refresh or grant token, and so are one grant."""
    pairs = ((one.refresh_token, other.refresh_token), (one.grant_token, other.grant_token))
    return any(mine is not None and mine == theirs for mine, theirs in pairs)


def is_same_grant(one: TokenData, other: TokenData) -> bool:
    """Return whether two tokens that have one id are one grant: ids of two stores may be the same by chance."""
    if None not in (one.client_id, other.client_id) and one.client_id != other.client_id:
        return False
    if None not in (one.user_name, other.user_name):
        return one.user_name == other.user_name
    return shares_credential(one, other) or (
        one.access_token is not None and one.access_token == other.access_token
    )  # fmt: skip


def told_by(record: TokenRecord) -> TokenData:
    """Return what a record says, with its access token."""
    return data_of(record)._replace(access_token=record.access.token if record.access else None)


def ends_ms(record: TokenRecord, default_life_ms: int, now_ms: int) -> int:
    """Return when the access token of a record ends or has ended, by the store's clock: what decides which is newer.

    Of one that is gone nothing is known but that it was not written later than the record, by a refresh or by the
    report that it was rejected.
    """
    if record.access is None:
        return record.written_ms() + default_life_ms
    return record.access.expires_ms or now_ms + record.access.life_ms


class Arrival:
    """One token on its way into a store: the same in all attempts to write it.

    Args:
        wish: What it says, as of a save.
        expires_ms: When its access token ends or has ended, by the store's clock; 0 if it does not say.
        default_life_ms: How long an access token lives.
    """

    def __init__(self, wish: Wish, expires_ms: int, default_life_ms: int) -> None:
        self.wish = wish
        self._data = wish.data
        self._access = wish.access
        self._expires_ms = expires_ms
        self._default_life_ms = default_life_ms
        self._sent: set[str] = set()
        self.adoption = Adoption(LEFT, None)

    def attempt(self, change: Change) -> None:
        """Take note of what is sent now: its fence stays, so that no repeat passes for newer."""
        self.wish.fence = change.fence
        self._sent |= self.wish.touched

    def plan(self, snapshot: Snapshot, now_ms: int) -> Change | None:
        """Plan what to write; ``adoption`` is then what it comes to.

        Raises:
            TokenStoreError: See :func:`plan_save`.
        """
        record_id = _kept_id(self._data, snapshot)
        change = self._plan_save(self._data._replace(id=record_id), snapshot, now_ms)
        if change is None:  # an earlier attempt has written it
            return None
        if not change.before:
            return self._create(change, snapshot)
        held = next(record for record in change.before if change.after and record.id == change.after.id)
        if None not in (held.user_name, self._data.user_name) and held.user_name != self._data.user_name:
            self.adoption = Adoption(CONFLICT, held.id, OTHER_USER)
            return None
        if len(change.before) > 1:
            self.adoption = Adoption(CONFLICT, held.id, TWO_TOKENS)
            return None
        newer = self._expires_ms > ends_ms(held, self._default_life_ms, now_ms)
        brings = news(self._data, told_by(held), newer=newer)
        change = None if is_nothing(brings) else self._plan_save(brings, snapshot, now_ms)
        if change is None or change.after is None or _says(change.after) == _says(held):
            self.adoption = Adoption(LEFT, held.id)
            return None
        self.adoption = Adoption(UPDATED, held.id)
        return change

    def _plan_save(self, data: TokenData, snapshot: Snapshot, now_ms: int) -> Change | None:
        access = self._access if data.access_token else None
        # Only what was sent may have been written: what it looked like before that was a guess.
        self.wish = replace(self.wish, data=data, access=access, touched={*self._sent})
        return plan_save(self.wish, snapshot, now_ms)

    def _create(self, change: Change, snapshot: Snapshot) -> Change | None:
        names = [
            pointer(kind, value)
            for kind, value in (("refresh", self._data.refresh_token), ("grant", self._data.grant_token))
            if value is not None
        ]
        if not names and self._data.id:
            names = [self._data.id]
        if any([read_deletion(snapshot.string(tombstone(name))) is not None for name in names]):
            self.adoption = Adoption(LEFT, None, DELETED)
            return None
        record_id = change.after.id if change.after else None
        reason = "" if self._data.id in (None, record_id) else "its id is another token's here: it has a new one"
        self.adoption = Adoption(CREATED, record_id, reason)
        return change


def _kept_id(data: TokenData, snapshot: Snapshot) -> str | None:
    """Return the id that a token keeps; None if that is another's here, or was."""
    if data.id is None:
        return None
    record = follow(data.id, snapshot)
    if record is not None:
        return data.id if is_same_grant(data, told_by(record)) else None
    return None if snapshot.string(tombstone(data.id)) else data.id


def _says(record: TokenRecord) -> tuple[object, ...]:
    return *record[1:9], record.access
