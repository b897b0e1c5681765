"""Every call of a store, by name, for tests that have each of them meet the same trouble."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from integration.desk import make_token
from zoho_token_store import RedisTokenStore

CLIENT = {"client_id": "client", "client_secret": "secret"}

CALLS: dict[str, Callable[[RedisTokenStore, Any], Any]] = {
    "find_token": lambda store, token: store.find_token(make_token(user="ada", **CLIENT)),
    "find_token, never seen": lambda store, token: store.find_token(make_token(grant_token="code", **CLIENT)),
    "find_token_by_id": lambda store, token: store.find_token_by_id(token.get_id()),
    "save_token": lambda store, token: store.save_token(token),
    "save_token, new": lambda store, token: store.save_token(make_token(refresh_token="another", **CLIENT)),
    "delete_token": lambda store, token: store.delete_token(token.get_id()),
    "delete_tokens": lambda store, token: store.delete_tokens(),
    "get_tokens": lambda store, token: store.get_tokens(),
    "get": lambda store, token: store.get(token.get_id()),
    "invalidate_access_token": lambda store, token: store.invalidate_access_token(token.get_id()),
    "ping": lambda store, token: store.ping(),
}


def one_token(store: RedisTokenStore, life: float = 3600.0) -> Any:
    """Store a token and return it."""
    token = make_token(user="ada", refresh_token="refresh", access_token="access", **CLIENT)
    token.set_expires_in(str(int((time.time() + life) * 1000)))
    store.save_token(token)
    return token
