"""TLS to Redis: settings are tried before they are needed, and what is not verified is said.

redis-py makes the connections. It reads certificates and keys anew for each, so that renewed ones need no restart; but
there a file that is missing looks like a server that is away.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import redis

from zoho_token_store.errors import ConfigurationError

log = logging.getLogger("zoho_token_store")

ALERT_WAIT = 0.5
"""How long a server may take for its alert, seconds; it sends one as soon as it has read the handshake."""

_CUT_OFF = ("EOF", "Connection reset", "Broken pipe", "Connection closed by server")

Settings = Mapping[str, Any]
"""What redis-py's connections are made with."""


def verify_by_default(settings: dict[str, Any]) -> None:
    """Have the name in the certificate checked unless the settings say otherwise; redis-py before 6.0 does not.

    Args:
        settings: As they were read from a ``rediss://`` URL; changed.
    """
    if _verifies(settings):
        settings.setdefault("ssl_check_hostname", True)


def check(settings: Settings) -> None:
    """Try the TLS settings, without connecting; warn, once in a process, of what is not verified.

    Raises:
        ConfigurationError: A setting cannot be used. The message does not repeat it: it may be a key.
    """
    _context(settings)
    if not _verifies(settings):
        _warn("the certificate of the Redis server is not verified: whoever is in between can read every token")
    elif not _checks_name(settings):
        _warn(
            "the name in the certificate of the Redis server is not checked: any certificate of its authority will do"
        )


def was_cut_off(error: Exception) -> bool:
    """Tell whether the server has ended a connection without a word that was heard."""
    return isinstance(error, redis.ConnectionError) and any(words in str(error) for words in _CUT_OFF)


def alert(settings: Settings, at_most: float) -> str | None:
    """Return what a server objects to in a handshake; None if nothing was heard.

    Since TLS 1.3 a server judges the client's certificate when the client's handshake is over. The alert is lost if the
    client has sent something meanwhile, as redis-py does. This sends nothing, and listens.

    Args:
        settings: As for connections.
        at_most: Longest wait for each of its steps, seconds.
    """
    where = settings.get("host", "localhost"), int(settings.get("port", 6379))
    try:
        context = _context(settings)
        context.load_default_certs()
        with (
            socket.create_connection(where, min(at_most, ALERT_WAIT)) as plain,
            context.wrap_socket(plain, server_hostname=where[0]) as secure,
        ):
            secure.recv(1)
    except ssl.SSLError as error:
        return str(error)
    except (OSError, ConfigurationError):  # it is away by now, has nothing to say, or a file has just been taken away
        pass
    return None


def _context(settings: Settings) -> ssl.SSLContext:
    """Return a context as redis-py makes it, but for the system's authorities, which take 30 ms to load."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = _verifies(settings) and _checks_name(settings)
    context.verify_mode = ssl.CERT_REQUIRED if _verifies(settings) else ssl.CERT_NONE
    certificate: Any = settings.get("ssl_certfile")
    key = settings.get("ssl_keyfile")
    if certificate or key:
        # Without a password OpenSSL would ask for one on the terminal.
        with _trying("ssl_certfile", "ssl_keyfile"):
            context.load_cert_chain(certificate, key, settings.get("ssl_password") or "")
    if settings.get("ssl_ca_certs") is not None:
        with _trying("ssl_ca_certs"):
            context.load_verify_locations(cafile=settings["ssl_ca_certs"])
    if settings.get("ssl_ca_path") is not None:
        with _trying("ssl_ca_path"):
            os.stat(settings["ssl_ca_path"])  # OpenSSL does not mind if there is no such folder
            context.load_verify_locations(capath=settings["ssl_ca_path"])
    if settings.get("ssl_ca_data") is not None:
        with _trying("ssl_ca_data"):
            context.load_verify_locations(cadata=settings["ssl_ca_data"])
    if settings.get("ssl_min_version") is not None:
        with _trying("ssl_min_version"):
            context.minimum_version = settings["ssl_min_version"]
    if settings.get("ssl_ciphers"):
        with _trying("ssl_ciphers"):
            context.set_ciphers(settings["ssl_ciphers"])
    return context


@contextmanager
def _trying(*options: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError) as error:
        # Not the value: what should be a path may be the key itself.
        words = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(" and ".join(options), f"cannot be used ({words})") from None


def _verifies(settings: Settings) -> bool:
    return settings.get("ssl_cert_reqs", "required") not in (None, "none", ssl.CERT_NONE)


def _checks_name(settings: Settings) -> bool:
    return bool(settings.get("ssl_check_hostname", True))


@cache
def _warn(message: str) -> None:
    log.warning("%s", message)
