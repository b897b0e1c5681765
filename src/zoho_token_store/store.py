"""The store that the Zoho SDK talks to, whatever it keeps its tokens in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import ConfigurationError, RefreshRejected, StoreUnavailable, TokenStoreError
from zoho_token_store.finder import Found
from zoho_token_store.keyspace import check_id
from zoho_token_store.lease import Lease
from zoho_token_store.lifecycle import watch
from zoho_token_store.match import TokenData, selectors
from zoho_token_store.options import USABLE, Options
from zoho_token_store.parts import Parts
from zoho_token_store.plan import plan_deletion, plan_invalidation
from zoho_token_store.record import TokenRecord
from zoho_token_store.redaction import install_redaction
from zoho_token_store.rotation import RotationProgress, rotate
from zoho_token_store.sdk import (
    Carried,
    carried,
    carry,
    expires_ms,
    fill_token,
    give_up_lease,
    make_token,
    read_token,
    rejects_token,
    set_id,
    stamp_token,
    wants_name,
)
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.zoho_sdk import TokenStore

log = logging.getLogger("zoho_token_store")

T = TypeVar("T")
S = TypeVar("S", bound="CoordinatedTokenStore")


class CoordinatedTokenStore(TokenStore):
    """What all stores have in common: all of it but where the tokens are.

    Not made itself: ``RedisTokenStore``, ``SQLiteTokenStore`` and ``MemoryTokenStore`` differ in construction only.
    """

    def _start(self, parts: Parts, options: Options, clock: SystemClock) -> None:
        """Begin with these parts; to be called once, by the constructor."""
        self._clock = clock
        if options.redact_sdk_log:
            install_redaction()
        self._parts = parts
        self._origin = parts.origin
        self._stats = parts.stats
        self._repository = parts.repository
        self._transactions = parts.transactions
        self._saver = parts.saver
        self._kept = parts.kept
        self._supply = parts.supply
        self._shortcut = parts.shortcut
        self._handed = threading.local()
        watch(self, parts.end)

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
        data = read_token(token)
        if data.id is not None:
            check_id(data.id)
        if data.id is not None and data == TokenData(id=data.id):
            self._settle()
            record = self._repository.get(data.id)
            found = Found(record, None) if record else None
        else:
            found = self._by_data(token, data)
        if found is None or found.record is None:
            return None
        stored = self._hand_out(found.record, found.lease, like=token)
        fill_token(token, stored)
        give_up_lease(token, self._origin)
        return stored

    def _by_data(self, token: Any, data: TokenData) -> Found | None:
        if self._shortcut is None:
            return self._ask_by_data(token, data)
        # All that the look-up goes by: an id that leads nowhere leaves the choice to the others.
        key = (data.id or "", data.client_id or "", *selectors(data).names())
        known = self._shortcut.find(key)
        if known:
            return Found(known.record, None)
        return self._shortcut.learn(key, lambda: self._ask_by_data(token, data))

    def _ask_by_data(self, token: Any, data: TokenData) -> Found | None:
        self._settle()
        own = expires_ms(data) > (self._clock.wall() + USABLE) * 1000
        try:
            found = self._supply.by_data(data, names_user=wants_name(token), own=own)
        except RefreshRejected as refusal:
            if not self._brings_news(data, refusal.record_id):
                raise
            self.save_token(token)
            return self._supply.by_data(data, names_user=wants_name(token), own=False)
        if found is None or found.record is not None:
            return found
        carry(token, Carried(self._origin, None, found.lease, data.refresh_token))
        if not own:
            return found
        # The SDK goes on with the access token that the caller brings, and saves nothing: a refresh token that came
        # with it would never be stored. SDK 6.0 also loses the save of an exchange if its user look-up fails.
        self.save_token(token)
        return self._supply.by_data(read_token(token), names_user=False, own=False)

    def _brings_news(self, data: TokenData, record_id: str | None) -> bool:
        """Return whether a caller brings something that Zoho has not refused yet, such as the right client secret."""
        record = self._repository.get(record_id) if record_id else None
        return record is not None and any(
            mine is not None and mine != stored
            for mine, stored in ((data.client_secret, record.client_secret), (data.redirect_url, record.redirect_url))
        )

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
        if self._shortcut is None:
            found = self._ask_by_id(check_id(id))
        else:
            known = self._shortcut.find(id) if isinstance(id, str) else None
            if known:
                self._handed.token = token = stamp_token(known.attributes)
                return token
            record_id = check_id(id)
            found = self._shortcut.learn(record_id, lambda: self._ask_by_id(record_id))
        return None if found is None or found.record is None else self._hand_out(found.record, found.lease)

    def _ask_by_id(self, record_id: str) -> Found | None:
        self._settle()
        return self._supply.by_id(record_id)

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
        brought = carried(token, self._origin) or Carried(self._origin, None, None)

        def stored(record: TokenRecord | None, record_id: str) -> None:
            set_id(token, record_id)
            self._forget(record_id)
            if record:
                carry(token, Carried(self._origin, record, None))

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
        self._forget(record_id)
        self._settle()
        if self._transactions.run(lambda snapshot, _: plan_deletion(record_id, snapshot), Snapshot()):
            self._stats.count("deletes")
        self._forget(record_id)  # it may have been learnt again while Redis was at it

    def get_tokens(self) -> list[Any]:
        """Return every token of the namespace. Takes no lease."""
        return list(self.iter_tokens())

    def delete_tokens(self) -> None:
        """Delete every token of the namespace, in bounded steps.

        Raises:
            CorruptRecord, DecryptionFailed: The first of those that cannot be read; all others were deleted.
        """
        self._settle()  # else a login that is kept here would come after it
        unreadable: list[TokenStoreError] = []
        for page in self._repository.pages(500, unreadable.append):
            for record in page:
                self.delete_token(record.id)
        if unreadable:
            raise unreadable[0]

    # What the SDK does not ask for.

    def get(self, id: str) -> Any:
        """Return the token under an id without lease or any other effect; None if there is none."""
        record = self._repository.get(check_id(id))
        return None if record is None else self._make(record)

    def iter_tokens(self, batch: int = 500) -> Iterator[Any]:
        """Yield every token of the namespace, in order of id, reading ``batch`` of them at a time. Takes no lease."""
        for page in self._repository.pages(check_batch(batch)):
            for record in page:
                yield self._make(record)

    def rotate_keys(self, batch: int = 500) -> Iterator[RotationProgress]:
        """Move every record to the keys that this store writes with: sealed under the first, pointers under all.

        Workers go on meanwhile. It may be stopped at any time and begun again; what has been moved is then only read.
        Nothing happens before the first step is asked for::

            for progress in store.rotate_keys():
                print(progress.seen, "of", progress.total)

        Args:
            batch: How many records are looked at in one round trip.

        Yields:
            How far it has come. Records that cannot be opened are left as they are, and named.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return rotate(self._repository, check_batch(batch))

    def invalidate_access_token(self, id: str, access_token: str | None = None) -> None:
        """Drop an access token that CRM has rejected; the next look-up elects a worker to refresh.

        Args:
            id: Whose.
            access_token: The one that was rejected: only if it is still that one, so that a second report does not end
                its successor.
        """
        record_id = check_id(id)
        self._forget(record_id)
        self._settle()
        change = self._transactions.run(
            lambda snapshot, now_ms: plan_invalidation(record_id, access_token, snapshot, now_ms), Snapshot()
        )
        self._forget(record_id)
        if change:
            self._stats.count("invalidations")

    def revoke(self, id: str) -> bool:
        """Log out: end a token at Zoho, with every refresh token that it has, and delete it here.

        Zoho is asked first, for at most ``request_timeout`` seconds, since a refresh token that was deleted could not
        be ended any more: until the deletion the call can be repeated, whatever it has died of. The deletion follows
        whatever Zoho has said. A token that Zoho has ended before counts as ended, and one without a refresh token is
        only deleted.

        Returns:
            Whether there was one. As with :meth:`delete_token`, an id without a token is no error: logging out twice is
            logging out. One that was deleted by :meth:`delete_token` alone lives on at Zoho, and is not ended by this.

        Raises:
            RevocationIncomplete: One half has failed, or both; it says which, and what is left to do.
            StoreUnavailable: Redis does not answer, and nothing was done.
            ConfigurationError: It is not known which accounts server the token belongs to, and nothing was done.
            TokenStoreError: The record cannot be read, and nothing was done.
        """
        record_id = check_id(id)
        self._forget(record_id)
        self._settle()
        try:
            return self._parts.revoker.revoke(record_id)
        finally:
            self._forget(record_id)  # it may have been learnt again meanwhile

    def call_crm(self, call: Callable[[], T]) -> T:
        """Make a call of the SDK; if CRM rejects the access token, invalidate it and make the call once more.

        ::

            response = store.call_crm(lambda: RecordOperations("Leads").get_records(parameters))

        Args:
            call: Makes one call, in this thread.

        Returns:
            What the last call has returned, also if that is CRM's refusal again.
        """
        self._handed.token = None
        response = call()
        used = self._handed.token
        if used is None or not rejects_token(response):
            return response
        self.invalidate_access_token(used.get_id(), used.get_access_token())
        return call()

    def keep_fresh(self, ids: Iterable[str] | None = None) -> float:
        """Refresh what is due, earlier than any worker would, so that none of them ever has to.

        For a process of its own, or a task that runs now and then; several may, since they elect as workers do.

        Args:
            ids: Which tokens; None for all of the namespace.

        Returns:
            Seconds until it should be called again, at most 60.

        Raises:
            ConfigurationError: The store does not refresh by itself (``refresh="managed"``).
            StoreUnavailable: Redis does not answer. A refresh that fails is only logged and counted.
        """
        keeper = self._parts.keeper
        if keeper is None:
            raise ConfigurationError("refresh", 'must be "managed" for a store that keeps tokens fresh')
        self._settle()
        return keeper.keep_fresh(None if ids is None else [check_id(each) for each in ids])

    def stats(self) -> dict[str, int]:
        """Return counters of what this store has done in this process (:mod:`zoho_token_store.stats`)."""
        return self._stats.read() | (self._shortcut.hits() if self._shortcut else {})

    def ping(self) -> None:
        """Return if the store can be used: if Redis answers, if the file can be read.

        Raises:
            StoreUnavailable: It cannot.
            ConfigurationError: It never will: Redis is older than 6.2, the file holds something else.
        """
        self._repository.ping()

    def close(self) -> None:
        """Store what is kept, give leases back, close the connections."""
        self._parts.end()

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reset_after_fork(self) -> None:
        """Become a store of its own in a forked child; called by the fork itself."""
        self._parts.reset_after_fork()

    def _forget(self, record_id: str) -> None:
        if self._shortcut:
            self._shortcut.drop(record_id)

    def _settle(self) -> None:
        """Store first what is kept: whatever comes next is about what this process has saved."""
        if len(self._kept):
            self._kept.settle()

    def _make(self, record: TokenRecord, like: Any = None) -> Any:
        token = make_token(record, self._repository.server_clock, usable=True, like=like)
        carry(token, Carried(self._origin, record, None))
        return token

    def _hand_out(self, record: TokenRecord, lease: Lease | None, like: Any = None) -> Any:
        """Return the token of a look-up; with a lease it has no access token, which makes the SDK refresh."""
        token = make_token(record, self._repository.server_clock, usable=lease is None, like=like)
        carry(token, Carried(self._origin, record, lease))
        self._handed.token = token
        return token


def check_batch(batch: object) -> int:
    """Return how many records are looked at in one step, if it can be used."""
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 10_000:
        raise ConfigurationError("batch", "must be a whole number from 1 to 10000")
    return batch
