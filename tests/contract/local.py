"""Places for stores that need no server: each stands where the suite has a back end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoho_token_store import CoordinatedTokenStore, Memory, MemoryTokenStore, SQLiteTokenStore


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


LocalPlace = MemoryPlace | SQLitePlace
LOCAL = ("memory", "sqlite", "sealed-sqlite")
"""Names of the places."""


def make_place(name: str, folder: Path) -> LocalPlace:
    """Return a new place by its name, with a folder of its own."""
    return MemoryPlace() if name == "memory" else SQLitePlace(name, folder)
