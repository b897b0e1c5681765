"""How a report's figures are shown: a table on the terminal, and Markdown for the README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEADER = ("figure", "to reach", "measured", "reached", "beside it", "command")


def as_text(figures: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with columns of even width."""
    rows = [HEADER, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def as_markdown(figures: Sequence[Mapping[str, Any]]) -> str:
    """Return the table that stands in the README."""
    lines = [markdown(("figure", "to reach", "measured", "beside it", "`make bench`")), markdown(["---"] * 5)]
    for figure in figures:
        measured = figure["measured"] if figure["reached"] else f"{figure['measured']}: not reached"
        cells = (figure["title"], figure["reach"], measured, figure["beside"], f"`--only {figure['name']}`")
        lines.append(markdown(cells))
    return "\n".join(lines)


def as_sentence(machine: Mapping[str, str], runs: Sequence[Mapping[str, str]]) -> str:
    """Return what was measured on, when, and under what load.

    Args:
        machine: See :func:`benchmarks.machine.describe`.
        runs: See :func:`benchmarks.machine.run`.
    """
    dates, loads = sorted({run["date"] for run in runs}), sorted(float(run["load"]) for run in runs)
    load = " to ".join(dict.fromkeys(f"{each:g}" for each in (loads[0], loads[-1])))
    return (
        f"Measured on {machine['processor']} ({machine['system']}), Python {machine['python']}, {machine['redis']},"
        f" redis-py {machine['redis-py']}, hiredis {machine['hiredis']}, {machine['sdk']}, over a Unix socket;"
        f" {' to '.join(dict.fromkeys((dates[0], dates[-1])))}, load before: {load}."
    )


def markdown(cells: Sequence[str]) -> str:
    """Return a row."""
    return f"| {' | '.join(cells)} |"


def _row(figure: Mapping[str, Any]) -> tuple[str, ...]:
    reached = "yes" if figure["reached"] else "NO"
    cells = (figure["title"], figure["reach"], figure["measured"], reached, figure["beside"])
    return (*(cell.replace("`", "") for cell in cells), figure["command"])
