"""dogpile.cache over Redis with its distributed lock: what Zoho was asked for is what it caches.

Tokens are kept in a region that does not expire. What is handed out is in a second one, whose values expire with their
access tokens; what creates a value there is a refresh, and dogpile sees to it that one worker creates it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any
from uuid import uuid4

from dogpile.cache import make_region
from dogpile.cache.api import NO_VALUE
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from benchmarks import copies
from benchmarks.rivals.fields import fields_of, fill, is_fresh, new_token, pointers_of
from benchmarks.rivals.redis_place import RedisPlace
from zoho_token_store.zoho_sdk import SDKException, TokenStore

LIFE = 3600
"""Life of Zoho's access tokens, seconds."""
AHEAD = 60
"""Seconds before its end at which one worker refreshes, while the others still get the old one."""
SPARE = 5
"""Seconds before its end from which nobody gets it any more."""
BATCH = 500


class DogpileStore(TokenStore):
    """See the module.

    Args:
        url: Of Redis.
    """

    def __init__(self, url: str) -> None:
        lock = {"distributed_lock": True, "thread_local_lock": False, "lock_timeout": 30}
        self._kept = _region().configure("dogpile.cache.redis", arguments={"url": url, **lock})
        expiring = {"url": url, "redis_expiration_time": LIFE - SPARE, **lock}
        self._served = _region().configure("dogpile.cache.redis", expiration_time=LIFE - AHEAD, arguments=expiring)

    def find_token_by_id(self, id: str) -> Any:
        return new_token(self._read(id))

    def find_token(self, token: Any) -> Any:
        pointers = pointers_of(token)
        if not pointers:
            return None
        record_id = self._kept.get(pointers[0])
        if record_id is NO_VALUE:
            if token.get_grant_token() is None and token.get_refresh_token() is None:
                return None
            record_id = self._kept.get_or_create(pointers[0], partial(self._log_in, token))
        return fill(token, self._read(record_id))

    def save_token(self, token: Any) -> None:
        pointers = pointers_of(token)
        if token.get_id() is None:
            known = (each for each in self._kept.get_multi(pointers) if each is not NO_VALUE)
            token.set_id(next(known, None) or uuid4().hex)
        record_id, fields = token.get_id(), fields_of(token)
        self._kept.set_multi({f"kept:{record_id}": fields, **dict.fromkeys(pointers, record_id)})
        if is_fresh(fields):
            self._served.set(f"served:{record_id}", fields)

    def delete_token(self, id: str) -> None:
        fields = self._kept.get(f"kept:{id}")
        if fields is not NO_VALUE:
            self._kept.delete_multi([f"kept:{id}", f"served:{id}", *pointers_of(new_token(fields))])

    def delete_tokens(self) -> None:
        for token in self.iter_tokens():
            self.delete_token(token.get_id())

    def get_tokens(self) -> list[Any]:
        return list(self.iter_tokens())

    def iter_tokens(self) -> Iterator[Any]:
        """Yield all tokens, a batch in one round trip; dogpile itself lists no keys."""
        client = self._kept.actual_backend.reader_client
        keys = (key.decode() for key in client.scan_iter("kept:*", count=BATCH))
        while batch := list(islice(keys, BATCH)):
            yield from (new_token(fields) for fields in self._kept.get_multi(batch) if fields is not NO_VALUE)

    def _read(self, record_id: str) -> dict[str, str]:
        fields: dict[str, str] = self._served.get_or_create(f"served:{record_id}", partial(self._refresh, record_id))
        return fields

    def _refresh(self, record_id: str) -> dict[str, str]:
        fields: dict[str, str] = self._kept.get(f"kept:{record_id}")
        if fields is NO_VALUE:
            raise SDKException("TOKEN_STORE", "there is no such token")
        if not is_fresh(fields):
            token = new_token(fields)
            token.refresh_access_token(token, _accounts_url())
            fields = fields_of(token)
            self._kept.set(f"kept:{record_id}", fields)
        return fields

    def _log_in(self, token: Any) -> str:
        if token.get_grant_token() is not None:
            token.generate_access_token(token, _accounts_url())
        else:
            token.refresh_access_token(token, _accounts_url())
        self.save_token(token)
        record_id: str = token.get_id()
        return record_id


class Dogpile(RedisPlace):
    """A Redis of such a store."""

    name = "dogpile.cache"
    waits = True
    holds_tokens = True

    def layout(self) -> copies.Layout:
        store = DogpileStore(self.server.url)
        return copies.Layout(store.save_token, lambda: uuid4().hex, lambda: None)

    def opener(self) -> Callable[[], Any]:
        return partial(DogpileStore, self.server.url)

    def scan(self, store: DogpileStore) -> Iterable[Any]:
        return store.iter_tokens()

    def expire(self, token: Any) -> None:
        store = DogpileStore(self.server.url)
        store.save_token(token)
        with self.server.client() as client:
            client.delete(f"served:{token.get_id()}", f"_lockserved:{token.get_id()}")


def _region() -> Any:
    return make_region(serializer=lambda value: json.dumps(value).encode(), deserializer=json.loads)


def _accounts_url() -> str:
    url: str = Initializer.get_initializer().environment.accounts_url
    return url
