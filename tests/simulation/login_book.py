"""Every refresh token that a save has brought, and that no acknowledged one is lost to anything but a newer one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulation.state import State
from simulation.violation import Violation
from zoho_token_store.change import credential_pointers
from zoho_token_store.keyspace import pointer
from zoho_token_store.merge import Wish
from zoho_token_store.record import TokenRecord

if TYPE_CHECKING:
    from simulation.world import World

NOT_YET = 1 << 62


@dataclass
class Kept:
    """A refresh token that a save has brought.

    Attributes:
        from_us: The earliest moment at which whoever brought it began: its lease, or the call without one.
        to_us: The latest such moment.
        unleased: Whether any save of it had no lease.
        acknowledged: Whether a save of it has returned.
        over: Whether it may be gone: superseded by one that began later, or deleted.
    """

    from_us: int
    to_us: int
    unleased: bool = False
    acknowledged: bool = False
    over: bool = False


class LoginBook:
    """Watches the refresh tokens of one world.

    Args:
        world: Which.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._tokens: dict[str, Kept] = {}
        self._saving: dict[str, Kept] = {}
        self._rotated: set[str] = set()
        self.bare: set[str] = set()
        """Refresh tokens that were saved without an access token, so that an older one stays: None erases nothing."""

    def saving(self, token: str, wish: Wish) -> None:
        """Take note that a save brings a refresh token."""
        if wish.data.access_token is None:
            self.bare.add(token)
        began = wish.lease.fence if wish.lease else self._world.now_us
        ends = wish.lease.fence if wish.lease else NOT_YET
        predecessor = self._tokens.get(wish.spent or "")
        if predecessor:
            ends = max(ends, predecessor.to_us)  # it takes the place of another, also of one that came later
        if wish.spent and wish.spent != token:
            self._rotated.add(wish.spent)
        known = pointer("refresh", token) in State(self._world.memory).pointers
        if known and token not in self._tokens:
            began = 0  # it was deleted, and another save on its way has brought it back
        if not known and self.is_over(token):
            self._tokens.pop(token, None)  # superseded so long ago that it is forgotten: another login
        kept = self._tokens.setdefault(token, Kept(began, ends))
        kept.unleased |= wish.lease is None
        self._saving[wish.nonce] = kept
        if not kept.acknowledged:
            kept.from_us, kept.to_us = min(kept.from_us, began), max(kept.to_us, ends)

    def saved(self, wish: Wish) -> None:
        """Take note that a save has returned; its token may have been deleted meanwhile, and brought by another."""
        kept = self._saving.pop(wish.nonce, None)
        if kept and kept is self._tokens.get(wish.data.refresh_token or "") and not kept.acknowledged:
            kept.acknowledged, kept.to_us = True, min(kept.to_us, self._world.now_us)

    def is_over(self, token: str) -> bool:
        """Return whether a refresh token may be gone."""
        return token not in self._tokens or self._tokens[token].over

    def forget(self, record: TokenRecord) -> None:
        """Take note of a deletion: these need not be kept; if one is saved again, that is another login."""
        names = credential_pointers(record)
        for token in [token for token in self._tokens if pointer("refresh", token) in names]:
            del self._tokens[token]

    def check(self, state: State) -> None:
        """No acknowledged refresh token is lost.

        Raises:
            Violation: One is neither current nor kept aside, or has given way to an older one.
        """
        held = {token for record in state.records.values() for token in (record.refresh_token, *record.spare_tokens())}
        for token, kept in self._tokens.items():
            if kept.over or not kept.acknowledged or token in held:
                continue
            record = state.records.get(state.pointers.get(pointer("refresh", token), ""))
            if record is None or record.refresh_token is None:
                raise Violation(f"the acknowledged {token} is lost")
            self._check_order(token, record.refresh_token)
            kept.over = True
        for record in state.records.values():
            for spare in record.spare_tokens():
                self._check_order(spare, record.refresh_token or "")

    def _check_order(self, older: str, newer: str) -> None:
        """The current refresh token is the one whose login or refresh began last."""
        kept, successor = self._tokens.get(older), self._tokens.get(newer)
        # A save without a lease is dated by its worker, whose view of Redis's time is as old as the last reply is slow.
        slack_us = 60_000_000 if self._world.faults.stall else 10_000
        if older in self._rotated:
            return  # whoever brings it has not heard that it is spent
        if older in self._world.zoho.revoked:
            return  # a store that refreshes has tried the others, and taken one that works
        if kept and successor and kept.acknowledged and successor.to_us < kept.from_us - slack_us * kept.unleased:
            raise Violation(f"{newer} took the place of {older}, which is newer")
