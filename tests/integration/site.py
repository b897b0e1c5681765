"""Where a test takes place: a Redis server, a namespace in it, the stand-in for Zoho, and one grant."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from integration.desk import make_token
from integration.fleet import Worker, do_all
from servers import Server
from topologies import Home
from zoho_token_store import RedisTokenStore
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.options import USABLE
from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import DataCenter

USER = "ada@example.com:60000000001"
"""The stand-in's first user, as the SDK names her."""


def environment_of(zoho: FakeZoho) -> Any:
    """Return the environment that leads to a stand-in."""
    where = (zoho.url, f"{zoho.url}/oauth/v2/token", zoho.url)
    try:
        return DataCenter.Environment(*where)
    except TypeError:  # SDK 5.0 wants a name
        return DataCenter.Environment(*where, "stand-in")


class Site(NamedTuple):
    """Everything that a fleet shares.

    Attributes:
        server: The Redis server, or what stands for one in a topology.
        namespace: The fleet's.
        zoho: The stand-in.
    """

    server: Server | Home
    namespace: str
    zoho: FakeZoho

    @property
    def client_fields(self) -> dict[str, Any]:
        """The fields of a token that say which client it is of."""
        zoho = self.zoho
        return {"client_id": zoho.client_id, "client_secret": zoho.client_secret, "redirect_url": zoho.redirect_uri}

    def store(self, **options: Any) -> RedisTokenStore:
        """Return a store in this process."""
        return RedisTokenStore.from_url(self.server.url, self.namespace, **options)

    def open(self, workers: Sequence[Worker], **options: Any) -> None:
        """Have workers make their stores."""
        do_all(workers, "open", self.server.url, self.namespace, **options)

    def log_in(self, user: str = USER, life: float | None = None, **options: Any) -> str:
        """Store a refresh token that Zoho knows, as an earlier run would have left it; return the record's id.

        Args:
            user: The user name in the record.
            life: Life of an access token that goes with it, seconds; None for none.
            options: Of the store that it is saved by, such as keys.
        """
        refresh_token = self.zoho.issue_refresh_token()
        token = make_token(user=user, refresh_token=refresh_token, **self.client_fields)
        if life is not None:
            token.set_access_token(self.zoho.issue_access_token(refresh_token))
            token.set_expires_in(str(int((self.zoho.now() + life) * 1000)))
        with self.store(**options) as store:
            store.save_token(token)
        return str(token.get_id())

    def expire(self, record_id: str) -> None:
        """Let Redis drop an access token, as it does at the token's expiry."""
        with self.server.client() as client:
            client.delete(Keyspace(self.namespace).access(record_id))

    def age(self, record_id: str, seconds: float) -> None:
        """Let an access token be older than it is; Zoho's view of it does not change."""
        key = Keyspace(self.namespace).access(record_id)
        with self.server.client(decode_responses=True) as client:
            expires_ms, life_ms, token = client.get(key).split(" ", 2)
            expires_ms = int(expires_ms) - int(seconds * 1000)
            client.set(key, f"{expires_ms} {life_ms} {token}", pxat=expires_ms)

    def due(self, record_id: str) -> str:
        """Let an access token come near its end, so that it can still be used; return it."""
        with self.store() as store:
            token = store.get(record_id)
        left = int(token.get_expires_in()) / 1000 - time.time()
        self.age(record_id, left - USABLE - 15)  # every way to refresh takes it for due, and none for gone
        return str(token.get_access_token())

    def tell(self, record_id: str) -> None:
        """Write an event of a record that a test has changed by hand."""
        with self.server.client() as client:
            client.xadd(Keyspace(self.namespace).events, {"event": "saved", "id": record_id})

    def end_pause(self, record_id: str) -> None:
        """Let the pause be over that the fleet makes after a failed refresh."""
        assert self.lease(record_id)["retry_ms"]
        with self.server.client() as client:
            client.hset(Keyspace(self.namespace).lease(record_id), "retry_ms", "1")

    def access_token(self, record_id: str) -> str | None:
        """Return the access token that is stored."""
        with self.store() as store:
            found: str | None = store.get(record_id).get_access_token()
        return found

    def refresh_token(self, record_id: str) -> str:
        """Return the refresh token that is current."""
        with self.store() as store:
            return str(store.get(record_id).get_refresh_token())

    def lease(self, name: str) -> dict[str, str]:
        """Return the lease on a record or a credential as it is stored."""
        with self.server.client(decode_responses=True) as client:
            return dict(client.hgetall(Keyspace(self.namespace).lease(name)))

    def blocked(self) -> int:
        """Return how many connections wait on a stream."""
        with self.server.client() as client:
            return int(client.info("clients")["blocked_clients"])
