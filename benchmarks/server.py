"""The Redis server of a benchmark: a real one, on a temporary Unix socket, gone when the benchmark is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from zoho_token_store import RedisTokenStore
from zoho_token_store.cli.demo.local_redis import open_redis


class BenchmarkServer:
    """A running server.

    Args:
        url: Its Unix socket.
        title: What it is, for people.
    """

    def __init__(self, url: str, title: str) -> None:
        self.url = url
        self.title = title

    def client(self) -> redis.Redis:
        """Return a client as redis-py makes it by default, decoding replies."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def store(self, namespace: str, **options: object) -> RedisTokenStore:
        """Return a store as the README makes it."""
        return RedisTokenStore.from_url(self.url, namespace, **options)


@contextmanager
def open_server() -> Iterator[BenchmarkServer]:
    """Run a server of this machine, empty and without persistence.

    Raises:
        SystemExit: There is none.
    """
    with open_redis(None) as place:
        if not place.url.startswith("unix://"):
            raise SystemExit(f"the figures need a real Redis, and there is only {place.title}")
        with redis.Redis.from_url(place.url, decode_responses=True) as client:
            info = client.info("server")
        family = "Valkey" if "valkey_version" in info else "Redis"
        yield BenchmarkServer(place.url, f"{family} {info.get('valkey_version', info['redis_version'])}")
