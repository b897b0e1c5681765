"""What applications and operators ask of a store beside the SDK: looks, adoption, new keys, and ends of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from zoho_token_store.adoption import Adoption
from zoho_token_store.change import Change
from zoho_token_store.clock import SystemClock
from zoho_token_store.crm_calls import CrmCalls
from zoho_token_store.errors import (
    ConfigurationError,
    InvalidToken,
    TokenStoreError,
)
from zoho_token_store.keyspace import check_id, read_user_pointer, user_pointer
from zoho_token_store.lifecycle import watch
from zoho_token_store.options import Options
from zoho_token_store.parts import Parts
from zoho_token_store.plan import plan_deletion, plan_invalidation
from zoho_token_store.record import TokenRecord
from zoho_token_store.redaction import install_redaction
from zoho_token_store.removal import remove
from zoho_token_store.rotation import RotationProgress, rotate
from zoho_token_store.sdk import (
    Carried,
    carry,
    make_token,
    read_token,
)
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.storage import read_one


class Operations(CrmCalls):
    """A store, but for the six methods that the SDK calls."""

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
        self._shortcut = parts.shortcut
        self._succession = parts.succession
        self._begin_handing_out()
        watch(self, parts.end)

    def get(self, id: str) -> Any:
        """Return the token under an id without lease or any other effect; None if there is none.

        Raises:
            CorruptRecord, DecryptionFailed, UnsupportedSchema: It cannot be read.
        """
        record = self._repository.get(check_id(id))
        return None if record is None else self._make(record)

    def get_by_user(self, user_name: str, on_unreadable: Callable[[TokenStoreError], None] | None = None) -> list[Any]:
        """Return the tokens of a user, one for each client, without lease or any other effect.

        Args:
            user_name: Whose.
            on_unreadable: See :meth:`iter_tokens`.

        Raises:
            InvalidToken: It is no user's name.
        """
        if not isinstance(user_name, str) or not user_name:
            raise InvalidToken("user_name", "must be text")
        try:
            name = user_pointer(user_name)
        except UnicodeEncodeError:
            raise InvalidToken("user_name", "cannot be written as UTF-8") from None
        snapshot = Snapshot()
        self._repository.load(snapshot, [name], ())
        ids = sorted(read_user_pointer(snapshot.string(name)).values())
        # A pointer may lead to another's record if somebody else has changed it.
        found = (read_one(partial(self._repository.get, each), on_unreadable) for each in ids)
        mine = dict.fromkeys(record for record in found if record and record.user_name == user_name)
        return [self._make(record) for record in mine]

    def peek(self, token: Any) -> Any:
        """Return the stored token of a caller's token without lease or any other effect; None if there is none.

        As :meth:`find_token`, also None for a grant code or a refresh token that is here still to be spent.

        Args:
            token: An ``OAuthToken``; it is not filled in.
        """
        record = self._parts.adopter.find(read_token(token))
        return None if record is None else self._make(record)

    def iter_tokens(
        self, batch: int = 500, on_unreadable: Callable[[TokenStoreError], None] | None = None
    ) -> Iterator[Any]:
        """Yield every token of the namespace, in order of id. Takes no lease.

        Args:
            batch: How many are read at a time.
            on_unreadable: Told of each record that cannot be read, which is then left out; None lets the error end it.
        """
        for page in self._repository.pages(check_batch(batch), on_unreadable):
            for record in page:
                yield self._make(record)

    def adopt(self, tokens: Iterable[Any], *, dry_run: bool = False) -> list[Adoption]:
        """Take tokens over from another store, unless newer ones are here; their ids are kept if they are free here.

        Tokens of one user and client, or with one refresh or grant token, are one grant. Of two the one that expires
        later is newer; an older one fills gaps and replaces nothing. What was deleted here does not come back.

        Args:
            tokens: Each an ``OAuthToken``; a few hundred at a time, since all of them are looked up at once.
            dry_run: Whether to say only what would become of them.

        Returns:
            What has become of each.

        Raises:
            InvalidToken: One of them cannot be stored; nothing was done.
            StoreUnavailable: Redis does not answer. It can be done again: what is here is left.
        """
        self._settle()
        adoptions = self._parts.adopter.adopt([read_token(token) for token in tokens], dry_run=dry_run)
        for each in adoptions:
            if each.record_id:
                self._forget(each.record_id)
        return adoptions

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

    def delete_unreadable(self, id: str) -> bool:
        """Delete a token that cannot be read, for good, with all that it may hold; one that can, as ever.

        Only its own keys or rows are removed, and the entry in the list of all: what leads to it is not known, and
        leads nowhere from then on. ``audit(repair=True)`` of a Redis store clears that away.

        Returns:
            Whether there was one.

        Raises:
            TokenStoreError: It was merged into another, which cannot be read: the error names that one.
        """
        record_id = check_id(id)
        self._settle()
        try:
            return remove(self._repository, record_id, self._delete, self._stats)
        finally:
            self._forget(record_id)

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
        self._succession.forget_to_revoke(record_id)
        try:
            return self._parts.revoker.revoke(record_id)
        finally:
            self._forget(record_id)  # it may have been learnt again meanwhile

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

    def _delete(self, record_id: str) -> Change | None:
        change = self._transactions.run(lambda snapshot, _: plan_deletion(record_id, snapshot), Snapshot())
        if change:
            self._stats.count("deletes")
        return change


def check_batch(batch: object) -> int:
    """Return how many records are looked at in one step, if it can be used."""
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 10_000:
        raise ConfigurationError("batch", "must be a whole number from 1 to 10000")
    return batch
