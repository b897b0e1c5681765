"""Connections to Redis: made from a URL or a caller's client, kept few, and never hanging.

redis-py's own connections do the talking. Its pools and retries stay out: checking out a connection costs a good part
of a look-up, a retry may run a script twice behind our back, and with the defaults one GET against a silent server
takes a minute.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from inspect import signature
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.retry import Retry

from zoho_token_store import tls
from zoho_token_store.credentials import Credentials
from zoho_token_store.errors import ConfigurationError, StoreClosed

IDLE = 8
"""Connections kept open while nobody uses them. In use there is one for each thread that is inside a call."""

# Spares each new connection two round trips, in which redis-py would tell the server its name and version.
_ANONYMOUS: dict[str, None] = (
    {"driver_info": None}
    if "driver_info" in signature(AbstractConnection.__init__).parameters
    else {"lib_name": None, "lib_version": None}
)

# redis-py takes any option of a URL as it stands there: "false" would be true, or quietly nothing.
_NOT_TEXT = ("credential_provider", "redis_connect_func", "ssl_ocsp_context", "ssl_validate_ocsp",
             "ssl_validate_ocsp_stapled")  # fmt: skip

_CONFLICTING = ("retry_on_timeout", "max_connections", "timeout", "event_dispatcher", "maint_notifications_config")


def client_from_url(url: str) -> redis.Redis:
    """Return a client for a URL.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with redis-py's query options.

    Raises:
        ConfigurationError: The URL cannot be used. The message does not repeat it: it may hold a password.
    """
    if not isinstance(url, str):
        raise ConfigurationError("url", "must be text such as redis://localhost:6379/0")
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ConfigurationError("url", "must start with redis://, rediss:// or unix://")
    if url in ("unix://", "unix:///"):
        raise ConfigurationError("url", "unix:// needs the path of a socket")
    try:
        client = redis.Redis.from_url(url)
    except (ValueError, TypeError) as error:
        raise ConfigurationError("url", f"cannot be read ({type(error).__name__}): check port and query") from None
    settings = client.connection_pool.connection_kwargs
    for option in _NOT_TEXT:
        if option in settings:
            raise ConfigurationError("url", f"{option} cannot be given in it: make a redis.Redis with it")
    if url.startswith("rediss://"):
        tls.verify_by_default(settings)
    return client


class Connections:
    """Connections that are lent out one at a time.

    Args:
        client: Whose settings (address, credentials, TLS, protocol) are used; its own pool is left alone.
        timeout: Longest time that connecting, and any single read or write, may block, seconds.

    Raises:
        ConfigurationError: The client is not a ``redis.Redis`` of one server.
    """

    def __init__(self, client: redis.Redis, timeout: float) -> None:
        pool = getattr(client, "connection_pool", None)
        if pool is None or not isinstance(getattr(pool, "connection_kwargs", None), dict):
            raise ConfigurationError("client", "must be a redis.Redis connected to one server")
        if not callable(getattr(client, "get", None)) or "asyncio" in type(client).__module__:
            raise ConfigurationError("client", "must be a synchronous redis.Redis")
        self.timeout = timeout
        self._make: Callable[..., Any] = pool.connection_class
        self._settings = {key: value for key, value in pool.connection_kwargs.items() if key not in _CONFLICTING}
        self._settings |= _ANONYMOUS | {
            "decode_responses": True,
            "encoding": "utf-8",
            "encoding_errors": "surrogateescape",
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
            "health_check_interval": 0,
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
        }
        if self._settings.get("credential_provider") is not None:
            self._settings["credential_provider"] = Credentials(self._settings["credential_provider"])
        self._encrypted = isinstance(self._make, type) and issubclass(self._make, redis.SSLConnection)
        self._idle: deque[Any] = deque()
        self._closed = False
        try:
            self._make(**self._settings)  # not connected: only to find out whether the settings can be used
        except (TypeError, ValueError, redis.RedisError) as error:
            raise ConfigurationError("url", f"has an option that cannot be used ({error})") from None
        if self._encrypted:
            tls.check(self._settings)

    def use(self, at_most: float, exchange: Callable[..., Any], *request: Any) -> Any:
        """Run one exchange on a connection of its own; one on which anything went wrong is not used again.

        Args:
            at_most: Seconds left for the operation; a new connection is made with a timeout within them.
            exchange: Called with the connection and the request.
            request: What to send.
        """
        connection = self._take(at_most)
        try:
            reply = exchange(connection, *request)
        except redis.ResponseError as error:
            if isinstance(error, redis.ReadOnlyError):
                connection.disconnect()  # a former master: the name may lead elsewhere by now
                self._drop_idle()
            else:
                self._give(connection)  # an error is a complete reply
            raise
        except BaseException:
            connection.disconnect()
            self._drop_idle()  # what has befallen this one has most likely befallen them all
            raise
        self._give(connection)
        return reply

    def explain(self, error: Exception, at_most: float) -> Exception:
        """Return an error that says more, if a server that speaks TLS has hung up on a new connection.

        Args:
            error: What has come of it.
            at_most: Seconds left for the operation; the server is asked, which takes a moment.
        """
        if not self._encrypted or at_most <= 0 or not tls.was_cut_off(error):
            return error
        alert = tls.alert(self._settings, at_most)
        return redis.ConnectionError(alert) if alert else error

    def _take(self, at_most: float) -> Any:
        if self._closed:
            raise StoreClosed
        try:
            return self._idle.pop()
        except IndexError:
            pass
        connection = self._make(**self._settings)
        if at_most < self.timeout:
            connection.socket_timeout = connection.socket_connect_timeout = max(at_most, 0.01)
        return connection

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
