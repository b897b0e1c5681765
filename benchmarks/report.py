"""The report: all that was measured, as JSON, with what each part was measured on, when and by which command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison import Comparison
from benchmarks.figure import Figure

SCHEMA = 1
Document = dict[str, Any]


def make(
    measured: Sequence[Figure | Comparison], machine: Mapping[str, str], run: Mapping[str, str], quick: bool
) -> Document:
    """Return a report.

    Args:
        measured: Figures and comparisons.
        machine: What they were measured on.
        run: When, under what load, and by which command.
        quick: Whether with few rounds.
    """
    parts = [{**each.as_dict(), "run": dict(run)} for each in measured]
    return {
        "schema": SCHEMA,
        "machine": dict(machine),
        "quick": quick,
        "figures": [part for part in parts if "reach" in part],
        "comparisons": [part for part in parts if "series" in part],
    }


def update(old: Document, new: Document) -> Document:
    """Return an old report with what is newer in its place.

    Raises:
        SystemExit: They were not measured on the same machine, or one of them with few rounds.
    """
    for name in ("schema", "machine", "quick"):
        if old[name] != new[name]:
            raise SystemExit(f"the report cannot be updated: its {name} is {old[name]}, and now it is {new[name]}")
    merged = {
        kind: list(
            {**{part["name"]: part for part in old[kind]}, **{part["name"]: part for part in new[kind]}}.values()
        )
        for kind in ("figures", "comparisons")
    }
    return {**new, **merged}


def ordered(document: Document, names: Sequence[str]) -> Document:
    """Return a report with its parts in this order, and without those that are measured no more."""
    parts = {
        kind: sorted(
            (part for part in document[kind] if part.get("group", part["name"]) in names),
            key=lambda part: names.index(part.get("group", part["name"])),
        )
        for kind in ("figures", "comparisons")
    }
    return {**document, **parts}


def write(path: Path, document: Document) -> None:
    """Write a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read(path: Path) -> Document:
    """Return a report.

    Raises:
        SystemExit: It is of another schema.
    """
    document: Document = json.loads(path.read_text("utf-8"))
    if document.get("schema") != SCHEMA:
        raise SystemExit(f"{path}: no report of schema {SCHEMA}")
    return document
