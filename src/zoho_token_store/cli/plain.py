"""Text for a terminal and for programs: nothing that somebody has saved steers either."""

from __future__ import annotations

import json


def plain(value: str | None) -> str:
    """Return a value on one line of printable characters, "-" for None."""
    if value is None:
        return "-"
    return value if value.isprintable() else "".join(each if each.isprintable() else "?" for each in value)


def as_json(told: object) -> str:
    """Return a value as one line of JSON, in printable ASCII."""
    return json.dumps(told).replace("\x7f", r"\u007f")
