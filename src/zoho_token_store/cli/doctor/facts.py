"""What is known of a store's surroundings. Nothing of it is secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DISK_SECONDS = 3
"""How long a write is given to be on disk: with ``appendfsync everysec`` it takes a second or so."""


@dataclass(frozen=True)
class Way:
    """How Redis is reached.

    Attributes:
        local: Whether it stays on this machine, all of it: a Unix socket, or loopback addresses of the server and of
            whoever is asked for it.
        tls: Whether it is encrypted.
        verified: Whether the server's certificate and the name in it are checked.
    """

    local: bool
    tls: bool = False
    verified: bool = True


@dataclass(frozen=True)
class Records:
    """What the records of a namespace look like, of those that were looked at.

    Attributes:
        seen: How many were.
        readable: How many of them are in the clear.
        sealed_under: Ids of the keys under which the others are sealed.
    """

    seen: int = 0
    readable: int = 0
    sealed_under: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Keys:
    """The keys that this process was given.

    Attributes:
        ids: Of the encryption keys.
        plain_pointers: Whether digests in key names are made without a key, alone or beside others.
        takes_readable: Whether records in the clear are taken, and sealed.
    """

    ids: frozenset[str] = frozenset()
    plain_pointers: bool = True
    takes_readable: bool = False


@dataclass(frozen=True)
class Neighbours:
    """What else lies in the database, of the keys that were looked at.

    Attributes:
        namespaces: How many other namespaces of token stores there are.
        foreign: How many keys are of something else.
    """

    namespaces: int = 0
    foreign: int = 0


@dataclass(frozen=True)
class OnDisk:
    """What a server with an append-only file says of a write when it is asked whether that is on disk.

    Attributes:
        here: Whether it has it there itself.
        replicas: How many replicas have it there.
        refused: Whether the user may not ask.
    """

    here: bool = False
    replicas: int = 0
    refused: bool = False


@dataclass(frozen=True)
class Facts:
    """All that the checks go by. None stands for what could not be found out.

    Attributes:
        way: How Redis is reached.
        min_replicas: How many replicas a save of the workers waits for.
        info: What ``INFO`` says, by name; empty if it is refused.
        skew_ms: How far this machine's clock is ahead of Redis's, ms.
        open_to_all: Whether anybody who reaches Redis may read the namespace without a password.
        missing: Commands that the server does not have.
        refused: Commands that the user may not run.
        on_disk: What has become of a write; None too if nobody waits for replicas, or if the server cannot tell.
        records: What the records look like.
        neighbours: What else is in the database.
        keys: The keys of this process.
        packages: Which of the optional packages are there, by name.
        sdks: Distributions of the Zoho CRM SDK that are installed, with their versions.
        unknown: What could not be found out, in words.
    """

    way: Way
    min_replicas: int = 0
    info: Mapping[str, str] = field(default_factory=dict)
    skew_ms: float | None = None
    open_to_all: bool | None = None
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    on_disk: OnDisk | None = None
    records: Records | None = None
    neighbours: Neighbours | None = None
    keys: Keys = Keys()
    packages: frozenset[str] = frozenset()
    sdks: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def number(self, name: str) -> int | None:
        """Return a number that ``INFO`` tells."""
        told = self.info.get(name, "")
        return int(told) if told.isdigit() else None
