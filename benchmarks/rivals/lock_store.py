"""By hand with redis-py: a hash for each token, keys that lead to it, and redis-py's ``Lock`` around each refresh."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any
from uuid import uuid4

import redis
from redis.exceptions import LockError
from redis.lock import Lock

from benchmarks import copies
from benchmarks.rivals.fields import fields_of, fill, is_fresh, new_token, pointers_of
from benchmarks.rivals.redis_place import RedisPlace
from zoho_token_store.zoho_sdk import SDKException, TokenStore

HELD = 30.0
"""Life of a lock, seconds: longer than a refresh takes."""
PATIENCE = 20.0
"""Longest wait for a lock, seconds."""
BATCH = 500


class LockStore(TokenStore):
    """Whoever finds an access token at its end takes the lock, looks again, and keeps it until it has saved a new one.

    Args:
        url: Of Redis.
    """

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, decode_responses=True)
        self._held: dict[str, Lock] = {}

    def find_token_by_id(self, id: str) -> Any:
        fields = self._read(id)
        if not fields:
            raise SDKException("TOKEN_STORE", "there is no such token")
        return new_token(fields)

    def find_token(self, token: Any) -> Any:
        pointers = pointers_of(token)
        if not pointers:
            return None
        record_id = self._client.get(pointers[0])
        if record_id is None:
            self._take(pointers[0])
            record_id = self._client.get(pointers[0])
            if record_id is None:
                return None  # it is this worker that exchanges the code; save_token gives the lock back
            self._give_back(pointers[0])
        fields = self._read(record_id)
        return fill(token, fields) if fields else None

    def save_token(self, token: Any) -> None:
        pointers = pointers_of(token)
        if token.get_id() is None:
            known = (self._client.get(pointer) for pointer in pointers)
            token.set_id(next(filter(None, known), None) or uuid4().hex)
        record_id = token.get_id()
        with self._client.pipeline() as pipeline:
            pipeline.hset(f"token:{record_id}", mapping=fields_of(token))
            for pointer in pointers:
                pipeline.set(pointer, record_id)
            pipeline.sadd("tokens", record_id)
            pipeline.execute()
        for name in (record_id, *pointers):
            self._give_back(name)

    def delete_token(self, id: str) -> None:
        fields = self._client.hgetall(f"token:{id}")
        if fields:
            self._client.delete(f"token:{id}", *pointers_of(new_token(fields)))
            self._client.srem("tokens", id)

    def delete_tokens(self) -> None:
        for record_id in self._client.smembers("tokens"):
            self.delete_token(record_id)

    def get_tokens(self) -> list[Any]:
        return list(self.iter_tokens())

    def iter_tokens(self) -> Iterator[Any]:
        """Yield all tokens, a batch in one round trip."""
        ids = self._client.sscan_iter("tokens", count=BATCH)
        while batch := list(islice(ids, BATCH)):
            with self._client.pipeline(transaction=False) as pipeline:
                for record_id in batch:
                    pipeline.hgetall(f"token:{record_id}")
                yield from map(new_token, filter(None, pipeline.execute()))

    def _read(self, record_id: str) -> dict[str, str]:
        """Return a token's fields; if its access token is at its end, with the lock in hand."""
        fields: dict[str, str] = self._client.hgetall(f"token:{record_id}")
        if not fields or is_fresh(fields):
            return fields
        self._take(record_id)
        fields = self._client.hgetall(f"token:{record_id}")
        if not fields or is_fresh(fields):
            self._give_back(record_id)
        return fields

    def _take(self, name: str) -> None:
        lock = self._client.lock(f"lock:{name}", timeout=HELD)
        if not lock.acquire(blocking_timeout=PATIENCE):
            raise SDKException("TOKEN_STORE", "another worker's refresh does not end")
        self._held[name] = lock

    def _give_back(self, name: str) -> None:
        lock = self._held.pop(name, None)
        try:
            if lock is not None:
                lock.release()
        except LockError:
            pass  # it has run out


class LockAndHash(RedisPlace):
    """A Redis of such a store."""

    name = "Lock + HGETALL"
    waits = True
    holds_tokens = True

    def layout(self) -> copies.Layout:
        store = LockStore(self.server.url)
        return copies.Layout(store.save_token, lambda: uuid4().hex, lambda: None)

    def opener(self) -> Callable[[], Any]:
        return partial(LockStore, self.server.url)

    def scan(self, store: LockStore) -> Iterable[Any]:
        return store.iter_tokens()

    def expire(self, token: Any) -> None:
        with self.server.client() as client:
            client.hset(f"token:{token.get_id()}", "expires_in", token.get_expires_in())
            client.delete(f"lock:{token.get_id()}")
