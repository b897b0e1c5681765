"""Who knows where a namespace lives, and what their answers mean: rules without I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import redis

from zoho_token_store.dialer import Address

_NOWHERE = ("", "?", None)
"""What a node says that does not know its own address: it is the one that the question was sent to."""


class Found(NamedTuple):
    """What an answer has told.

    Attributes:
        place: The master.
        others: Who else may be asked the same; none if that is not said.
    """

    place: Address
    others: list[Address]


class Directory(Protocol):
    """What is asked, and how its answer is read."""

    @property
    def question(self) -> tuple[str | int, ...]:
        """The command."""

    @property
    def proof(self) -> tuple[str | int, ...]:
        """What each new connection is asked before it is believed to lead to the master; empty for nothing."""

    def read(self, reply: Any, asked: Address) -> Found:
        """Read the answer.

        Args:
            reply: What was answered.
            asked: By whom.

        Raises:
            redis.ConnectionError: It does not know.
        """

    def proves(self, reply: Any) -> bool:
        """Return whether the answer to ``proof`` is a master's."""

    def locate(self, host: str | None, port: int, asked: Address) -> Address:
        """Return the address that a server means when it names one."""


@dataclass(frozen=True)
class Sentinels:
    """The Sentinels of a service.

    Attributes:
        service: The name under which they watch the master.
        forced_host: Where to connect to whatever host they name, if they are behind a translation of addresses.
    """

    service: str
    forced_host: str | None = None
    # A replica would answer look-ups, and a Sentinel that was cut off itself may still name one.
    proof: tuple[str | int, ...] = ("INFO", "replication")

    @property
    def question(self) -> tuple[str | int, ...]:
        """The command that clients are meant to use."""
        return ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)

    def read(self, reply: Any, asked: Address) -> Found:
        """Read host and port; nothing if the service is not known."""
        if not reply:
            raise redis.ConnectionError("the Sentinels know no service of that name")
        return Found(self.locate(reply[0], int(reply[1]), asked), [])

    def proves(self, reply: Any) -> bool:
        """Return whether a server says that it is a master."""
        return "role:master" in str(reply).split()

    def locate(self, host: str | None, port: int, asked: Address) -> Address:
        """Return where a named server is reached."""
        return Address(self.forced_host or host or asked.host, port)


@dataclass(frozen=True)
class ClusterNodes:
    """The nodes of a Redis Cluster; each knows who has which slot.

    Attributes:
        slot: The namespace's.
        remap: Where a node is reached, if not where it says, as redis-py's ``address_remap``.
    """

    slot: int
    remap: Callable[[tuple[str, int]], tuple[str, int]] | None = None
    question: tuple[str | int, ...] = ("CLUSTER", "SLOTS")
    proof: tuple[str | int, ...] = ()  # a replica sends whoever asks it to the master

    def read(self, reply: Any, asked: Address) -> Found:
        """Read ranges of slots, each with its master and then its replicas."""
        place: Address | None = None
        others: dict[Address, None] = {}
        for first, last, *nodes in reply:
            located = [self.locate(node[0], int(node[1]), asked) for node in nodes]
            others.update(dict.fromkeys(located))
            if located and int(first) <= self.slot <= int(last):
                place = located[0]
        if place is None:
            raise redis.ConnectionError("no node of the cluster has the namespace's slot")
        return Found(place, list(others))

    def proves(self, reply: Any) -> bool:
        """Return True: nothing is asked."""
        return True

    def locate(self, host: str | None, port: int, asked: Address) -> Address:
        """Return where a named node is reached."""
        named = Address(asked.host if host is None or host in _NOWHERE else host, port)
        return Address(*self.remap(named)) if self.remap else named
