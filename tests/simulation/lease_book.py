"""Leases as their holders see them: who was told to refresh, and who has not yet been told that this is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulation.violation import Violation
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.merge import Wish
from zoho_token_store.script import FIND, RELEASE, RENEW, Script

if TYPE_CHECKING:
    from simulation.world import World

_LEASE = Keyspace("sim").lease("")
_LEASE_KEY = 3  # where find-5.lua has the lease among its keys
_OWNER, _TERMS = 6, 9  # and who asks, and for how long, among its arguments


@dataclass(frozen=True)
class Sent:
    """A request.

    Attributes:
        script: Which.
        keys: Its keys.
        args: Its arguments.
        wish: The save that it is a part of, if it is.
    """

    script: Script
    keys: Sequence[str]
    args: Sequence[str | int]
    wish: Wish | None


class LeaseBook:
    """Notes every lease that is given, and holds that no other is given on it before it is over.

    Args:
        world: Whose.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._given: dict[str, tuple[str, int, int]] = {}

    def executed(self, sent: Sent, reply: Any, answer: str | None) -> None:
        """Take note of what a script has answered.

        Raises:
            Violation: A lease was given while another's was not over.
        """
        if sent.script.name == FIND.name and answer in ("LEASED", "FAILING", "FRESH"):
            self._asked(sent, reply, answer)
        elif answer == "OK" and sent.wish and sent.wish.lease:
            lease = sent.wish.lease
            self._end(lease.name, lease.owner, lease.fence)
            self._end_what_ran_out(sent)
        elif answer == "OK":
            self._end_what_ran_out(sent)
        elif sent.script.name == RELEASE.name:
            for i, key in enumerate(sent.keys[::2]):
                self._end(key.removeprefix(_LEASE), str(sent.args[4 * i]), int(sent.args[4 * i + 1]))
        elif sent.script.name == RENEW.name and answer in ("HELD", "SPENT"):
            name, (owner, fence, lease_ms) = sent.keys[0].removeprefix(_LEASE), sent.args[:3]
            self._given[name] = str(owner), int(fence), self._ends_us(int(lease_ms))

    def has(self, name: str, owner: str, fence: int) -> bool:
        """Return whether a lease was given, and to nobody else since."""
        return self._given.get(name, ("", 0, 0))[:2] == (owner, fence)

    def _asked(self, sent: Sent, reply: Any, answer: str) -> None:
        name, owner = sent.keys[_LEASE_KEY].removeprefix(_LEASE), str(sent.args[_OWNER])
        holder, fence, until_us = self._given.get(name, ("", 0, 0))
        if answer == "LEASED" and (holder, fence) == (owner, int(reply[2])):
            return  # the same again, after a lost reply
        if holder == owner:
            del self._given[name]  # it asks anew: it does not refresh any more
        elif answer == "LEASED" and until_us > self._world.now_us and name not in self._world.invariants.buried:
            raise Violation(f"{owner} was given the lease {name}, which {holder} still has")
        if answer == "LEASED":
            lease_ms = int(str(sent.args[_TERMS]).split()[0])
            self._given[name] = owner, int(reply[2]), self._ends_us(lease_ms)

    def _ends_us(self, lease_ms: int) -> int:
        """Return the millisecond in which a lease ends: Redis tells the time of leases in whole ones."""
        return (self._world.now_us // 1000 + lease_ms) * 1000

    def _end_what_ran_out(self, sent: Sent) -> None:
        """A save takes the leases on what it is about that have run out: whoever had them has nothing to give back."""
        for name in (key.removeprefix(_LEASE) for key in sent.keys if key.startswith(_LEASE)):
            if name in self._given and self._given[name][2] <= self._world.now_us:
                del self._given[name]

    def _end(self, name: str, owner: str, fence: int) -> None:
        if self.has(name, owner, fence):
            del self._given[name]
