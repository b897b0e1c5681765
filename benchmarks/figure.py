"""One measured figure, and how far its rounds lie apart."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple


class Spread(NamedTuple):
    """The rounds of a measurement.

    Attributes:
        median: Of all rounds.
        p10: A tenth of the rounds lie below it.
        p90: A tenth of the rounds lie above it.
        rounds: How many there were.
    """

    median: float
    p10: float
    p90: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up the values of some rounds, at least one."""
        ordered = sorted(values)
        last = len(ordered) - 1
        return cls(statistics.median(ordered), ordered[round(last * 0.1)], ordered[round(last * 0.9)], len(ordered))

    def text(self, digits: int = 2) -> str:
        """Return it for people."""
        if self.p10 == self.median == self.p90:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.p10:,.{digits}f} to {self.p90:,.{digits}f})"


@dataclass(frozen=True)
class Figure:
    """A figure of the README's table.

    Attributes:
        name: As ``--only`` takes it.
        title: What it says.
        reach: What it should be.
        spread: What it is.
        reached: Whether that is so.
        digits: Digits after the point for people.
        unit: What it is counted in; a ratio has none.
        note: What else was seen on our side.
        beside: What it is compared with, in the same run: the SDK's FileStore, redis-py's Lock.
        details: More numbers, for those who read the JSON.
    """

    name: str
    title: str
    reach: str
    spread: Spread
    reached: bool
    digits: int = 2
    unit: str = ""
    note: str = ""
    beside: str = "-"
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def measured(self) -> str:
        """Median, 10th and 90th percentile of the rounds, and the note."""
        return f"{self.spread.text(self.digits)} {self.unit}".rstrip() + (f"; {self.note}" if self.note else "")

    @property
    def command(self) -> str:
        """What measures this figure alone."""
        return f'make bench ARGS="--only {self.name}"'

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "spread": self.spread._asdict(), "measured": self.measured, "command": self.command}
