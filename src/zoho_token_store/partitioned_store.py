"""One application over several namespaces, for a team that outgrows what one server serves."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar, cast

from zoho_token_store.adoption import CONFLICT, Adoption, is_same_grant
from zoho_token_store.crm_calls import CrmCalls
from zoho_token_store.errors import (
    UNREADABLE,
    AmbiguousToken,
    ConfigurationError,
    InvalidToken,
    StoreUnavailable,
    TokenNotFound,
    TokenStoreError,
)
from zoho_token_store.keyspace import check_id, check_namespace, is_id
from zoho_token_store.lifecycle import watch
from zoho_token_store.match import TokenData, lease_names, selectors
from zoho_token_store.options import check_count
from zoho_token_store.partitions import MOST, Partitions
from zoho_token_store.redis_store import RedisTokenStore
from zoho_token_store.rotation import RotationProgress
from zoho_token_store.sdk import origin_of, read_token
from zoho_token_store.store import CoordinatedTokenStore

T = TypeVar("T")

NO_KEY = ""
"""The key of what has none: all of that meets in one partition."""


def client_id_of(token: Any) -> str | None:
    """Return a token's client id: what no two tokens of one grant differ in."""
    client_id: str | None = token.get_client_id()
    return client_id


class PartitionedTokenStore(CrmCalls):
    """The tokens of one application in several namespaces, each a store of its own.

    What chooses the partition is a key: by default the client id. Whatever holds for a store holds for all tokens of
    one key, by the same steps. Ids need no key. What shows neither id nor key is looked for in all partitions.

    Args:
        stores: The partitions, in an order that stays: stores with namespaces of their own, on one server or several.
        key: Returns the key of an ``OAuthToken``: text, the same for whatever may be one grant, such as the tenant;
            None if the token does not say. It has to be known wherever a grant code is spent.

    Raises:
        ConfigurationError: Something of this cannot be used; the message says what can.
    """

    def __init__(
        self, stores: Sequence[CoordinatedTokenStore], key: Callable[[Any], str | None] = client_id_of
    ) -> None:
        if not callable(key):
            raise ConfigurationError("key", "must be a function of an OAuthToken that returns text or None")
        self._partitions = Partitions(stores)
        self._key = key
        self._begin_handing_out()
        watch(self, lambda: None)  # forks; each partition sees to its own end

    @classmethod
    def from_url(
        cls,
        urls: str | Sequence[str],
        namespace: str,
        partitions: int,
        *,
        key: Callable[[Any], str | None] = client_id_of,
        **options: Any,
    ) -> PartitionedTokenStore:
        """Return a store over the namespaces ``<namespace>.0``, ``<namespace>.1`` and so on, in Redis.

        Args:
            urls: What ``RedisTokenStore.from_url`` takes; of several, each has every so many-th partition.
            namespace: The application's tokens.
            partitions: How many, 1 to 256; written down in each of them, and refused if it is another.
            key: See the class.
            options: See :class:`~zoho_token_store.RedisTokenStore`, for each partition.

        Raises:
            ConfigurationError: Something of this cannot be used.
        """
        check_count("partitions", partitions, 1, MOST)
        check_namespace(namespace)
        places = [urls] if isinstance(urls, str) else urls
        if not isinstance(places, (list, tuple)) or not places:
            raise ConfigurationError("urls", "must be a URL, or a list of several")
        made = (
            RedisTokenStore.from_url(places[number % len(places)], f"{namespace}.{number}", **options)
            for number in range(partitions)
        )
        return cls(list(made), key)

    @property
    def stores(self) -> tuple[CoordinatedTokenStore, ...]:
        """The partitions, in their order: for what is of one namespace, such as events and audits."""
        return self._partitions.stores

    def home(self, key: str) -> CoordinatedTokenStore:
        """Return the partition of a key, to be used as a store for whatever has this key."""
        return self._partitions.store(self._partitions.home(_checked(key)))

    # The six methods that the SDK calls.

    def find_token(self, token: Any) -> Any:
        """See :meth:`CoordinatedTokenStore.find_token`."""
        data = read_token(token)
        self._handed.token = found = self._find(token, data)
        return found

    def _find(self, token: Any, data: TokenData) -> Any:
        """Look up where the same look-up has ended before; else, and if nothing is there any more, where it belongs.

        Not without id and key, since another partition may have got a namesake; nor away from the key's own partition
        with something to spend: what is left of a look-up that finds nothing is a lease, and that is for there.
        """
        key = self._key_of(token)
        home = self._partitions.home(key or NO_KEY)
        spends = bool(data.grant_token or data.refresh_token)
        asked = (data.id, key, data.client_id, selectors(data).names())
        number = self._partitions.warm.get(asked)
        if number is not None:
            found = self._store(number).find_token(token)
            if found is not None or spends:
                return found
        number = self._for_look_up(data, home, has_key=key is not None)
        if (number == home or not spends) and (key is not None or data.id is not None):
            self._partitions.warm.put(asked, number)
        return self._store(number).find_token(token)

    def _for_look_up(self, data: TokenData, home: int, *, has_key: bool) -> int:
        if data.id is not None:
            number = self._partitions.with_id(check_id(data.id))
            if number is not None:
                return number
            if data == TokenData(id=data.id):
                return self._partitions.of_id(data.id)
        return self._partitions.with_data(data, home, has_key=has_key, logs_in=True)

    def find_token_by_id(self, id: str) -> Any:
        """See :meth:`CoordinatedTokenStore.find_token_by_id`."""
        record_id = check_id(id)
        number = self._partitions.of_id(record_id)
        if self._elects_for_missing(number):
            number = self._place(record_id)  # before anybody is elected to make a record that is elsewhere
        try:
            found = self._store(number).find_token_by_id(record_id)
        except TokenNotFound:
            elsewhere = self._partitions.with_id(record_id)
            if elsewhere in (None, number):
                raise
            found = self._store(elsewhere).find_token_by_id(record_id)
        self._handed.token = found
        return found

    def save_token(self, token: Any) -> None:
        """See :meth:`CoordinatedTokenStore.save_token`. What a partition has handed out goes back to it.

        While the one that it belongs to is away, it is kept for that one.
        """
        data = read_token(token)
        if data.id is not None:
            check_id(data.id)
        number = self._partitions.number_of(origin_of(token))
        if number is None:
            try:
                number = self._for_save(token, data)
                self._store(number)
            except StoreUnavailable:
                number = self._likely(token, data)  # it stores the save, or keeps it: lost it must not be
        self.stores[number].save_token(token)

    def delete_token(self, id: str) -> None:
        """See :meth:`CoordinatedTokenStore.delete_token`."""
        self._of_id(id).delete_token(id)

    def get_tokens(self) -> list[Any]:
        """Return every token of all partitions. Takes no lease."""
        return list(self.iter_tokens())

    def delete_tokens(self) -> None:
        """Delete every token of all partitions; one that fails leaves the others to be emptied.

        Raises:
            TokenStoreError: What the first that has failed says.
        """
        self._each(lambda store: store.delete_tokens())

    # What the SDK does not ask for.

    def get(self, id: str) -> Any:
        """See :meth:`CoordinatedTokenStore.get`."""
        return self._of_id(id).get(id)

    def get_by_user(self, user_name: str, on_unreadable: Callable[[TokenStoreError], None] | None = None) -> list[Any]:
        """See :meth:`CoordinatedTokenStore.get_by_user`; of all partitions."""
        unreadable: list[TokenStoreError] = []
        note = None if on_unreadable is None else unreadable.append
        found = self._all(lambda store: store.get_by_user(user_name, note))
        for error in unreadable:  # in the caller's thread
            if on_unreadable:
                on_unreadable(error)
        return sorted((token for tokens in found for token in tokens), key=lambda token: str(token.get_id()))

    def peek(self, token: Any) -> Any:
        """See :meth:`CoordinatedTokenStore.peek`."""
        data, key = read_token(token), self._key_of(token)
        home = self._partitions.home(key or NO_KEY)
        return self._store(self._for_look_up(data, home, has_key=key is not None)).peek(token)

    def iter_tokens(
        self, batch: int = 500, on_unreadable: Callable[[TokenStoreError], None] | None = None
    ) -> Iterator[Any]:
        """Yield every token of all partitions, in order of id, reading ``batch`` of each at a time. Takes no lease.

        Args:
            batch: See above.
            on_unreadable: See :meth:`CoordinatedTokenStore.iter_tokens`.
        """
        each = [self._store(number).iter_tokens(batch, on_unreadable) for number in range(len(self._partitions))]
        return heapq.merge(*each, key=lambda token: token.get_id())

    def adopt(self, tokens: Iterable[Any], *, dry_run: bool = False) -> list[Adoption]:
        """See :meth:`CoordinatedTokenStore.adopt`. Each goes where it is already, else to the partition of its key."""
        arriving = [(token, read_token(token)) for token in tokens]
        adoptions: dict[int, Adoption] = {}
        bound_for: dict[int, list[int]] = {}
        for place, (token, data) in enumerate(arriving):
            try:
                bound_for.setdefault(self._for_adoption(token, data), []).append(place)
            except (AmbiguousToken, *UNREADABLE) as error:
                adoptions[place] = Adoption(CONFLICT, None, str(error.error_message))
        for number, places in bound_for.items():
            done = self._store(number).adopt([arriving[place][0] for place in places], dry_run=dry_run)
            adoptions.update(zip(places, done, strict=True))
        return [adoptions[place] for place in range(len(arriving))]

    def rotate_keys(self, batch: int = 500) -> Iterator[RotationProgress]:
        """See :meth:`CoordinatedTokenStore.rotate_keys`; one partition after another, told as one."""
        total = sum(self._store(number)._repository.count() for number in range(len(self._partitions)))
        before = RotationProgress(total)
        for store in self.stores:
            progress = before
            for step in store.rotate_keys(batch):
                failed = before.failed + step.failed
                progress = replace(before, seen=before.seen + step.seen, moved=before.moved + step.moved, failed=failed)
                yield progress
            before = progress

    def invalidate_access_token(self, id: str, access_token: str | None = None) -> None:
        """See :meth:`CoordinatedTokenStore.invalidate_access_token`."""
        self._of_id(id).invalidate_access_token(id, access_token)

    def delete_unreadable(self, id: str) -> bool:
        """See :meth:`CoordinatedTokenStore.delete_unreadable`."""
        return self._of_id(id).delete_unreadable(id)

    def revoke(self, id: str) -> bool:
        """See :meth:`CoordinatedTokenStore.revoke`."""
        return self._of_id(id).revoke(id)

    def keep_fresh(self, ids: Iterable[str] | None = None) -> float:
        """See :meth:`CoordinatedTokenStore.keep_fresh`; a partition that is away holds up no other."""
        if ids is None:
            return min(self._each(lambda store: store.keep_fresh()))
        chosen: dict[int, list[str]] = {number: [] for number in range(len(self._partitions))}
        for each in ids:
            chosen[self._place(check_id(each))].append(each)
        return min(self._each(lambda store: store.keep_fresh(chosen[self.stores.index(store)])))

    def stats(self) -> dict[str, int]:
        """Return the counters of all partitions together (:mod:`zoho_token_store.stats`)."""
        total: Counter[str] = Counter()
        for store in self.stores:
            total.update(store.stats())
        return dict(total)

    def ping(self) -> None:
        """Return if every partition can be used, and is the one that it is taken for.

        Raises:
            StoreUnavailable: One cannot.
            ConfigurationError: One never will.
        """
        self._all(lambda store: store.ping())

    def close(self) -> None:
        """Close every partition."""
        for store in self.stores:
            store.close()

    def __enter__(self) -> PartitionedTokenStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reset_after_fork(self) -> None:
        """Forget what the parent knows; called by the fork itself."""
        self._partitions.reset_after_fork()

    def _store(self, number: int) -> CoordinatedTokenStore:
        return self._partitions.store(number)

    def _of_id(self, id: str) -> CoordinatedTokenStore:
        return self._store(self._place(check_id(id)))

    def _place(self, record_id: str) -> int:
        """Return the partition that knows an id; if none does, the one that it would lead to."""
        number = self._partitions.with_id(record_id)
        return self._partitions.of_id(record_id) if number is None else number

    def _elects_for_missing(self, number: int) -> bool:
        return self.stores[number]._repository.options.on_missing_id == "none"

    def _for_adoption(self, token: Any, data: TokenData) -> int:
        """Return where a token goes that comes with the id of another store, which may be somebody else's here."""
        if data.id is not None and is_id(data.id):
            number = self._partitions.with_id(data.id)
            if number is not None:
                held = self._store(number).get(data.id)
                if held is None or is_same_grant(data, read_token(held)):
                    return number
        return self._for_save(token, data._replace(id=None))

    def _for_save(self, token: Any, data: TokenData) -> int:
        """Return where a save goes that no partition has handed out the object of."""
        number = self._partitions.with_id(data.id) if data.id is not None else None
        if number is not None:
            return number
        number = self._claimed(data)
        if number is not None:
            return number
        key = self._key_of(token)
        home = self._partitions.home(key or NO_KEY)
        return self._partitions.with_data(data, home, has_key=key is not None, logs_in=False)

    def _likely(self, token: Any, data: TokenData) -> int:
        """Return where a save most likely goes, as far as can be told without asking."""
        number = self._claimed(data)
        if number is not None:
            return number
        if data.id is not None:
            return self._partitions.of_id(data.id)
        return self._partitions.home(self._key_of(token) or NO_KEY)

    def _claimed(self, data: TokenData) -> int | None:
        """Return which partition has given this thread a lease to spend what a token brings."""
        names = list(lease_names(data))
        return next((number for number, store in enumerate(self.stores) if store._parts.owners.claimed(names)), None)

    def _key_of(self, token: Any) -> str | None:
        key = self._key(token)
        return None if key is None else _checked(key)

    def _all(self, ask: Callable[[CoordinatedTokenStore], T]) -> list[T]:
        """Ask all partitions at once."""
        answers = self._partitions.ask(range(len(self._partitions)), lambda number: ask(self._store(number)))
        for answer in answers:
            if isinstance(answer, StoreUnavailable):
                raise answer
        return cast("list[T]", answers)

    def _each(self, act: Callable[[CoordinatedTokenStore], T]) -> list[T]:
        """Do something with every partition, whatever it comes to in others; raise the first error in the end."""
        done: list[T] = []
        failure: TokenStoreError | None = None
        for number in range(len(self._partitions)):
            try:
                done.append(act(self._store(number)))
            except TokenStoreError as error:
                failure = failure or error
        if failure:
            raise failure
        return done


def _checked(key: object) -> str:
    if not isinstance(key, str):
        raise InvalidToken("key", "the key of a token must be text, or None if the token does not say")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise InvalidToken("key", "the key of a token cannot be written as UTF-8") from None
    return key
