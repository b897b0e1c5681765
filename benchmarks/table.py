"""How figures are shown: a table on the terminal, Markdown for the README, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from benchmarks.figure import Figure

HEADER = ("figure", "to reach", "measured", "reached", "beside it", "command")


def as_text(figures: Sequence[Figure]) -> str:
    """Return a table with columns of even width."""
    rows = [HEADER, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def as_markdown(figures: Sequence[Figure], machine: Mapping[str, str]) -> str:
    """Return the table that stands in the README, and below it what it was measured on."""
    head = ("figure", "to reach", "measured", "the SDK's FileStore", "`make bench`")
    lines = [_markdown(head), _markdown(["---"] * len(head))]
    for figure in figures:
        measured = figure.measured if figure.reached else f"{figure.measured}: not reached"
        lines.append(_markdown((figure.title, figure.reach, measured, figure.beside, f"`--only {figure.name}`")))
    return "\n".join([*lines, "", f"Medians, with 10th and 90th percentile of the rounds. {as_sentence(machine)}"])


def as_json(figures: Sequence[Figure], machine: Mapping[str, str], quick: bool) -> str:
    """Return everything."""
    document = {"machine": dict(machine), "quick": quick, "figures": [figure.as_dict() for figure in figures]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_sentence(machine: Mapping[str, str]) -> str:
    """Return what the figures were measured on."""
    return (
        f"Measured on {machine['processor']} ({machine['system']}), Python {machine['python']}, {machine['redis']},"
        f" redis-py {machine['redis-py']}, hiredis {machine['hiredis']}, {machine['sdk']},"
        f" over a Unix socket; load before the run: {machine['load']}."
    )


def _row(figure: Figure) -> tuple[str, ...]:
    cells = (figure.title, figure.reach, figure.measured, "yes" if figure.reached else "NO", figure.beside)
    return (*(cell.replace("`", "") for cell in cells), figure.command)


def _markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
