"""What the stores on Redis have in common: a server of their own, filled by the pattern of what each of them writes."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from benchmarks import copies
from benchmarks.rivals.rival import Site
from benchmarks.server import open_server

SETTLE = 0.3
"""Seconds in which the server ends the resizing of its own tables."""


class RedisPlace(ABC):
    """A server that holds one store's tokens.

    Args:
        site: Where it is.
    """

    def __init__(self, site: Site) -> None:
        self.server = site.stack.enter_context(open_server())
        self.ids: list[str] = []
        self._empty = self._used_memory()

    @classmethod
    def is_there(cls) -> str:
        return ""

    @abstractmethod
    def layout(self) -> copies.Layout:
        """Return how this store saves a token."""

    def load(self, count: int) -> list[str]:
        with self.server.client() as client:
            client.flushall()
        self.ids = copies.fill(self.server, self.layout(), count)
        return self.ids

    def used(self) -> int:
        return self._used_memory() - self._empty

    def _used_memory(self) -> int:
        time.sleep(SETTLE)
        with self.server.client() as client:
            return int(client.info("memory")["used_memory"])
