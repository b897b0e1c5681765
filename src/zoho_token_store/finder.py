"""Look-ups: ask Redis, wait for the worker that refreshes, ask again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import (
    AmbiguousToken,
    CorruptRecord,
    RefreshFailing,
    RefreshRejected,
    RefreshThrottled,
    RefreshTimeout,
    TokenDeleted,
    TokenNotFound,
    TokenStoreError,
    UnsupportedSchema,
)
from zoho_token_store.lease import Flight, Flights, HeldLeases, Lease, Owners
from zoho_token_store.margin import Margin
from zoho_token_store.match import TokenData
from zoho_token_store.options import Options
from zoho_token_store.provenance import Trail, check_asked, check_found
from zoho_token_store.question import (
    FAILED,
    THROTTLED,
    Answer,
    Contradicts,
    Failing,
    Fresh,
    Gone,
    Leased,
    Moved,
    Question,
    Redirect,
    Refused,
    Schema,
    Wait,
)
from zoho_token_store.recent import Recent
from zoho_token_store.record import TokenRecord
from zoho_token_store.search import Search, Subject
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.stats import Stats
from zoho_token_store.storage import Repository

log = logging.getLogger("zoho_token_store")

LONG_WAIT = 5.0
"""Seconds after which a wait is worth a word in the log."""

Shared = tuple[Question, Fresh]
"""What threads that wait together can share: what was asked, and its answer."""

HINTS = 4096
"""How many look-ups a process remembers the pointers of."""


class Found(NamedTuple):
    """What a look-up has found.

    Attributes:
        record: The record; None if there is none yet, and the caller holds the lease to make it.
        lease: The lease to refresh it; None if its access token may be used, or if there is neither.
        attempts: How many leases there have been since the last save, this one included.
    """

    record: TokenRecord | None
    lease: Lease | None
    attempts: int = 0


class Finder:
    """Finds records, and elects who refreshes them.

    Args:
        repository: The records.
        options: Wait time.
        owners: Names of threads and operations.
        held: Where leases are noted.
        stats: Where it is counted.
        clock: This machine's clocks.
    """

    def __init__(
        self,
        repository: Repository,
        options: Options,
        owners: Owners,
        held: HeldLeases,
        stats: Stats,
        clock: SystemClock,
    ) -> None:
        self._repository = repository
        self._options = options
        self._owners = owners
        self._held = held
        self._stats = stats
        self._clock = clock
        self._flights: Flights[Shared] = Flights()
        self._hints: Recent[tuple[tuple[str, ...], str | None], tuple[str, tuple[str, ...]]] = Recent(HINTS)

    def by_id(self, record_id: str, margin: Margin) -> Found:
        """Find a record by its id.

        Args:
            record_id: The id.
            margin: How long before its end an access token is due.

        Raises:
            TokenNotFound: Never seen, unless the caller shall make it then (``on_missing_id="none"``).
            TokenDeleted: Deleted.
        """
        claims = self._options.on_missing_id == "none" and self._options.refresh == "sdk"
        owner, nonce = self._asker()
        question = Question(record_id, record_id, owner, nonce, margin, claims=claims)
        lease, answer = self._follow(question)
        if isinstance(answer, (Fresh, Leased)):
            return self._found(lease, owner, answer, partial(check_asked, record_id=record_id))
        if self._options.on_missing_id == "none":
            return Found(None, None)  # a store that refreshes by itself has nothing to spend for such an id
        raise TokenNotFound(record_id)

    def by_data(self, data: TokenData, margin: Margin) -> Found | None:
        """Find a record by what a caller's token says: its id first.

        Args:
            data: What it says.
            margin: How long before its end an access token is due.

        Returns:
            None if there is no such record, and no credential by which one could be made.

        Raises:
            TokenDeleted: The id or the grant code belongs to a token that was deleted.
            AmbiguousToken: A user name under several clients, and no client id.
        """
        if data.id is not None:
            owner, nonce = self._asker()
            question = Question(data.id, data.id, owner, nonce, margin, data.client_id or "")
            lease, answer = self._follow(question)
            if isinstance(answer, (Fresh, Leased)):
                check = partial(check_asked, record_id=data.id, client_id=data.client_id)
                return self._found(lease, owner, answer, check)
        return self._by_selectors(data, margin)

    def _asker(self) -> tuple[str, str]:
        """Return the names of who asks and of the operation.

        Whoever asks anew while it holds a lease has failed to refresh: that is how the SDK's threads are told from
        others. A store that refreshes by itself says so when it fails, and its threads go on asking meanwhile: there
        each operation is an owner of its own.
        """
        nonce = self._owners.nonce()
        return nonce if self._options.refresh == "managed" else self._owners.this_thread(), nonce

    def _follow(self, question: Question) -> tuple[str, Answer]:
        """Ask for a record by its id, through redirects; return the name of its lease with the answer."""
        trail = Trail(question.record_id)
        answer = self._ask(question)
        while isinstance(answer, Redirect):
            heir = trail.follow(answer.record_id)
            question = question._replace(record_id=heir, lease=heir)
            answer = self._ask(question)
        if isinstance(answer, Gone):
            raise TokenDeleted(question.record_id)
        return question.lease, answer

    def _by_selectors(self, data: TokenData, margin: Margin) -> Found | None:
        search = Search(data)
        if not search.names:
            return None
        asked = (search.names, data.client_id)
        owner, nonce = self._asker()
        client_id = data.client_id or ""
        check = partial(check_found, data=data)
        hint = self._hints.get(asked)
        if hint:
            record_id, values = hint
            question = Question(record_id, record_id, owner, nonce, margin, client_id, False, search.names, values)
            answer = self._ask(question)
            if isinstance(answer, (Fresh, Leased)):
                return self._found(record_id, owner, answer, check)
        search.seen(self._read(search.names))
        while True:
            subject = self._next(search)
            if subject is None:
                return None
            name, claims = subject
            question = Question(name, name, owner, nonce, margin, client_id, claims, search.names, search.values)
            answer = self._ask(question)
            if isinstance(answer, (Fresh, Leased)):
                if not claims:
                    # Redis compares the pointers again, so that a warm look-up is one round trip.
                    self._hints.put(asked, (name, search.values))
                return self._found(name, owner, answer, check)
            if isinstance(answer, Moved):
                search.seen(answer.values)
            elif isinstance(answer, Redirect):
                search.merged(name, answer.record_id)
            elif isinstance(answer, Contradicts):
                search.foreign(name)
            elif claims:
                raise TokenDeleted(None)
            else:
                search.ended(name)

    def _next(self, search: Search) -> Subject | None:
        """Return what to ask for, having made sure that a user name which leads to several records still does."""
        try:
            return search.subject()
        except AmbiguousToken:
            snapshot = Snapshot()
            namesakes = search.namesakes()
            self._repository.load(snapshot, (), list(namesakes))
            records = {record_id: snapshot.record(record_id) for record_id in namesakes}
            search.ended(*(each for each, record in records.items() if record is None or not search.names_user(record)))
            return search.subject()

    def _ask(self, question: Question) -> Answer:
        """Ask until the answer is not to wait."""
        self._stats.count("finds")
        started = self._clock.monotonic()
        answer = self._join(question) or self._repository.find(question)
        if isinstance(answer, Wait):
            answer = self._wait(question, answer, started)
        if isinstance(answer, Failing):
            raise self._failing(question, answer)
        if isinstance(answer, Refused):
            raise RefreshRejected(_record_id(question), answer.code)
        if isinstance(answer, Schema):
            raise UnsupportedSchema(_record_id(question), answer.schema)
        return answer

    def _failing(self, question: Question, answer: Failing) -> TokenStoreError:
        """Return the error of a look-up that the fleet's cool-down ends."""
        self._stats.count("failing")
        retry_at = self._repository.server_clock.to_here_ms(answer.retry_ms) / 1000
        if answer.reason == THROTTLED:
            return RefreshThrottled(_record_id(question), retry_at)
        if answer.reason in ("", FAILED):
            log.warning("the last refreshes of %s have failed; cooling down", question.lease)
            return RefreshFailing(_record_id(question), retry_at)
        return RefreshRejected(_record_id(question), answer.reason)

    def _wait(self, question: Question, answer: Answer, started: float) -> Answer:
        """Wait until the answer is another; of this process's threads that wait for one lease, one asks Redis."""
        self._stats.count("waits")
        deadline = started + self._options.wait_timeout
        while isinstance(answer, Wait):
            with self._flights.board(question.lease) as (flight, leads):
                if leads:
                    answer = self._sit_out(question, answer, deadline, flight)
                else:
                    shared = self._shared(flight, question, self._left(question, deadline))
                    answer = shared or self._repository.find(question)
        waited = self._clock.monotonic() - started
        if waited > LONG_WAIT:
            log.warning("waited %.1f s for the refresh of %s", waited, question.lease)
        return answer

    def _sit_out(self, question: Question, answer: Answer, deadline: float, flight: Flight[Shared]) -> Answer:
        while isinstance(answer, Wait):
            self._repository.wait(question.lease, answer, self._left(question, deadline))
            flight.asked += 1
            answer = self._repository.find(question)
        if isinstance(answer, Fresh):
            flight.brought = _anybody(question), answer
        return answer

    def _join(self, question: Question) -> Answer | None:
        """Wait with others of this process who wait for the lease; return their answer, if it answers this question.

        Who holds the lease does not wait for itself: that it asks again says that its refresh has failed.
        """
        flight = self._flights.under_way(question.lease)
        if flight is None or self._held.holds(question.lease, question.owner):
            return None
        return self._shared(flight, question, self._options.wait_timeout)

    def _shared(self, flight: Flight[Shared], question: Question, at_most: float) -> Answer | None:
        brought = flight.sit(at_most)
        return brought[1] if brought and brought[0] == _anybody(question) else None

    def _left(self, question: Question, deadline: float) -> float:
        """Return how long a look-up may still wait, seconds."""
        left = deadline - self._clock.monotonic()
        if left <= 0:
            self._stats.count("wait_timeouts")
            log.error("nobody has refreshed %s within %.1f s", question.lease, self._options.wait_timeout)
            raise RefreshTimeout(_record_id(question), self._options.wait_timeout)
        return left

    def _found(self, name: str, owner: str, answer: Fresh | Leased, check: Callable[[TokenRecord], None]) -> Found:
        if isinstance(answer, Fresh):
            check(answer.record)
            return Found(answer.record, None)
        lease, record = Lease(name, owner, answer.fence), answer.record
        if record:
            try:
                check(record)
            except CorruptRecord:
                self._repository.decline(lease)
                raise
            if not answer.usable:
                record = record._replace(access=None)
        self._held.add(lease)
        self._stats.count("leases")
        if answer.attempts > 1:
            self._stats.count("takeovers")
            log.warning("taking over the refresh of %s: %d leases without a save", lease.name, answer.attempts - 1)
        if record is None and self._options.refresh == "sdk":
            self._owners.claim(lease)
        return Found(record, lease, answer.attempts)

    def _read(self, names: tuple[str, ...]) -> tuple[str, ...]:
        snapshot = Snapshot()
        self._repository.load(snapshot, names, ())
        return tuple(snapshot.string(name) for name in names)

    def reset_after_fork(self) -> None:
        """Forget the parent's waits, and what it has seen."""
        self._flights = Flights()
        self._hints.reset_after_fork()


def _anybody(question: Question) -> Question:
    """Return a question as it is the same for all who ask it."""
    return question._replace(owner="", nonce="")


def _record_id(question: Question) -> str | None:
    return None if ":" in question.lease else question.record_id
