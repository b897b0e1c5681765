"""One thing that is measured of every store, in the same rounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.figure import Spread


@dataclass(frozen=True)
class Point:
    """One store at one size.

    Attributes:
        spread: What was measured, in the comparison's unit.
        tokens: How many the store held; None where that does not matter.
        ratio: How many times as much as our store, round by round; None for our own.
    """

    spread: Spread
    tokens: int | None = None
    ratio: Spread | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        ratio = None if self.ratio is None else self.ratio._asdict()
        return {"tokens": self.tokens, **self.spread._asdict(), "ratio": ratio}


@dataclass
class Series:
    """One store.

    Attributes:
        rival: Its name.
        points: By size.
        left_out: Why there is not more; empty if nothing is missing.
    """

    rival: str
    points: list[Point] = field(default_factory=list)
    left_out: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        points = [point.as_dict() for point in self.points]
        return {"rival": self.rival, "points": points, "left_out": self.left_out}


@dataclass(frozen=True)
class Comparison:
    """What was measured of every store.

    Attributes:
        name: Of the chart's panel.
        group: As ``--only`` takes it.
        title: What it says.
        unit: What it is counted in.
        series: Each store, ours first.
    """

    name: str
    group: str
    title: str
    unit: str
    series: list[Series]

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "name": self.name,
            "group": self.group,
            "title": self.title,
            "unit": self.unit,
            "series": [each.as_dict() for each in self.series],
        }
