"""Spans of time on the command line: ``30s``, ``10m``, ``2h``, ``7d``."""

from __future__ import annotations

import re
from typing import Any

import click

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_duration(text: str) -> float | None:
    """Return the seconds of a span; None if it is none."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII)
    return float(found[1]) * SECONDS[found[2]] if found else None


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """An option's span of time, as seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        seconds = read_duration(str(value))
        if seconds is None:
            self.fail("must be a time such as 30s, 10m, 2h or 7d", param, ctx)
        return seconds


def show_span(seconds: float) -> str:
    """Return a span in two figures or so, for people: ``7s``, ``9m 30s``, ``2h 5m``, ``3d 4h``."""
    left = max(0, int(seconds))
    for unit, below, size, small in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if left >= size:
            return f"{left // size}{unit} {left % size // small}{below}"
    return f"{left}s"
