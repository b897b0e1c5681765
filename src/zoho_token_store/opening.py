"""A store for a URL, whichever kind it names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from zoho_token_store.environment import NAMESPACE_VARIABLE, URL_VARIABLE, with_environment_keys
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.keyspace import DEFAULT_NAMESPACE
from zoho_token_store.memory_store import MemoryTokenStore
from zoho_token_store.redis_store import RedisTokenStore
from zoho_token_store.sqlite_store import SQLiteTokenStore
from zoho_token_store.store import CoordinatedTokenStore

KNOWN = "redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, sqlite:/// and memory:// are known"


def open_store(
    url: str | None = None, namespace: str | None = None, *, environ: Mapping[str, str] = os.environ, **options: Any
) -> CoordinatedTokenStore:
    """Return the store that a URL names. None ever stands in for another: what cannot be reached is an error.

    Args:
        url: What ``RedisTokenStore.from_url`` takes; ``sqlite:///tokens.db`` for a file in the working directory,
            ``sqlite:////var/lib/app/tokens.db`` for one elsewhere; ``memory://``. None takes it from
            ``ZOHO_TOKEN_STORE_URL``, and keys for sealing from where ``RedisTokenStore.from_env`` does.
        namespace: One application's tokens. None takes it from ``ZOHO_TOKEN_STORE_NAMESPACE``; a store that is not in
            Redis then has "default".
        environ: The environment.
        options: See the store.

    Raises:
        ConfigurationError: The URL names no store, or something of this cannot be used.
    """
    if url is None:
        url = environ.get(URL_VARIABLE) or ""
        if not url:
            raise ConfigurationError(URL_VARIABLE, "the environment variable is not set")
        if _kind(url) != "memory":
            options = with_environment_keys(options, environ)
    namespace = namespace or environ.get(NAMESPACE_VARIABLE)
    match _kind(url):
        case "redis" | "rediss" | "unix":
            if not namespace:
                raise ConfigurationError("namespace", f"must be given, or set in {NAMESPACE_VARIABLE}")
            return RedisTokenStore.from_url(url, namespace, **options)
        case "sqlite":
            return SQLiteTokenStore(_file_of(url), namespace or DEFAULT_NAMESPACE, **options)
        case "memory":
            if url != "memory://":
                raise ConfigurationError("url", "memory:// takes nothing after it")
            return MemoryTokenStore(None, namespace or DEFAULT_NAMESPACE, **options)
    # Not repeated: it may hold a password.
    raise ConfigurationError("url", f"names no store; {KNOWN}")


def _kind(url: object) -> str:
    if not isinstance(url, str):
        raise ConfigurationError("url", f"must be text; {KNOWN}")
    scheme, separator, _ = url.partition("://")
    return scheme.partition("+")[0] if separator else ""


def _file_of(url: str) -> str:
    """Return the path in a SQLite URL, as other libraries read it: three slashes, then the path."""
    path = url.removeprefix("sqlite:///")
    if path == url or not path or "?" in path or "#" in path:
        raise ConfigurationError("url", "must be sqlite:///relative.db or sqlite:////absolute.db and no more")
    return path
