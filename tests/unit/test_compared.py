"""Our store beside others: what is measured, the report, the charts, and what the documents quote of it."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dogpile.cache", reason="needs the extra bench, as the environments of older SDKs do not have it")

from benchmarks import __main__ as suite
from benchmarks import charts, compare, compared, copies, readme, report
from benchmarks.comparison import Comparison, Point, Series
from benchmarks.figure import Figure, Spread
from benchmarks.rivals import RIVALS
from benchmarks.server import open_server
from benchmarks.sizes import _expected
from benchmarks.tokens import full_token, named_token

ROOT = Path(__file__).parents[2]
RUN = {"date": "2026-01-02", "load": "0.1", "command": "python -m benchmarks"}
MACHINE = {"processor": "one", "redis": "Redis 7"}
SIGNS = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks with few rounds."""
    command = [sys.executable, "-m", "benchmarks", "--quick", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_every_store_is_measured(tmp_path: Path) -> None:
    """Each that can be had is in the report with each size, ours without a ratio; those with locks ask Zoho once."""
    path = tmp_path / "report.json"
    only = ("--only", "compare_find", "--only", "compare_storm")
    shown = run(*only, "--sizes", "20,2", "--json", str(path))
    assert shown.returncode == 0, shown.stderr
    document = report.read(path)
    measured = {
        each["name"]: {series["rival"]: series for series in each["series"]} for each in document["comparisons"]
    }
    assert list(measured) == ["by_id", "by_user", "calls", "storm", "wake"]
    for kind in RIVALS:
        series = measured["by_id"][kind.name]
        if kind.is_there():
            assert series["left_out"] == kind.is_there()
            continue
        assert [point["tokens"] for point in series["points"]] == [2, 20]
        assert all((point["ratio"] is None) == (kind is RIVALS[0]) for point in series["points"])
        if kind.holds_tokens:
            (point,) = measured["calls"][kind.name]["points"]
            assert point["median"] == (1 if kind.waits else 4)
    assert {each["run"]["command"] for each in document["comparisons"]} == {
        f"python -m benchmarks --quick {' '.join(only)} --sizes 20,2 --json {path}"
    }


def test_many_tokens_are_as_the_store_writes_them() -> None:
    """What is filled in by the pattern is found by id and by user, and an audit has nothing to say."""
    with open_server() as server, server.store("many") as store:
        ids = copies.fill(server, copies.Layout(store.save_token, copies.short_id, lambda: None), 300)
        found = store.find_token_by_id(ids[299])
        assert found.get_refresh_token() == full_token(299).get_refresh_token()
        assert store.find_token(named_token(123)).get_id() == ids[123]
        assert sum(1 for _ in store.iter_tokens()) == len(set(ids)) == 300
        assert [finding for step in store.audit() for finding in step.findings] == []


@pytest.mark.parametrize("text", ["", "many", "10,", "1", "10,1000001"])
def test_sizes_that_cannot_be_measured(text: str) -> None:
    """They are refused before anything runs."""
    with pytest.raises(ArgumentTypeError, match="numbers of tokens"):
        compare.read_sizes(text)


def test_where_a_store_is_left_out() -> None:
    """What grows with the number of tokens is expected to go on so; what does not grow is not."""
    flat = [Point(Spread(50.0, 50.0, 50.0, 1), 10), Point(Spread(60.0, 60.0, 60.0, 1), 1000)]
    steep = [flat[0], Point(Spread(5000.0, 5000.0, 5000.0, 1), 1000)]
    assert _expected(flat, 1_000_000) == pytest.approx(60e-6)
    assert _expected(steep, 1_000_000) == pytest.approx(5.0)


def sample(name: str = "speed", load: str = "0.1", machine: dict[str, str] = MACHINE) -> report.Document:
    """Return a report with a figure and a comparison."""
    spread = Spread(50.0, 40.0, 60.0, 3)
    points = [Point(spread, 10), Point(spread, 1000, Spread(2.0, 1.5, 2.5, 3))]
    comparison = Comparison(
        "by_id", "compare_find", "look-up", "µs", [Series("ours", points), Series("other", [], "no")]
    )
    return report.make([Figure(name, "title", "reach", spread, True), comparison], machine, RUN | {"load": load}, False)


def test_a_report_is_updated(tmp_path: Path) -> None:
    """What was measured anew replaces its like, and the rest stays with the run that it was measured in."""
    path = tmp_path / "deep" / "report.json"
    whole = report.update(sample("speed"), sample("memory", load="0.9"))
    report.write(path, report.ordered(whole, ["compare_find", "memory", "speed"]))
    updated = report.read(path)
    assert [(each["name"], each["run"]["load"]) for each in updated["figures"]] == [("memory", "0.9"), ("speed", "0.1")]
    assert [each["run"]["load"] for each in updated["comparisons"]] == ["0.9"]
    assert report.ordered(updated, ["speed"])["comparisons"] == []
    with pytest.raises(SystemExit, match="machine"):
        report.update(sample(), sample(machine={"processor": "another"}))


def test_another_schema_is_refused(tmp_path: Path) -> None:
    """A report that this release does not know is not read."""
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"schema": 99}), "utf-8")
    with pytest.raises(SystemExit, match="schema 1"):
        report.read(path)


def test_how_values_are_shown() -> None:
    """With three digits, and the unit that fits."""
    shown = [
        compared.amount(value, unit) for value, unit in ((0.934, "µs"), (1234.0, "µs"), (2500.0, "ms"), (16, "calls"))
    ]
    assert shown == ["0.93 µs", "1.23 ms", "2.50 s", "16"]
    (row,) = [line for line in compared.as_markdown(sample()["comparisons"]).splitlines() if "1,000" in line]
    assert row == "| look-up, 1,000 tokens | 50 µs; × 2 (1.50 to 2.50) | - |"


def test_charts_are_drawn(tmp_path: Path) -> None:
    """Each comparison of a report is in a chart, as PNG and as SVG, for light and for dark pages."""
    files = charts.draw(sample(), tmp_path)
    assert {path.name for path in files} == {f"find-{look}.{kind}" for look in charts.LOOKS for kind in charts.FORMATS}
    for path in files:
        assert path.read_bytes().startswith(SIGNS[path.suffix[1:]])
    assert len({path.read_bytes() for path in files}) == len(files), "light and dark differ"


def committed() -> report.Document:
    """Return the report that the documents quote."""
    return report.read(readme.REPORT)


def test_the_documents_quote_the_report() -> None:
    """The tables of the README, and what docs/ says of SQLite, are those of the report."""
    for path, text in readme.spliced(committed()):
        assert path.read_text("utf-8") == text, path.name


def test_the_report_is_whole() -> None:
    """It has every figure and comparison, of full runs, every chart is there, and nothing says where it was made."""
    document = committed()
    assert document["quick"] is False
    assert "Traceback" not in readme.REPORT.read_text("utf-8")
    assert {each["name"] for each in document["figures"]} == set(suite.FIGURES)
    assert {each["group"] for each in document["comparisons"]} == set(compare.NAMES)
    wanted = {f"{chart}-{look}.{kind}" for chart in charts.CHARTS for look in charts.LOOKS for kind in charts.FORMATS}
    assert {path.name for path in (ROOT / "docs" / "charts").iterdir()} == wanted


def test_the_readme_shows_every_chart() -> None:
    """Each with its variant for dark pages."""
    text = (ROOT / "README.md").read_text("utf-8")
    shown: list[Any] = [f'"docs/charts/{chart}-{look}.svg"' for chart in charts.CHARTS for look in charts.LOOKS]
    assert [each for each in shown if each not in text] == []
