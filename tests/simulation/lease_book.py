"""Leases as their holders see them: who was told to refresh, and who has not yet been told that this is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulation.violation import Violation
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.merge import Wish
from zoho_token_store.script import FIND, RELEASE, Script

if TYPE_CHECKING:
    from simulation.world import World

_LEASE = Keyspace("sim").lease("")
_LEASE_KEY = 3  # where find-5.lua has the lease among its keys


@dataclass(frozen=True)
class Sent:
    """A request.

    Attributes:
        script: Which.
        keys: Its keys.
        args: Its arguments.
        wish: The save that it is a part of, if it is.
        owner: Whose.
    """

    script: Script
    keys: Sequence[str]
    args: Sequence[str | int]
    wish: Wish | None
    owner: str


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
        elif sent.script.name == RELEASE.name:
            for i, key in enumerate(sent.keys[::2]):
                self._end(key.removeprefix(_LEASE), str(sent.args[2 * i]), int(sent.args[2 * i + 1]))

    def _asked(self, sent: Sent, reply: Any, answer: str) -> None:
        name, owner = sent.keys[_LEASE_KEY].removeprefix(_LEASE), sent.owner
        holder, fence, until_us = self._given.get(name, ("", 0, 0))
        if answer == "LEASED" and (holder, fence) == (owner, int(reply[2])):
            return  # the same again, after a lost reply
        if holder == owner:
            del self._given[name]  # it asks anew: it does not refresh any more
        elif answer == "LEASED" and until_us > self._world.now_us and name not in self._world.invariants.buried:
            raise Violation(f"{owner} was given the lease {name}, which {holder} still has")
        if answer == "LEASED":
            # Until the millisecond in which it ends: Redis tells the time of leases in whole ones.
            ends_us = (self._world.now_us // 1000 + int(self._world.lease_ttl * 1000)) * 1000
            self._given[name] = owner, int(reply[2]), ends_us

    def _end(self, name: str, owner: str, fence: int) -> None:
        if self._given.get(name, ("", 0, 0))[:2] == (owner, fence):
            del self._given[name]
