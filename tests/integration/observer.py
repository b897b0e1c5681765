"""A thread that looks tokens up again and again and writes down what it saw when: the history that tests judge."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

SLOW = 0.005
"""Looks that take longer are written down one by one, seconds."""

SELDOM = 0.1
"""What was deleted is looked up this often at most, seconds: only Redis answers that."""


class Run(NamedTuple):
    """Looks in a row with one outcome; times are of the monotonic clock, which the processes of a machine share.

    Attributes:
        outcome: The access token, or the name of the error's class.
        first: When the first look had ended.
        last: When the last look had begun.
    """

    outcome: str
    first: float
    last: float


class View(NamedTuple):
    """What an observer has seen.

    Attributes:
        looks: How many there were.
        slow: Begin and duration of those that took longer than `SLOW`.
        runs: By id, in order.
        errors: The words of the first error of each class.
    """

    looks: int
    slow: list[tuple[float, float]]
    runs: dict[str, list[Run]]
    errors: dict[str, str]

    @property
    def slowest(self) -> float:
        """How long the slowest look took, seconds; 0 if none was slow."""
        return max((seconds for _, seconds in self.slow), default=0.0)

    def outcomes(self, record_id: str) -> list[str]:
        """Return what came of looking an id up, in order, without repetitions in a row."""
        return [run.outcome for run in self.runs[record_id]]

    def first(self, record_id: str, outcome: str) -> float:
        """Return when an outcome was first seen."""
        return next(run.first for run in self.runs[record_id] if run.outcome == outcome)

    def last(self, record_id: str, outcome: str) -> float:
        """Return when the last look that had an outcome began."""
        return max(run.last for run in self.runs[record_id] if run.outcome == outcome)


class Observer:
    """Looks ids up in turn, in a thread of its own, until `stop`.

    Args:
        look: Returns the access token of an id.
        ids: Which.
        pause: Seconds between two rounds.
    """

    def __init__(self, look: Callable[[str], str], ids: Sequence[str], pause: float) -> None:
        self._look = look
        self._ids = ids
        self._pause = pause
        self._looks = 0
        self._slow: list[tuple[float, float]] = []
        self._runs: dict[str, list[Run]] = {record_id: [] for record_id in ids}
        self._errors: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def latest(self, record_id: str) -> str | None:
        """Return what the last look at an id has brought; None before the first."""
        runs = self._runs[record_id]
        return runs[-1].outcome if runs else None

    def stop(self) -> View:
        """End the thread, and return what it has seen."""
        self._stopped.set()
        self._thread.join()
        return View(self._looks, self._slow, self._runs, self._errors)

    def _run(self) -> None:
        ends = False
        while not ends:
            ends = self._stopped.is_set()  # before the last round, so that it sees what is there at the end
            for record_id in self._ids:
                self._observe(record_id)
            time.sleep(self._pause)

    def _observe(self, record_id: str) -> None:
        began = time.monotonic()
        runs = self._runs[record_id]
        if runs and runs[-1].outcome == "TokenDeleted" and began < runs[-1].last + SELDOM:
            return
        try:
            outcome = self._look(record_id)
        except Exception as error:
            outcome = type(error).__name__
            self._errors.setdefault(outcome, str(error))
        ended = time.monotonic()
        self._looks += 1
        if ended - began > SLOW:
            self._slow.append((began, ended - began))
        if runs and runs[-1].outcome == outcome:
            runs[-1] = runs[-1]._replace(last=began)
        else:
            runs.append(Run(outcome, ended, began))
