"""Charts of a report: ``python -m benchmarks.charts REPORT FOLDER``, each as PNG and SVG, for light and dark pages."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmarks import compared, report
from benchmarks.compared import amount, digits

CHARTS = {
    "find": ("by_id", "by_user"),
    "save": ("save", "scan"),
    "storm": ("calls", "wake"),
    "boot": ("up", "exchanges"),
    "memory": ("memory",),
}
"""Comparisons in each chart."""
FORMATS = ("png", "svg")
WIDTH, HEIGHT, LEGEND = 4.8, 3.0, 1.1
"""Inches of a panel, and of what stands below all."""
FEW_DECADES = 1000
"""Ratio of the ends of an axis under which powers of ten are too few marks."""


class Look(NamedTuple):
    """Colours for one kind of page.

    Attributes:
        ink: Of text and axes.
        grid: Of lines that lead the eye.
        page: What lies behind.
        series: One for each store, ours first.
    """

    ink: str
    grid: str
    page: str
    series: Sequence[str]


LOOKS = {
    "light": Look("#24292f", "#d8dee4", "#ffffff",
                  ("#0550ae", "#54a3f5", "#bc4c00", "#8250df", "#1a7f37", "#cf222e", "#7d6608")),
    "dark": Look("#e6edf3", "#30363d", "#0d1117",
                 ("#79c0ff", "#1f6feb", "#ffa657", "#d2a8ff", "#56d364", "#ff7b72", "#e3d15b")),
}  # fmt: skip
MARKERS = ("o", "o", "s", "D", "^", "v", "P")
STYLE = {"svg.hashsalt": "zoho-token-store", "svg.fonttype": "none", "font.size": 9.0}
"""One report always gives the same files; text in them is text."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw what the report has."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.charts", description="Draw the charts of a report.")
    parser.add_argument("report", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    for path in draw(report.read(options.report), options.folder):
        print(path)


def draw(document: report.Document, folder: Path) -> list[Path]:
    """Write the charts; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    comparisons = {each["name"]: each for each in document["comparisons"] if any(s["points"] for s in each["series"])}
    rivals = compared.rivals(document["comparisons"])
    files: list[Path] = []
    for chart, names in CHARTS.items():
        panels = [comparisons[name] for name in names if name in comparisons]
        for page, look in LOOKS.items() if panels else ():
            with mpl.rc_context(STYLE):
                figure = _figure(panels, rivals, look)
                for kind in FORMATS:
                    files.append(folder / f"{chart}-{page}.{kind}")
                    metadata = {"Date": None} if kind == "svg" else {"Software": None}
                    figure.savefig(files[-1], facecolor=look.page, dpi=144, metadata=metadata)
    return files


def _figure(panels: Sequence[Mapping[str, Any]], rivals: Sequence[str], look: Look) -> Figure:
    by_size = any(_is_by_size(panel) for panel in panels)
    below = LEGEND if by_size else 0.0
    figure = Figure(figsize=(WIDTH * len(panels), HEIGHT + below), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _dress(axes, look)
        axes.set_title(panel["title"], color=look.ink, fontsize=10, pad=10)
        (_lines if _is_by_size(panel) else _bars)(axes, panel, rivals, look)
    if by_size:
        handles = {each.get_label(): each for axes in figure.axes for each in axes.get_legend_handles_labels()[0]}
        legend = figure.legend(
            handles=[handles[name] for name in rivals if name in handles],
            loc="outside lower center", ncols=4, frameon=False,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_color(look.ink)
    return figure


def _is_by_size(panel: Mapping[str, Any]) -> bool:
    """Return whether there is more to show than one bar for each store."""
    points = [point["tokens"] for series in panel["series"] for point in series["points"]]
    return None not in points and panel["name"] != "memory"


def _dress(axes: Axes, look: Look) -> None:
    axes.set_facecolor(look.page)
    axes.tick_params(colors=look.ink, which="both")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(look.ink)
    axes.grid(visible=True, color=look.grid, linewidth=0.7)
    axes.set_axisbelow(True)


def _lines(axes: Axes, panel: Mapping[str, Any], rivals: Sequence[str], look: Look) -> None:
    """Draw a line for each store over the number of tokens, with the 10th and 90th percentile of the rounds."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for series in panel["series"]:
        if not series["points"]:
            continue
        at, points = rivals.index(series["rival"]), series["points"]
        median = [point["median"] for point in points]
        axes.errorbar(
            [point["tokens"] for point in points], median, yerr=_errors(points),
            label=series["rival"], color=look.series[at % len(look.series)], marker=MARKERS[at % len(MARKERS)],
            markersize=4.5, linewidth=2.6 if at == 0 else 1.4, capsize=2.5, elinewidth=1.0, zorder=3 if at == 0 else 2,
        )  # fmt: skip
    axes.set_xlabel("tokens in the store", color=look.ink)
    axes.set_ylabel(_axis(panel["unit"]), color=look.ink)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(_shown(panel["unit"])))
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    if high / low < FEW_DECADES:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))


def _bars(axes: Axes, panel: Mapping[str, Any], rivals: Sequence[str], look: Look) -> None:
    """Draw a bar for each store, the last size of it."""
    drawn = [series for series in panel["series"] if series["points"]]
    points = [series["points"][-1] for series in drawn]
    places = range(len(drawn), 0, -1)
    colours = [look.series[rivals.index(series["rival"]) % len(look.series)] for series in drawn]
    values = [point["median"] for point in points]
    axes.barh(list(places), values, 0.62, color=colours)
    apart = [(place, point) for place, point in zip(places, points, strict=True) if point["p10"] < point["p90"]]
    axes.errorbar(
        [point["median"] for _, point in apart], [place for place, _ in apart],
        xerr=_errors([point for _, point in apart]), fmt="none", ecolor=look.ink, capsize=3, elinewidth=1.0,
    )  # fmt: skip
    axes.set_yticks(list(places), [series["rival"] for series in drawn])
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, max(point["p90"] for point in points) * 1.28)
    axes.set_xlabel(_axis(panel["unit"]), color=look.ink)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(_shown(panel["unit"])))
    for place, point in zip(places, points, strict=True):
        axes.annotate(
            _shown(panel["unit"])(point["median"], 0), (point["p90"], place), (7, 0),
            textcoords="offset points", va="center", color=look.ink,
        )  # fmt: skip


def _errors(points: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    lower = [point["median"] - point["p10"] for point in points]
    return [lower, [point["p90"] - point["median"] for point in points]]


def _axis(unit: str) -> str:
    return "time (median; bars: 10th to 90th percentile)" if unit in ("µs", "ms") else unit


def _shown(unit: str) -> Callable[[float, int], str]:
    if unit in ("µs", "ms"):
        return lambda value, _: amount(value, unit) if value else "0"
    return lambda value, _: digits(value)


if __name__ == "__main__":
    main()
