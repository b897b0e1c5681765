"""A move: every row of one place goes to another, in bounded batches, and every row is accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from zoho_token_store.adoption import CONFLICT, CREATED, LEFT, UPDATED, Adoption
from zoho_token_store.match import TokenData
from zoho_token_store.migration.contest import Contest
from zoho_token_store.migration.entry import Entry, Read, Remark, Unreadable
from zoho_token_store.migration.place import Place

UNREADABLE = "unreadable"
NOTE, FLAW = "note", "flaw"
OUTCOMES = (CREATED, UPDATED, LEFT, CONFLICT, UNREADABLE)


@dataclass
class Tally:
    """How many rows there were, and what has become of them.

    Attributes:
        flaws: What is wrong with the source and is no row, such as an end that is missing.
    """

    read: int = 0
    created: int = 0
    updated: int = 0
    left: int = 0
    conflicts: int = 0
    unreadable: int = 0
    flaws: int = 0

    def add(self, outcome: str) -> None:
        """Count a row."""
        name = "conflicts" if outcome == CONFLICT else outcome
        self.read += 1
        setattr(self, name, getattr(self, name) + 1)

    @property
    def adds_up(self) -> bool:
        """Whether each row that was read is in one of the others."""
        return self.read == self.created + self.updated + self.left + self.conflicts + self.unreadable

    @property
    def is_clean(self) -> bool:
        """Whether all of the source is in the target now, or newer there."""
        return self.conflicts == self.unreadable == self.flaws == 0


class Line(NamedTuple):
    """What a report says of one row, or of a place.

    Attributes:
        outcome: One of :data:`OUTCOMES`, or :data:`NOTE` or :data:`FLAW`.
        where: Which row of the source, such as "line 3".
        record_id: The id that it has in the target; None if it is not there.
        user_name: Whose it is.
        reason: Why, or what is to be said of it; "" for nothing.
    """

    outcome: str
    where: str
    record_id: str | None = None
    user_name: str | None = None
    reason: str = ""

    def __repr__(self) -> str:
        return f"Line({self.outcome!r}, {self.where!r}, {self.record_id!r}, ..., {self.reason!r})"


class Move:
    """One move.

    Args:
        source: From where.
        target: To where.
        apply: Whether to do it, and not only to say what would be done.
        batch: How many rows are read, looked at and written in one step.

    Attributes:
        tally: What has come of it so far.
    """

    def __init__(self, source: Place, target: Place, *, apply: bool, batch: int) -> None:
        self._source = source
        self._target = target
        self._apply = apply
        self._batch = batch
        self._contest = None if source.is_unique else Contest()
        self._ids: set[int] = set()
        self.tally = Tally()

    def run(self, step: Callable[[str, int], None] = lambda *_: None) -> Iterator[Line]:
        """Yield what becomes of each row. It can be done again at any time: what is there already is left.

        Args:
            step: Told what is going on, and how many rows have been through.

        Raises:
            TokenStoreError: One of the places cannot be used; what was written stays.
        """
        if self._contest:
            for number, each in enumerate(self._source.read(self._batch)):
                if isinstance(each, Entry):
                    self._contest.enter(number, each.where, each.data)
                if number % self._batch == 0:
                    step("reading", number)
        rows = enumerate(self._source.read(self._batch))
        while batch := list(islice(rows, self._batch)):
            yield from self._settle(batch)
            step("moving" if self._apply else "comparing", batch[-1][0] + 1)
        if self._apply:
            self._target.finish()

    def _settle(self, batch: list[tuple[int, Read]]) -> Iterator[Line]:
        """Settle what can be moved of a batch in one step, then tell of all of it in its order."""
        tokens: dict[int, TokenData] = {}
        lines: dict[int, Line] = {}
        notes: dict[int, str] = {}
        for number, each in batch:
            if not isinstance(each, Entry):
                lines[number] = _line_of(each)
            elif winner := self._contest and self._contest.loses_to(number, each.data):
                reason = f"{winner} is of the same user and client, or has one of the same tokens, and goes first"
                lines[number] = Line(CONFLICT, each.where, each.data.id, each.data.user_name, reason)
            else:
                tokens[number], more = self._with_own_id(each.data)
                notes[number] = "; ".join((*each.notes, *more))
        adoptions = self._target.settle(list(tokens.values()), write=self._apply)
        settled = dict(zip(tokens, adoptions, strict=True))
        for number, each in batch:
            if isinstance(each, Entry) and number in settled:
                lines[number] = _told(each, settled[number], notes[number])
            if isinstance(each, Remark):
                self.tally.flaws += each.is_flaw
            else:
                self.tally.add(lines[number].outcome)
            yield lines[number]

    def _with_own_id(self, data: TokenData) -> tuple[TokenData, tuple[str, ...]]:
        """Return a token without its id if an earlier row has had that: each can be kept once."""
        if data.id is None or self._contest is None:
            return data, ()
        if hash(data.id) in self._ids:
            return data._replace(id=None), ("an earlier row has the same id: it has a new one",)
        self._ids.add(hash(data.id))
        return data, ()


def _line_of(each: Unreadable | Remark) -> Line:
    if isinstance(each, Unreadable):
        return Line(UNREADABLE, each.where, reason=each.reason)
    return Line(FLAW if each.is_flaw else NOTE, each.where, reason=each.text)


def _told(entry: Entry, adoption: Adoption, notes: str) -> Line:
    reason = "; ".join(filter(None, (adoption.reason, notes)))
    return Line(adoption.outcome, entry.where, adoption.record_id, entry.data.user_name, reason)
