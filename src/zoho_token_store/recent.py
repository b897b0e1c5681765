"""A bounded memory of what was seen last."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A dictionary of bounded size that forgets what was put in first; safe to share between threads.

    Args:
        most: How many entries it holds.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start empty; the lock may have been held at the fork."""
        self._lock = threading.Lock()
        self._entries: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return what was put in under a key, or None."""
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Put something in, and the oldest out if there is no room."""
        with self._lock:
            self._entries.pop(key, None)
            if len(self._entries) >= self._most:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = value
