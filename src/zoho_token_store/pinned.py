"""A way to Redis for one save, which can tell whether replicas have it."""

from __future__ import annotations

from typing import Any

import redis
from redis import exceptions

from zoho_token_store.clock import SystemClock
from zoho_token_store.connection import Connections
from zoho_token_store.errors import NotDurable
from zoho_token_store.link import RedisLink, ask, passing
from zoho_token_store.route import Route
from zoho_token_store.script import MARK
from zoho_token_store.stats import Stats

TICK = 0.2
"""How late a WAIT may end, seconds: Redis looks at the time ten times a second."""

MARK_MS = 60_000
"""How long a mark stays, ms."""


class OneConnection(Connections):
    """A connection that is kept between exchanges, however little time was left when it was made."""

    def _give(self, connection: Any) -> None:
        self._idle.append(connection)


class PinnedLink(RedisLink):
    """A link for one thread and one save: all exchanges share one budget, and one connection for as long as it lasts.

    Args:
        route: Leads to the server of the namespace.
        budget: Seconds for all of it.
        clock: This machine's clocks.
        stats: Where retries are counted.
    """

    def __init__(self, route: Route, budget: float, clock: SystemClock, stats: Stats) -> None:
        super().__init__(route, budget, clock, stats)
        self._connections = OneConnection(route, budget / 2 + TICK)
        self._exchange = self._remember
        self._checked = True  # by the store's own link
        self._ends = clock.monotonic() + budget
        self._used: Any = None
        self._on_disk = True

    def confirm(self, mark: str, replicas: int) -> bool:
        """Return when replicas have everything that the connection of the last exchange led to.

        Args:
            mark: A key that is written for it.
            replicas: How many.

        Returns:
            Whether they have; not if that connection is gone, so that nobody can tell.

        Raises:
            NotDurable: Fewer have it when the budget is used up.
            StoreUnavailable: Redis refuses to say, or the budget is used up over errors.
        """
        left = self._ends - self._clock.monotonic()
        try:
            if self._connections.use(max(left, 0.01), self._confirm, mark, replicas):
                return True
            error: Exception = redis.ConnectionError("the connection of the save was lost")
        except (redis.RedisError, OSError) as refusal:
            error = refusal
        if not passing(error) or self._clock.monotonic() >= self._ends:
            raise self._unavailable(error) from error
        return False

    def _deadline(self) -> float:
        return self._ends

    def _remember(self, connection: Any, *command: str | int) -> Any:
        self._used = connection
        return ask(connection, *command)

    def _confirm(self, connection: Any, mark: str, replicas: int) -> bool:
        if connection is not self._used:
            return False
        try:
            ask(connection, "EVALSHA", MARK.sha, 1, mark, MARK_MS)
        except exceptions.NoScriptError:
            ask(connection, "EVAL", MARK.text, 1, mark, MARK_MS)
        while True:
            left = self._ends - self._clock.monotonic()
            # In parts, so that a server that falls silent is found out.
            part = min(left, connection.socket_timeout - TICK)
            counted = self._count(connection, replicas, max(1, int(part * 1000)))
            if counted >= replicas:
                return True
            if self._clock.monotonic() >= self._ends:
                raise NotDurable(counted, replicas, on_disk=self._on_disk)

    def _count(self, connection: Any, replicas: int, at_most_ms: int) -> int:
        """Return how many replicas have it: on disk, if the master keeps an append-only file and can tell."""
        if self._on_disk:
            try:
                here, there = ask(connection, "WAITAOF", 1, replicas, at_most_ms)
                return int(there) if here else 0
            except redis.ResponseError:  # older than Redis 7.2, without such a file, or not allowed to this user
                self._on_disk = False
        return int(ask(connection, "WAIT", replicas, at_most_ms))
