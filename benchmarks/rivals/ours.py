"""Our store, as the README makes it, and with its near cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from benchmarks import copies
from benchmarks.rivals.redis_place import RedisPlace
from benchmarks.rivals.rival import Site
from zoho_token_store import RedisTokenStore
from zoho_token_store.keyspace import Keyspace

NAMESPACE = "compare"


class Ours(RedisPlace):
    """``RedisTokenStore`` with nothing but a URL."""

    name = "RedisTokenStore"
    waits = True
    holds_tokens = True

    def layout(self) -> copies.Layout:
        store = self.server.store(NAMESPACE)
        return copies.Layout(store.save_token, copies.short_id, store.close)

    def opener(self) -> Callable[[], Any]:
        return partial(RedisTokenStore.from_url, self.server.url, NAMESPACE)

    def scan(self, store: Any) -> Iterable[Any]:
        tokens: Iterable[Any] = store.iter_tokens(batch=500)
        return tokens

    def expire(self, token: Any) -> None:
        with self.server.client() as client:
            client.delete(Keyspace(NAMESPACE).access(token.get_id()))


class Near(Ours):
    """The same tokens, which the process keeps."""

    name = "RedisTokenStore, near cache"
    holds_tokens = False

    def __init__(self, site: Site) -> None:
        self._ours: Ours = site.shared[Ours]
        self.server = self._ours.server

    def load(self, count: int) -> list[str]:
        return self._ours.ids

    def opener(self) -> Callable[[], Any]:
        return partial(RedisTokenStore.from_url, self.server.url, NAMESPACE, near_cache=True)
