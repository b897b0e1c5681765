"""Places for stores that need no server, and for those with partitions: each stands where the suite has a back end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from servers import Server
from zoho_token_store import (
    CoordinatedTokenStore,
    Memory,
    MemoryTokenStore,
    PartitionedTokenStore,
    RedisTokenStore,
    SQLiteTokenStore,
)


class MemoryPlace:
    """The memory that all stores of a test share."""

    name = "memory"

    def __init__(self) -> None:
        self._memory = Memory()

    def store(self, namespace: str, **options: Any) -> CoordinatedTokenStore:
        """Return a store."""
        return MemoryTokenStore(self._memory, namespace, **options)


class SQLitePlace:
    """A file that all stores of a test share.

    Args:
        name: ``sqlite``, or ``sealed-sqlite`` for stores with keys.
        folder: Where it is.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.path = folder / "tokens.db"

    def store(self, namespace: str, **options: Any) -> CoordinatedTokenStore:
        """Return a store."""
        return SQLiteTokenStore(self.path, namespace, **options)


class PartitionedPlace:
    """Partitions that all stores of a test share: its tests look at them as at one store, whatever is in which.

    Args:
        name: ``partitioned`` for partitions in memory, ``partitioned-redis`` for some in Redis.
        server: The server of these.
    """

    def __init__(self, name: str, server: Server | None = None) -> None:
        self.name = name
        self.server = server
        self._memory = Memory()

    def partition(self, namespace: str, number: int, **options: Any) -> CoordinatedTokenStore:
        """Return a store for one partition."""
        if self.server:
            return RedisTokenStore.from_url(self.server.url, f"{namespace}.{number}", **options)
        return MemoryTokenStore(self._memory, f"{namespace}.{number}", **options)

    def store(self, namespace: str, **options: Any) -> PartitionedTokenStore:
        """Return a store."""
        return PartitionedTokenStore([self.partition(namespace, number, **options) for number in range(PARTITIONS)])


LocalPlace = MemoryPlace | SQLitePlace | PartitionedPlace
PARTITIONED = ("partitioned", "partitioned-redis")
LOCAL = ("memory", "sqlite", "sealed-sqlite", *PARTITIONED)
"""Names of the places."""
PARTITIONS = 5
"""By this number the suite's two clients, and what has none, are in three partitions."""


def make_place(name: str, folder: Path, server: Callable[[], Server]) -> LocalPlace:
    """Return a new place by its name, with a folder of its own, and a server for those that need one."""
    if name in PARTITIONED:
        return PartitionedPlace(name, server() if name.endswith("redis") else None)
    return MemoryPlace() if name == "memory" else SQLitePlace(name, folder)
