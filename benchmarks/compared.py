"""How a report's comparisons are shown: every store in a column, ours first, with how many times as much it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.table import markdown

SCALES = ((1.0, "µs"), (1e3, "ms"), (1e6, "s"))


def as_markdown(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Return a table, and what is missing in it and why."""
    names = rivals(comparisons)
    lines = [markdown(("", *names)), markdown(["---"] * (1 + len(names)))]
    lines += [markdown(row) for each in comparisons for row in _rows(each, names)]
    missing = [f"- {text}" for each in comparisons for text in _left_out(each)]
    return "\n".join([*lines, "", *missing]).rstrip()


def rivals(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return every store: in the order of the comparison that has most, so that each keeps its place and colour."""
    ordered = sorted(comparisons, key=lambda each: -len(each["series"]))
    return list(dict.fromkeys(series["rival"] for each in ordered for series in each["series"]))


def as_text(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Return the same for the terminal, every size of it."""
    lines: list[str] = []
    for each in comparisons:
        lines += ["", each["title"]]
        for series in each["series"]:
            for point in series["points"]:
                size = "" if point["tokens"] is None else f"{point['tokens']:,}"
                lines.append(f"  {series['rival']:28} {size:>10}  {_cell(point, each['unit'])}")
        lines += [f"  {text}" for text in _left_out(each)]
    return "\n".join(lines)


def amount(value: float, unit: str) -> str:
    """Return a value with its unit, three digits of it."""
    if unit in ("µs", "ms"):
        value *= 1000 if unit == "ms" else 1
        factor, unit = next(scale for scale in reversed(SCALES) if value >= scale[0] or scale is SCALES[0])
        return f"{digits(value / factor)} {unit}"
    return f"{digits(value)} {unit}" if unit.startswith("bytes") else digits(value)


def digits(value: float) -> str:
    """Return a number for people: no more than three digits, but whole thousands in full."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 and value != round(value) else f"{value:.1f}".removesuffix(".0")


def _rows(comparison: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield a row for few, many and very many tokens, or the only one."""
    points = {
        (series["rival"], point["tokens"]): point for series in comparison["series"] for point in series["points"]
    }
    sizes = list(dict.fromkeys(tokens for _, tokens in points))
    for tokens in dict.fromkeys((sizes[0], sizes[len(sizes) // 2], sizes[-1])):
        title = comparison["title"] if tokens is None else f"{comparison['title']}, {tokens:,} tokens"
        cells = (points.get((rival, tokens)) for rival in names)
        yield (title, *("-" if point is None else _cell(point, comparison["unit"]) for point in cells))


def _cell(point: Mapping[str, Any], unit: str) -> str:
    shown = amount(point["median"], unit.replace("bytes for each token", "bytes"))
    ratio = point["ratio"]
    if ratio is None:
        return shown
    if ratio["p10"] == ratio["p90"]:
        return f"{shown}; × {digits(ratio['median'])}"
    return f"{shown}; × {digits(ratio['median'])} ({digits(ratio['p10'])} to {digits(ratio['p90'])})"


def _left_out(comparison: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is missing, each reason once."""
    reasons: dict[str, list[str]] = {}
    for series in comparison["series"]:
        if series["left_out"]:
            reasons.setdefault(series["left_out"], []).append(series["rival"])
    for reason, names in reasons.items():
        yield f"{comparison['title']}, {', '.join(names)}: {reason}."
