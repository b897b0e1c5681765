"""Walks by a cursor, which means nothing to any server but the one that gave it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from zoho_token_store.errors import StoreUnavailable
from zoho_token_store.link import RedisLink, read_info

T = TypeVar("T")

WALKS = 10
"""How often a walk begins anew before it is given up."""


def walk_keys(link: RedisLink, key: str, pattern: str, size: int) -> Iterator[tuple[int, list[str]]]:
    """Yield all keys of a namespace, some of them twice, with how many keys of the database were passed by then.

    Args:
        link: The way to Redis.
        key: A sorted set of the namespace.
        pattern: Of the keys.
        size: About how many are passed in one step.

    Raises:
        StoreUnavailable: Redis does not answer, or the namespace moves all the time.
    """
    return _walk(link, key, lambda: _keys(link, pattern, size))


def walk_members(link: RedisLink, key: str, size: int) -> Iterator[list[str]]:
    """Yield the members of a sorted set, some of them twice, about ``size`` at a time.

    Raises:
        StoreUnavailable: See :func:`walk_keys`.
    """
    return _walk(link, key, lambda: _members(link, key, size))


def _walk(link: RedisLink, key: str, steps: Callable[[], Iterator[T]]) -> Iterator[T]:
    """Go through all steps, and through all again if the namespace has moved to another server meanwhile."""
    for _ in range(WALKS):
        began = _server(link, key)
        yield from steps()
        if _server(link, key) == began:
            return
    raise StoreUnavailable("the namespace moves from server to server, and cannot be walked through")


def _server(link: RedisLink, key: str) -> str | None:
    """Return which server the namespace lives on; another run of it is another server.

    No server of a cluster minds a SCAN of what is no longer there, so a key is asked for first: then the way is right.
    """
    link.ask("ZCARD", key)
    return read_info(link.ask("INFO", "server")).get("run_id")


def _keys(link: RedisLink, pattern: str, size: int) -> Iterator[tuple[int, list[str]]]:
    cursor, passed = "0", 0
    while True:
        cursor, keys = link.ask("SCAN", cursor, "MATCH", pattern, "COUNT", size)
        passed += size
        yield passed, keys
        if cursor == "0":
            return


def _members(link: RedisLink, key: str, size: int) -> Iterator[list[str]]:
    cursor = "0"
    while True:
        cursor, entries = link.ask("ZSCAN", key, cursor, "COUNT", size)
        yield entries[::2]
        if cursor == "0":
            return
