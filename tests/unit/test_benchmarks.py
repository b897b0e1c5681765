"""The benchmarks run, and say what they have measured."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import ahead, changes, outage
from benchmarks.asking import DELETED, Asked, Look, Seen
from benchmarks.changes import Change

ROOT = Path(__file__).parents[2]
BOUNDS = {"find_by_id": 1.25, "find_by_user": 1.35, "save": 1.8, "hooks": 1.35, "memory": 2200}


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


def test_what_the_capacity_page_computes_with(tmp_path: Path) -> None:
    """Everything that docs/capacity.md calls measured is measured, beside the memory that another figure is about."""
    document = tmp_path / "figures.json"
    assert run("--only", "capacity", "--json", str(document)).returncode == 0
    (figure,) = json.loads(document.read_text("utf-8"))["figures"]
    measured = (ROOT / "docs" / "capacity.md").read_text("utf-8").partition("Chosen:")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", measured, re.MULTILINE))
    assert named == {*figure["details"], "find_us", "token_bytes"}
    assert all(value >= 0 for value in figure["details"].values())
    assert figure["spread"]["median"] > 0


def test_a_crowd_on_a_cluster(tmp_path: Path) -> None:
    """Few threads of few processes at an expiry: one refresh for all, and what it costs Redis is counted."""
    document = tmp_path / "figures.json"
    assert run("--only", "crowd", "--json", str(document)).returncode == 0
    (figure,) = json.loads(document.read_text("utf-8"))["figures"]
    assert figure["reached"]
    assert all(expiry["refreshes"] == 1 and expiry["commands"] > 0 for expiry in figure["details"]["expiries"])


def test_a_figure_that_there_is_not() -> None:
    """A wrong name is refused before anything runs, and the right ones are named."""
    refused = run("--only", "speed")
    assert refused.returncode == 2
    assert "find_by_id" in refused.stderr
    assert refused.stdout == ""


def test_managed_figures(tmp_path: Path) -> None:
    """The figures of a store that refreshes by itself, those that do not need a real expiry, reach what they should."""
    document = tmp_path / "figures.json"
    only = [part for name in ("near", "takeover", "changes", "outage") for part in ("--only", name)]
    shown = run(*only, "--json", str(document))
    assert shown.returncode == 0, shown.stderr
    takeover, seen, away, near = json.loads(document.read_text("utf-8"))["figures"]
    took = takeover["details"]["took_s"]
    assert takeover["spread"]["median"] == max(took)
    assert min(took) > 1, "a lease lasts longer than that"
    assert takeover["reached"] == (max(took) <= 4)
    assert len(seen["details"]["took_ms"]) == 36, "three processes have seen twelve changes"
    assert seen["reached"] == (seen["spread"]["median"] <= 50)
    assert away["spread"]["median"] == away["details"]["errors"] == 0
    assert away["details"]["restored"]
    assert near["details"]["asked_redis"] == 0
    assert 0 < near["spread"]["median"] < 0.5


def look(began_at: float = 0.0, seconds: float = 0.001, refreshed: bool = False, error: str = "") -> Look:
    """Return a look-up."""
    return Look(began_at, seconds, refreshed, error)


def test_what_counts_as_a_wait() -> None:
    """Waits by the store's count, and refreshes inside a look-up; not one in the background, nor a slow machine."""
    calm = [look(refreshed=True), look(seconds=3.0), look()]
    assert ahead.count([Asked(calm, 0)], 1) == ahead.Round(3, 0, 0, 1, 3000.0, "")
    inline = look(seconds=ahead.LATENCY, refreshed=True)
    seen = ahead.count([Asked([*calm, inline], 2), Asked([look(error="no token")], 0)], 2)
    assert (seen.requests, seen.waited, seen.errors, seen.calls, seen.first_error) == (5, 3, 1, 2, "no token")


def test_when_a_change_is_seen() -> None:
    """At its first sight, in each process; one that is never seen counts as late."""
    made = [Change("a", "new", 10.0), Change("b", DELETED, 20.0)]
    one = [Seen("a", "old", 1.0), Seen("a", "new", 10.25), Seen("b", DELETED, 19.5)]
    other = [Seen("b", "new", 10.0), Seen("a", "new", 10.5), Seen("a", "old", 10.6), Seen("a", "new", 10.75)]
    assert list(changes.delays(made, [one, other])) == pytest.approx([0.25, -0.5, 0.5, changes.EVERY])


def test_what_counts_in_an_outage() -> None:
    """The slowest call is sought while Redis is away, without each worker's first; errors count all the time."""
    one = [look(0, 0.5), look(1, 0.4), look(2, 0.002), look(3, 0.3)]
    other = [look(1.5, 0.2), look(2.5, 0.003), look(4, 0.001, error="StoreUnavailable")]
    seen = outage.count([Asked(one, 0), Asked(other, 0)], gone_at=1, back_at=3)
    assert (seen.requests, seen.errors, seen.first_error) == (7, 1, "StoreUnavailable")
    assert (round(seen.slowest_ms, 3), round(seen.slowest_around_ms, 3)) == (3.0, 500.0)
