"""The benchmarks run, and say what they have measured."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BOUNDS = {"find_by_id": 1.25, "find_by_user": 1.35, "save": 1.8, "memory": 2200}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks with few rounds."""
    command = [sys.executable, "-m", "benchmarks", "--quick", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_what_was_measured_is_written(tmp_path: Path) -> None:
    """The cheap figures are measured, and written as JSON that agrees with itself and as the README's table."""
    document = tmp_path / "figures.json"
    only = [part for name in BOUNDS for part in ("--only", name)]
    shown = run(*only, "--json", str(document), "--markdown")
    assert shown.returncode == 0, shown.stderr
    measured = json.loads(document.read_text("utf-8"))
    assert measured["quick"] is True
    assert {"processor", "python", "redis", "redis-py", "hiredis"} <= set(measured["machine"])
    assert [figure["name"] for figure in measured["figures"]] == list(BOUNDS)
    for figure in measured["figures"]:
        spread = figure["spread"]
        assert 0 < spread["p10"] <= spread["median"] <= spread["p90"]
        assert figure["reached"] == (spread["median"] <= BOUNDS[figure["name"]])
        assert f"| {figure['title']} | {figure['reach']} | {figure['measured']}" in shown.stdout
    assert measured["machine"]["processor"] in shown.stdout


def test_one_figure_as_text() -> None:
    """A figure alone is shown with what it should be, what it is, and the command that measures it."""
    shown = run("--only", "find_by_id")
    assert shown.returncode == 0, shown.stderr
    header, _, row = shown.stdout.splitlines()[:3]
    assert header.split()[0] == "figure"
    assert re.search(r"at most 1\.25 .* (yes|NO) .* make bench ARGS=\"--only find_by_id\"$", row)


def test_a_figure_that_there_is_not() -> None:
    """A wrong name is refused before anything runs, and the right ones are named."""
    refused = run("--only", "speed")
    assert refused.returncode == 2
    assert "find_by_id" in refused.stderr
    assert refused.stdout == ""
