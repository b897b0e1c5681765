"""The store that the Zoho SDK talks to."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any

import redis

from zoho_token_store.clock import SystemClock
from zoho_token_store.connection import client_from_url
from zoho_token_store.errors import ConfigurationError, StoreUnavailable, TokenStoreError
from zoho_token_store.finder import Finder, Found
from zoho_token_store.kept import KeptSaves
from zoho_token_store.keyspace import Keyspace, check_id
from zoho_token_store.lease import HeldLeases, Lease, Owners
from zoho_token_store.lifecycle import watch
from zoho_token_store.link import RedisLink
from zoho_token_store.match import TokenData
from zoho_token_store.options import USABLE, make_options
from zoho_token_store.plan import plan_deletion, plan_invalidation
from zoho_token_store.record import TokenRecord
from zoho_token_store.repository import Repository
from zoho_token_store.saver import Saver
from zoho_token_store.sdk import (
    Carried,
    carried,
    carry,
    expires_ms,
    fill_token,
    give_up_lease,
    make_token,
    read_token,
    set_id,
)
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.stats import Stats
from zoho_token_store.transaction import Transactions
from zoho_token_store.zoho_sdk import TokenStore

log = logging.getLogger("zoho_token_store")

URL_VARIABLE = "ZOHO_TOKEN_STORE_URL"
NAMESPACE_VARIABLE = "ZOHO_TOKEN_STORE_NAMESPACE"


class RedisTokenStore(TokenStore):
    """A token store that a whole fleet of workers shares through Redis.

    At an expiry one worker refreshes, and the others get its token; a grant code is exchanged once. Pass it to
    ``Initializer.initialize(store=...)``; application code does not change.

    Args:
        client: A ``redis.Redis``; its address, credentials and TLS settings are used, its connections are not.
        namespace: One application's tokens, ``[A-Za-z0-9_.-]{1,64}``. Two namespaces never see each other.
        options: See :class:`zoho_token_store.options.Options`.

    Raises:
        ConfigurationError: Something of this cannot be used; the message says what can.
    """

    def __init__(self, client: redis.Redis, namespace: str, **options: object) -> None:
        self._start(client, Keyspace(namespace), dict(options), SystemClock())

    def _start(self, client: Any, keys: Keyspace, options: dict[str, object], clock: SystemClock) -> None:
        self._clock = clock
        self._options = make_options(options)
        self._stats = Stats()
        self._owners = Owners()
        self._held = HeldLeases(clock, self._options.lease_ttl)
        self._link = RedisLink(client, self._options.operation_timeout, clock, self._stats)
        self._repository = Repository(self._link, keys, self._options, clock)
        self._transactions = Transactions(self._repository, self._options, self._stats)
        parts = (self._options, self._owners, self._held, self._stats, clock)
        self._finder = Finder(self._repository, *parts)
        self._saver = Saver(self._repository, self._transactions, *parts)
        self._kept = KeptSaves(self._saver.store, self._options.operation_timeout, self._stats, clock)
        self._end = partial(_end, self._kept, self._held, self._repository, self._link)
        watch(self, self._end)

    @classmethod
    def from_url(cls, url: str, namespace: str, **options: object) -> RedisTokenStore:
        """Return a store for a URL.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``, with redis-py's query options.
            namespace: See the class.
            options: See the class.

        Raises:
            ConfigurationError: The URL cannot be used.
        """
        return cls(client_from_url(url), namespace, **options)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **options: object) -> RedisTokenStore:
        """Return a store for the URL and the namespace in ``ZOHO_TOKEN_STORE_URL`` and ``ZOHO_TOKEN_STORE_NAMESPACE``.

        Raises:
            ConfigurationError: A variable is not set, or its value cannot be used.
        """
        for variable in (URL_VARIABLE, NAMESPACE_VARIABLE):
            if not environ.get(variable):
                raise ConfigurationError(variable, "the environment variable is not set")
        return cls.from_url(environ[URL_VARIABLE], environ[NAMESPACE_VARIABLE], **options)

    # The six methods that the SDK calls.

    def find_token(self, token: Any) -> Any:
        """Return the stored token of a caller's token, which is filled in.

        Looked up by id, user name (within the client id if one is given), access token (without client credentials),
        grant token, refresh token. With nothing but an id this is a look that takes no lease, as ``OAuthToken.revoke``
        needs it.

        Args:
            token: An ``OAuthToken``.

        Returns:
            A new ``OAuthToken``. If it has no access token, this worker is the one to refresh: the SDK then does, and
            saves it. None if there is no match; if the token has a grant code or a refresh token, this worker is then
            the one to spend it.

        Raises:
            TokenStoreError: See :mod:`zoho_token_store.errors`; ``InvalidToken`` if it is not an ``OAuthToken``.
        """
        self._settle()
        data = read_token(token)
        if data.id is not None:
            check_id(data.id)
        if data.id is not None and data == TokenData(id=data.id):
            record = self._repository.get(data.id)
            found = Found(record, None) if record else None
        else:
            found = self._finder.by_data(data)
        if found and found.record is None:
            carry(token, Carried(self, None, found.lease, data.refresh_token))
            if expires_ms(data) > (self._clock.wall() + USABLE) * 1000:
                # The SDK goes on with the access token that the caller brings, and saves nothing: a refresh token that
                # came with it would never be stored. SDK 6.0 also loses the save of an exchange if its user look-up
                # fails.
                self.save_token(token)
                found = self._finder.by_data(read_token(token))
        if found is None or found.record is None:
            return None
        stored = self._hand_out(found.record, found.lease, like=token)
        fill_token(token, stored)
        give_up_lease(token, self)
        return stored

    def find_token_by_id(self, id: str) -> Any:
        """Return the stored token under an id: what the SDK asks before every request.

        Returns:
            A new ``OAuthToken``. If it has no access token, this worker is the one to refresh. None only for an id that
            was never seen, and only with ``on_missing_id="none"``.

        Raises:
            TokenNotFound: The id was never seen.
            TokenDeleted: The token was deleted.
            TokenStoreError: See :mod:`zoho_token_store.errors`.
        """
        self._settle()
        record, lease = self._finder.by_id(check_id(id))
        return None if record is None else self._hand_out(record, lease)

    def save_token(self, token: Any) -> None:
        """Store a token, and set its id.

        Updates the record under its id, else that of its grant token or refresh token, else that of its user name, else
        that of its access token; else makes a new one. None erases nothing.

        Args:
            token: An ``OAuthToken``.

        Raises:
            StoreUnavailable: Redis does not take it. The save is kept in this process and tried again.
            TokenDeleted: The token was deleted.
            TokenStoreError: See :mod:`zoho_token_store.errors`.
        """
        data = read_token(token)
        if data.id is not None:
            check_id(data.id)
        brought = carried(token, self) or Carried(self, None, None)

        def stored(record: TokenRecord | None, record_id: str) -> None:
            set_id(token, record_id)
            if record:
                carry(token, Carried(self, record, None))

        save = self._saver.make_save(data, brought.record, brought.lease, brought.spent, stored)
        try:
            self._saver.store(save)
        except StoreUnavailable:
            self._kept.keep(save)
            raise

    def delete_token(self, id: str) -> None:
        """Delete a token for good; nothing happens if there is none under this id.

        A worker that still holds it gets ``TokenDeleted`` from then on, and cannot bring it back by saving it.
        """
        record_id = check_id(id)
        self._settle()
        if self._transactions.run(lambda snapshot, _: plan_deletion(record_id, snapshot), Snapshot()):
            self._stats.count("deletes")

    def get_tokens(self) -> list[Any]:
        """Return every token of the namespace. Takes no lease."""
        return list(self.iter_tokens())

    def delete_tokens(self) -> None:
        """Delete every token of the namespace, in bounded steps."""
        for page in self._repository.pages(500):
            for record in page:
                self.delete_token(record.id)

    # What the SDK does not ask for.

    def get(self, id: str) -> Any:
        """Return the token under an id without lease or any other effect; None if there is none."""
        record = self._repository.get(check_id(id))
        return None if record is None else self._make(record)

    def iter_tokens(self, batch: int = 500) -> Iterator[Any]:
        """Yield every token of the namespace, in order of id, reading ``batch`` of them at a time. Takes no lease."""
        if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 10_000:
            raise ConfigurationError("batch", "must be a whole number from 1 to 10000")
        for page in self._repository.pages(batch):
            for record in page:
                yield self._make(record)

    def invalidate_access_token(self, id: str, access_token: str | None = None) -> None:
        """Drop an access token that CRM has rejected; the next look-up elects a worker to refresh.

        Args:
            id: Whose.
            access_token: The one that was rejected: only if it is still that one, so that a second report does not end
                its successor.
        """
        record_id = check_id(id)
        self._settle()
        change = self._transactions.run(
            lambda snapshot, now_ms: plan_invalidation(record_id, access_token, snapshot, now_ms), Snapshot()
        )
        if change:
            self._stats.count("invalidations")

    def stats(self) -> dict[str, int]:
        """Return counters of what this store has done in this process (:mod:`zoho_token_store.stats`)."""
        return self._stats.read()

    def ping(self) -> None:
        """Return if Redis answers.

        Raises:
            StoreUnavailable: It does not.
            ConfigurationError: It is older than 6.2.
        """
        self._link.ping()

    def close(self) -> None:
        """Store what is kept, give leases back, close the connections."""
        self._end()

    def __enter__(self) -> RedisTokenStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reset_after_fork(self) -> None:
        """Become a store of its own in a forked child; called by the fork itself."""
        self._owners.__init__()  # type: ignore[misc]
        self._held.reset_after_fork()
        self._stats.reset_after_fork()
        self._link.reset_after_fork()
        self._repository.reset_after_fork()
        self._finder.reset_after_fork()
        self._kept.reset_after_fork()

    def _settle(self) -> None:
        """Store first what is kept: whatever comes next is about what this process has saved."""
        if len(self._kept):
            self._kept.settle()

    def _make(self, record: TokenRecord, like: Any = None) -> Any:
        token = make_token(record, self._repository.server_clock, usable=True, like=like)
        carry(token, Carried(self, record, None))
        return token

    def _hand_out(self, record: TokenRecord, lease: Lease | None, like: Any = None) -> Any:
        """Return the token of a look-up; with a lease it has no access token, which makes the SDK refresh."""
        token = make_token(record, self._repository.server_clock, usable=lease is None, like=like)
        carry(token, Carried(self, record, lease))
        return token


def _end(kept: KeptSaves, held: HeldLeases, repository: Repository, link: RedisLink) -> None:
    """Store what is kept, give leases back, close connections: what a store does when it or its process ends."""
    kept.close()
    try:
        repository.release(held.take_all())
    except TokenStoreError as error:
        log.warning("leases could not be given back, and will run out: %s", error)
    link.close()
