"""The parts of a store that has hooks: each does what it always does, and tells of it.

A store without hooks is made of the parts themselves, so that not having any costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from zoho_token_store.change import Change
from zoho_token_store.details import (
    DeletedDetails,
    FencedDetails,
    FoundDetails,
    RefreshedDetails,
    RefreshFailedDetails,
    SavedDetails,
    WaitedDetails,
)
from zoho_token_store.finder import Finder, Found
from zoho_token_store.hooks import Hooks
from zoho_token_store.margin import Margin
from zoho_token_store.match import TokenData
from zoho_token_store.near import Near
from zoho_token_store.question import Answer, Question
from zoho_token_store.record import TokenRecord
from zoho_token_store.refresher import Errand, Refresher
from zoho_token_store.saver import Save, Saver
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.transaction import Plan, Transactions

T = TypeVar("T")
V = TypeVar("V")

INTERRUPTED = "interrupted"
"""The outcome of what ended by no error of ours: a killed greenlet, an interrupt from the keyboard."""


def _timed(
    clock: Callable[[], float], work: Callable[[], T], name: Callable[[T], str], tell: Callable[[str, float], None]
) -> T:
    """Do some work, then tell its outcome and how long it took, seconds.

    Args:
        clock: The monotonic clock.
        work: What to do.
        name: Names the outcome of what it has returned; that of an error is the error's own name.
        tell: Called when it has ended, however that was.
    """
    started, outcome = clock(), INTERRUPTED
    try:
        done = work()
        outcome = name(done)
        return done
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        tell(outcome, clock() - started)


class HookedFinder(Finder):
    """Tells of look-ups, and of those that waited."""

    def by_id(self, record_id: str, margin: Margin) -> Found:
        """See :class:`Finder`."""
        find = super().by_id
        return self._telling(record_id, lambda: find(record_id, margin))

    def by_data(self, data: TokenData, margin: Margin) -> Found | None:
        """See :class:`Finder`."""
        find = super().by_data
        return self._telling(data.id, lambda: find(data, margin))

    def _telling(self, asked_id: str | None, find: Callable[[], T]) -> T:
        hooks = self._stats.hooks
        record_id = asked_id

        def name(found: T) -> str:
            nonlocal record_id
            if not isinstance(found, Found):
                return "missing"
            record_id = found.record.id if found.record else record_id
            return "leased" if found.lease else "fresh" if found.record else "missing"

        def tell(outcome: str, seconds: float) -> None:
            hooks.tell(FoundDetails(hooks.namespace, record_id, outcome, seconds))

        return _timed(self._clock.monotonic, find, name, tell)

    def _wait(self, question: Question, answer: Answer, started: float) -> Answer:
        hooks, wait = self._stats.hooks, super()._wait
        record_id = None if ":" in question.lease else question.record_id

        def tell(outcome: str, seconds: float) -> None:
            hooks.tell(WaitedDetails(hooks.namespace, record_id, outcome, seconds))

        with hooks.around("wait", record_id):
            return _timed(
                self._clock.monotonic,
                lambda: wait(question, answer, started),
                lambda answer: type(answer).__name__.lower(),
                tell,
            )


class HookedSaver(Saver):
    """Tells of saves, of those that a fence has rejected, and of refreshes that the SDK has done."""

    def store(self, save: Save) -> None:
        """See :class:`Saver`."""
        hooks, store = self._stats.hooks, super().store

        def tell(outcome: str, seconds: float) -> None:
            self._tell(save, outcome, seconds)

        with hooks.around("save", save.wish.data.id):
            _timed(self._clock.monotonic, lambda: store(save), lambda _: "stored", tell)

    def _tell(self, save: Save, outcome: str, seconds: float) -> None:
        hooks, record = self._stats.hooks, save.tried.after if save.tried else None
        record_id = save.wish.data.id or (record.id if record else None)
        if outcome == "stored" and record and save.tried and "late_saves" in save.tried.notes:
            hooks.tell(FencedDetails(hooks.namespace, record.id, seconds))
            return
        hooks.tell(SavedDetails(hooks.namespace, record_id, outcome, seconds))
        lease = save.wish.lease
        if outcome == "stored" and record and lease and self._options.refresh == "sdk":
            # A fence says when its lease was given, by Redis's clock.
            took_s = self._repository.server_clock.now_ms() / 1000 - lease.fence / 1_000_000
            hooks.tell(RefreshedDetails(hooks.namespace, record.id, max(0.0, took_s)))


class HookedRefresher(Refresher):
    """Tells of refreshes that the store has done itself."""

    def refresh(self, errand: Errand) -> TokenRecord:
        """See :class:`Refresher`."""
        hooks, refresh = self._stats.hooks, super().refresh
        record_id = errand.record_id or ""

        def name(record: TokenRecord) -> str:
            nonlocal record_id
            record_id = record.id
            return RefreshedDetails.outcome

        def tell(outcome: str, seconds: float) -> None:
            if outcome == RefreshedDetails.outcome:
                hooks.tell(RefreshedDetails(hooks.namespace, record_id, seconds))
            else:
                hooks.tell(RefreshFailedDetails(hooks.namespace, record_id or None, outcome, seconds))

        with hooks.around("refresh", errand.record_id):
            return _timed(self._clock.monotonic, lambda: refresh(errand), name, tell)


class HookedTransactions(Transactions):
    """Tells of deletions."""

    def run(
        self, plan: Plan, snapshot: Snapshot, *, guess: bool = False, attempt: Callable[[Change], None] | None = None
    ) -> Change | None:
        """See :class:`Transactions`."""
        change = super().run(plan, snapshot, guess=guess, attempt=attempt)
        if change and change.after is None:
            hooks = self._stats.hooks
            for record in change.before:
                hooks.tell(DeletedDetails(hooks.namespace, record.id, change.event))
        return change


class HookedNear(Near[V]):
    """Has its hits counted whenever its reader has heard something, or nothing, of Redis: once a second or so.

    A look-up that the cache answers tells nobody.
    """

    def reset_after_fork(self) -> None:
        """See :class:`Near`; the counters begin at 0 again, too."""
        super().reset_after_fork()
        self._telling = threading.RLock()  # a store that the garbage collector finds here ends here, too
        self._told: dict[str, int] = {}

    def report(self, read: Callable[[], dict[str, int]], hooks: Hooks) -> None:
        """Have counters told from now on.

        Args:
            read: Returns them.
            hooks: Who is told.
        """
        self._read, self._hooks = read, hooks

    def connected(self, asked: float) -> None:
        """See :class:`Near`."""
        super().connected(asked)
        self._tell()

    def lost(self) -> None:
        """See :class:`Near`."""
        super().lost()
        self._tell()

    def _tell(self) -> None:
        with self._telling:
            counts = self._read()
            news = {name: count - self._told.get(name, 0) for name, count in counts.items()}
            self._told = counts
        for name, by in news.items():
            if by:
                self._hooks.count(name, by)


class Kinds(NamedTuple):
    """Which classes a store is made of."""

    transactions: type[Transactions] = Transactions
    finder: type[Finder] = Finder
    saver: type[Saver] = Saver
    refresher: type[Refresher] = Refresher


def kinds(hooks: Hooks) -> Kinds:
    """Return what a store is made of that has these hooks."""
    if not hooks.any:
        return Kinds()
    return Kinds(HookedTransactions, HookedFinder, HookedSaver, HookedRefresher)
