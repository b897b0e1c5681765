"""The store that the Zoho SDK talks to, whatever it keeps its tokens in."""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeVar

from zoho_token_store.clearing import clear
from zoho_token_store.errors import (
    UNREADABLE,
    RefreshRejected,
    StoreUnavailable,
    TokenStoreError,
    UnsupportedSchema,
)
from zoho_token_store.finder import Found
from zoho_token_store.keyspace import check_id
from zoho_token_store.lease import Lease
from zoho_token_store.match import TokenData, selectors
from zoho_token_store.operations import Operations
from zoho_token_store.options import USABLE
from zoho_token_store.record import TokenRecord
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
    stamp_token,
    wants_name,
)

S = TypeVar("S", bound="CoordinatedTokenStore")


class CoordinatedTokenStore(Operations):
    """What all stores have in common: all of it but where the tokens are.

    Not made itself: ``RedisTokenStore``, ``SQLiteTokenStore`` and ``MemoryTokenStore`` differ in construction only.
    """

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
            record = self._succession.get(data.id)
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
            found = self._succession.by_data(data, names_user=wants_name(token), own=own)
        except RefreshRejected as refusal:
            if not self._brings_news(data, refusal.record_id):
                raise
            self.save_token(token)
            return self._succession.by_data(data, names_user=wants_name(token), own=False)
        if found is None or found.record is not None:
            return found
        carry(token, Carried(self._origin, None, found.lease, data.refresh_token))
        if not own:
            return found
        # The SDK goes on with the access token that the caller brings, and saves nothing: a refresh token that came
        # with it would never be stored. SDK 6.0 also loses the save of an exchange if its user look-up fails.
        self.save_token(token)
        return self._succession.by_data(read_token(token), names_user=False, own=False)

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
        return self._succession.by_id(record_id)

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

        A worker that still holds it gets ``TokenDeleted`` from then on, and cannot bring it back by saving it. Who logs
        out shall be logged out: one that a newer release has written is deleted as far as this release knows it.
        """
        record_id = check_id(id)
        self._forget(record_id)
        self._settle()
        self._succession.forget(record_id)
        self._delete(record_id)
        self._forget(record_id)  # it may have been learnt again while Redis was at it

    def get_tokens(self) -> list[Any]:
        """Return every token of the namespace. Takes no lease."""
        return list(self.iter_tokens())

    def delete_tokens(self) -> None:
        """Delete every token of the namespace, in bounded steps.

        What was begun before the call is part of it, also a login that is saved later. A token that is saved while it
        runs may be met by it. If it ends early, a second call does the rest.

        Raises:
            CorruptRecord, DecryptionFailed: The first of those that cannot be read; all others were deleted.
        """
        self._settle()  # else a login that is kept here would come after it
        self._succession.forget_all()
        unreadable: list[TokenStoreError] = []
        for ids in clear(self._repository, self._transactions, unreadable.append):
            self._stats.count("deletes", len(ids))
            for record_id in ids:
                self._forget(record_id)
        left = [error for each in unreadable if (error := self._left(each))]
        if left:
            raise left[0]

    def _left(self, error: TokenStoreError) -> TokenStoreError | None:
        """Return why a record is still there that was not deleted with all others; None for a newer release's."""
        if not isinstance(error, UnsupportedSchema) or error.record_id is None:
            return error
        try:
            self._delete(error.record_id)
            self._forget(error.record_id)
        except UNREADABLE as failure:
            return failure
        return None

    def stats(self) -> dict[str, int]:
        """Return counters of what this store has done in this process (:mod:`zoho_token_store.stats`)."""
        return self._stats.read()

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

    def _hand_out(self, record: TokenRecord, lease: Lease | None, like: Any = None) -> Any:
        """Return the token of a look-up; with a lease it has no access token, which makes the SDK refresh."""
        token = make_token(record, self._repository.server_clock, usable=lease is None, like=like)
        carry(token, Carried(self._origin, record, lease))
        self._handed.token = token
        return token
