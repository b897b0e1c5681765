"""How connections to Redis are made: redis-py's own, with our timeouts and without its retries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.retry import Retry

from zoho_token_store.credentials import Credentials
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.tls import alert as tls_alert
from zoho_token_store.tls import check as check_tls
from zoho_token_store.tls import was_cut_off

# Spares each new connection two round trips, in which redis-py would tell the server its name and version.
_ANONYMOUS: dict[str, None] = (
    {"driver_info": None}
    if "driver_info" in signature(AbstractConnection.__init__).parameters
    else {"lib_name": None, "lib_version": None}
)

# Of pools, or about redis-py's own ways of trying again; the last is how its cluster client has a node read replicas.
_CONFLICTING = (
    "retry_on_timeout",
    "max_connections",
    "timeout",
    "event_dispatcher",
    "maint_notifications_config",
    "connection_pool",
    "redis_connect_func",
)


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


class Dialer:
    """Makes connections with the same settings, to any address.

    Args:
        connection_class: A connection class of redis-py, or one that is used like it.
        settings: Its arguments: credentials, TLS, protocol, and an address if there is but one.

    Raises:
        ConfigurationError: The settings cannot be used.
    """

    def __init__(self, connection_class: Callable[..., Any], settings: Mapping[str, Any]) -> None:
        self._make = connection_class
        self._settings = {key: value for key, value in settings.items() if key not in _CONFLICTING}
        self._settings |= _ANONYMOUS | {
            "decode_responses": True,
            "encoding": "utf-8",
            "encoding_errors": "surrogateescape",
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
            "health_check_interval": 0,
        }
        if self._settings.get("credential_provider") is not None:
            self._settings["credential_provider"] = Credentials(self._settings["credential_provider"])
        self._encrypted = isinstance(connection_class, type) and issubclass(connection_class, redis.SSLConnection)
        try:
            self.dial(1.0)  # not connected: only to find out whether the settings can be used
        except (TypeError, ValueError, redis.RedisError) as error:
            # Its text may repeat a value.
            raise ConfigurationError(
                "url", f"has an option that redis-py cannot use ({type(error).__name__})"
            ) from None
        if self._encrypted:
            check_tls(self._settings)

    def explain(self, error: Exception, at_most: float, address: Address | None = None) -> Exception:
        """Return an error that says more, if a server that speaks TLS has hung up on a new connection.

        Args:
            error: What has come of it.
            at_most: Seconds left for the operation; the server is asked, which takes a moment.
            address: Where it is; None for the one in the settings.
        """
        if not self._encrypted or at_most <= 0 or not was_cut_off(error):
            return error
        alert = tls_alert(self._settings | (address._asdict() if address else {}), at_most)
        return redis.ConnectionError(alert) if alert else error

    def dial(self, timeout: float, address: Address | None = None) -> Any:
        """Return a connection that connects at its first use.

        Args:
            timeout: Longest time that connecting, and any single read or write, may block, seconds.
            address: Where to; None for the one in the settings.
        """
        timeouts = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        where = address._asdict() if address else {}
        return self._make(**(self._settings | timeouts | where))
