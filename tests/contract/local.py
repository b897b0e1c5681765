"""Places for stores that need no server: each stands where the suite has a back end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoho_token_store import CoordinatedTokenStore, Memory, MemoryTokenStore


class MemoryPlace:
    """The memory that all stores of a test share."""

    name = "memory"

    def __init__(self) -> None:
        self._memory = Memory()

    def store(self, namespace: str, **options: Any) -> CoordinatedTokenStore:
        """Return a store."""
        return MemoryTokenStore(self._memory, namespace, **options)


LocalPlace = MemoryPlace
LOCAL = ("memory",)
"""Names of the places."""


def make_place(name: str, folder: Path) -> LocalPlace:
    """Return a new place by its name, with a folder of its own."""
    return {"memory": MemoryPlace}[name]()
