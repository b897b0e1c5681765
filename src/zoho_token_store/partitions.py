"""The partitions of an application, and which of them has what: the only module that asks several.

A partition is a store of its own. Nothing here takes a lease or writes to a record: what is found out is where the
look-up or the save has to begin, by the word of the records themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from functools import partial
from typing import NamedTuple, TypeVar

from zoho_token_store.commit import Commit, Point
from zoho_token_store.errors import (
    AmbiguousToken,
    ConfigurationError,
    CorruptRecord,
    DecryptionFailed,
    StoreUnavailable,
)
from zoho_token_store.keyspace import NO_CLIENT, client_digest, read_pointer, read_user_pointer, spread, tombstone
from zoho_token_store.match import TokenData, selectors
from zoho_token_store.provenance import holds
from zoho_token_store.recent import Recent
from zoho_token_store.saver import new_id
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.storage import Repository
from zoho_token_store.store import CoordinatedTokenStore

log = logging.getLogger("zoho_token_store")

T = TypeVar("T")

MOST = 256
"""How many partitions there may be."""

MARK = "partition"
"""The name under which a namespace says which partition it is."""

REMEMBERED = 4096
"""Of how many ids, and of how many look-ups, a process remembers in which partition they have ended."""


class Claim(IntEnum):
    """By what a partition's records answer to a caller; the greater goes first, as in :func:`match.resolve`."""

    NONE = 0
    ACCESS = 1
    USER = 2
    CREDENTIAL = 3


class Held(NamedTuple):
    """What a partition has of a caller.

    Attributes:
        claim: By what.
        records: How many records.
    """

    claim: Claim = Claim.NONE
    records: int = 0


def held(repository: Repository, data: TokenData, *, logs_in: bool) -> Held:
    """Return what a partition has of a caller, by its records' own word. At most two round trips.

    Args:
        repository: The partition.
        data: What the caller says.
        logs_in: Whether the caller would spend a code: then one of a record that was deleted here counts, too.
    """
    wanted = selectors(data)
    snapshot = Snapshot()
    spent = [tombstone(wanted.grant)] if wanted.grant and logs_in else []
    repository.load(snapshot, [*wanted.names(), *spent], ())
    ids = {name: read_pointer(snapshot.string(name)) for name in wanted.names() if name != wanted.user}
    named = read_user_pointer(snapshot.string(wanted.user)) if wanted.user else {}
    if data.client_id is not None:
        mine = named.get(client_digest(data.client_id)) or named.get(NO_CLIENT)
        named = {"": mine} if mine else {}
    leads_to = {*ids.values(), *named.values()} - {""}
    if leads_to:
        repository.load(snapshot, (), sorted(leads_to))
    for name in filter(None, (wanted.grant, wanted.refresh)):
        record = snapshot.record(ids[name]) if ids[name] else None
        if record and holds(record, name):
            return Held(Claim.CREDENTIAL, 1)
    if any(map(snapshot.string, spent)):
        return Held(Claim.CREDENTIAL)
    namesakes = [record for each in {*named.values()} if (record := snapshot.record(each))]
    count = sum(record.user_name == data.user_name for record in namesakes)
    if count:
        return Held(Claim.USER, count)
    seen = snapshot.record(ids[wanted.access]) if wanted.access and ids[wanted.access] else None
    if seen and seen.access and seen.access.token == data.access_token:
        return Held(Claim.ACCESS, 1)
    return Held()


class Partitions:
    """The partitions of one application.

    Args:
        stores: One for each, in their order.

    Raises:
        ConfigurationError: There are none, too many, or they are not stores.
    """

    def __init__(self, stores: Sequence[CoordinatedTokenStore]) -> None:
        usable = isinstance(stores, (list, tuple)) and 1 <= len(stores) <= MOST
        if not usable or not all(isinstance(each, CoordinatedTokenStore) for each in stores):
            raise ConfigurationError("stores", f"must be a list of 1 to {MOST} stores, each with its own namespace")
        if any(each._repository.options.fallback is not None for each in stores):
            # It would take over by id what belongs to another, and empty the old store for all of them.
            raise ConfigurationError("fallback", "is not for partitions: take the old store's tokens over with adopt")
        self.stores = tuple(stores)
        self._numbers = {each._origin: number for number, each in enumerate(self.stores)}
        if len(self._numbers) < len(self.stores):
            raise ConfigurationError("stores", "must not have one of them twice")
        for number, each in enumerate(self.stores):
            each._saver.draw_id = partial(self._draw_id, number)
        self._checked: set[int] = set()
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget where the parent has found what: its locks may have been held."""
        self._ids: Recent[str, int] = Recent(REMEMBERED)
        self.warm: Recent[object, int] = Recent(REMEMBERED)

    def __len__(self) -> int:
        return len(self.stores)

    def home(self, text: str) -> int:
        """Return to which partition a key or an id belongs."""
        return spread(text, len(self.stores))

    def store(self, number: int) -> CoordinatedTokenStore:
        """Return a partition, after making sure, once, that it is the one that it is taken for.

        Raises:
            ConfigurationError: It is not.
            StoreUnavailable: It does not answer.
        """
        store = self.stores[number]
        if number not in self._checked:
            self._check(store._repository, f"{number}of{len(self.stores)}")
            self._checked.add(number)
        return store

    def number_of(self, origin: object) -> int | None:
        """Return which partition has handed a token out; None if none has."""
        return self._numbers.get(origin)

    def of_id(self, record_id: str) -> int:
        """Return where an id is expected: where it was found last, or where it leads to by itself. No I/O."""
        known = self._ids.get(record_id)
        return self.home(record_id) if known is None else known

    def with_id(self, record_id: str) -> int | None:
        """Return which partition knows an id, also if its record was deleted there; None if none does.

        Raises:
            StoreUnavailable: No other does, and one does not answer.
        """
        away: StoreUnavailable | None = None
        for number, knows in self._asked(self.of_id(record_id), lambda number: self._knows(number, record_id)):
            if isinstance(knows, StoreUnavailable):
                away = knows
            elif knows:
                if number != self.home(record_id):
                    self._ids.put(record_id, number)
                return number
        if away:
            raise away
        return None

    def with_data(self, data: TokenData, home: int, *, has_key: bool, logs_in: bool) -> int:
        """Return the partition that a caller's token belongs to, by what its records say of themselves.

        Args:
            data: What the token says.
            home: The partition of its key, or of those without one.
            has_key: Whether it has a key. Then its own partition may be enough, and one that is away elsewhere is left
                out; without a key nobody can tell.
            logs_in: Whether a credential that nobody has goes before the user's name, as in look-ups.

        Raises:
            AmbiguousToken: Several have the user name, and no client id was given.
            StoreUnavailable: See above.
        """
        spends = bool(data.grant_token or data.refresh_token)
        found: dict[int, Held] = {}
        away: StoreUnavailable | None = None
        for number, has in self._asked(home, lambda number: held(self._records(number), data, logs_in=logs_in)):
            if isinstance(has, StoreUnavailable):
                if has_key and number == home:
                    raise has
                away = has
                continue
            found[number] = has
            if has.claim is Claim.CREDENTIAL or (has.claim and number == home and has_key and not spends):
                return number
        if away and not has_key:
            raise away
        if has_key and spends and logs_in:
            return home  # whoever has the name under another key is somebody else
        chosen = _chosen(data, home, found)
        return home if spends and logs_in else chosen

    def ask(self, numbers: Sequence[int], question: Callable[[int], T]) -> list[T | StoreUnavailable]:
        """Ask partitions something, all at once: many that are away take no longer than one.

        Returns:
            Their answers, in the order of the numbers.
        """

        def answer(number: int) -> T | StoreUnavailable:
            try:
                return question(number)
            except StoreUnavailable as error:
                return error

        if len(numbers) < 2:
            return [answer(number) for number in numbers]
        with ThreadPoolExecutor(len(numbers), "zoho-token-store-partitions") as pool:
            return list(pool.map(answer, numbers))

    def _asked(self, first: int, question: Callable[[int], T]) -> Iterator[tuple[int, T | StoreUnavailable]]:
        """Yield what one partition answers, and only if that was not enough what the others do."""
        yield first, self.ask([first], question)[0]
        others = self._from(first)[1:]
        yield from zip(others, self.ask(others, question), strict=True)

    def _from(self, first: int) -> list[int]:
        """Return all partitions, those first that share the most low bits: half as many may have been there once."""
        others = (number for number in range(len(self.stores)) if number != first)
        return [first, *sorted(others, key=lambda number: -((number ^ first) & -(number ^ first)))]

    def _records(self, number: int) -> Repository:
        """Return the records of a partition, after storing what this process keeps for it: that is to be found, too."""
        store = self.store(number)
        store._settle()
        return store._repository

    def _knows(self, number: int, record_id: str) -> bool:
        snapshot = Snapshot()
        try:
            self._records(number).load(snapshot, [tombstone(record_id)], [record_id])
        except (CorruptRecord, DecryptionFailed):
            return True  # whoever works with it is told what is the matter
        return snapshot.record(record_id) is not None or snapshot.string(tombstone(record_id)) != ""

    def _check(self, repository: Repository, expected: str) -> None:
        for _ in range(2):
            snapshot = Snapshot()
            repository.load(snapshot, [MARK], ())
            stored = snapshot.string(MARK)
            if not stored and repository.commit(Commit({MARK: ""}, {}, (Point(MARK, expected, 0),))):
                return
            if stored:
                break
        if stored != expected:
            raise ConfigurationError("stores", f"this namespace is partition {stored!r}, and not {expected!r}")

    def _draw_id(self, number: int, draw: Callable[[], str] = new_id) -> str:
        """Return a new id that leads to a partition by itself."""
        while self.home(drawn := draw()) != number:
            pass
        return drawn


def _chosen(data: TokenData, home: int, found: dict[int, Held]) -> int:
    """Return the partition with the greatest claim, the caller's own before others."""
    most = max((each.claim for each in found.values()), default=Claim.NONE)
    if most is Claim.NONE:
        return home
    best = [number for number, each in found.items() if each.claim is most]
    if most is Claim.USER and data.client_id is None:
        count = sum(found[number].records for number in best)
        if count > 1:
            raise AmbiguousToken(count)
    return home if home in best else best[0]
