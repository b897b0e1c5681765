"""Connections to Redis: kept few, and never hanging.

redis-py's own connections do the talking. Its pools and retries stay out: checking out a connection costs a good part
of a look-up, a retry may run a script twice behind our back, and with the defaults one GET against a silent server
takes a minute.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

import redis

from zoho_token_store.errors import StoreClosed
from zoho_token_store.route import Route

IDLE = 8
"""Connections kept open while nobody uses them. In use there is one for each thread that is inside a call."""


class Connections:
    """Connections that are lent out one at a time.

    Args:
        route: Leads to the server.
        timeout: Longest time that connecting, and any single read or write, may block, seconds.
    """

    def __init__(self, route: Route, timeout: float) -> None:
        self._route = route
        self.timeout = timeout
        self._idle: deque[Any] = deque()
        self._closed = False

    @property
    def at_hand(self) -> bool:
        """Whether one is idle: the last exchange was answered, since an error closes them all."""
        return bool(self._idle)

    def use(self, at_most: float, exchange: Callable[..., Any], *request: Any) -> Any:
        """Run one exchange on a connection of its own; one on which anything went wrong is not used again.

        Args:
            at_most: Seconds left for the operation; a new connection is made with a timeout within them.
            exchange: Called with the connection and the request.
            request: What to send.
        """
        began = monotonic()
        connection = self._take(at_most)
        try:
            reply = exchange(connection, *request)
        except redis.ResponseError as error:
            self._route.learn(connection, error)
            if isinstance(error, redis.ReadOnlyError):
                connection.disconnect()  # a former master: the name may lead elsewhere by now
                self._drop_idle()
            else:
                self._give(connection)  # an error is a complete reply
            left = max(at_most - (monotonic() - began), 0.01)
            detour = self._route.detour(connection, error, min(left, self.timeout))
            if detour is None:
                raise
            return _ask_on(detour, exchange, *request)
        except BaseException as error:
            connection.disconnect()
            self._drop_idle()  # what has befallen this one has most likely befallen them all
            if isinstance(error, (redis.RedisError, OSError)):
                self._route.learn(connection, error)
            raise
        self._give(connection)
        return reply

    def explain(self, error: Exception, at_most: float) -> Exception:
        """Return an error that says more, if a server that speaks TLS has hung up on a new connection.

        Args:
            error: What has come of it.
            at_most: Seconds left for the operation; the server is asked, which takes a moment.
        """
        return self._route.explain(error, at_most)

    def _take(self, at_most: float) -> Any:
        if self._closed:
            raise StoreClosed
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if self._route.leads_to(connection):
                return connection
            connection.disconnect()
        return self._route.open(self.timeout, at_most)

    def _give(self, connection: Any) -> None:
        if self._closed or len(self._idle) >= IDLE or connection.socket_timeout != self.timeout:
            connection.disconnect()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close what is idle now, and what is given back later."""
        self._closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        with contextlib.suppress(IndexError):  # several threads may do this at once
            while True:
                self._idle.pop().disconnect()

    def reset_after_fork(self) -> None:
        """Forget the parent's connections; its sockets stay the parent's."""
        self._idle = deque()


def _ask_on(detour: Any, exchange: Callable[..., Any], *request: Any) -> Any:
    """Ask the node that the namespace is on its way to; ASKING holds for the next request alone."""
    try:
        detour.send_command("ASKING")
        detour.read_response()
        return exchange(detour, *request)
    finally:
        detour.disconnect()
