"""What docs/capacity.md computes follows from what it states."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmarks import sizing
from benchmarks.sizing import PAGE, Inputs

TEXT = PAGE.read_text("utf-8")
INPUTS = Inputs.read(TEXT)
README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_the_tables_follow_from_the_inputs() -> None:
    """Computed anew they are what stands there."""
    assert sizing.write(TEXT) == TEXT


def test_another_input_gives_other_tables() -> None:
    """A record of twice the size halves what a server holds, and a missing table is noticed."""
    page = sizing.write(TEXT.replace("| `token_bytes` | 1,752 |", "| `token_bytes` | 3,504 |"))
    assert "| tokens held | `node_bytes / token_bytes` | 4.6 million |" in page
    with pytest.raises(SystemExit, match="near"):
        sizing.write(TEXT.replace("<!-- near -->", ""))


def test_the_memory_of_a_record_is_the_readme_s() -> None:
    """One figure, not two."""
    quoted = re.search(r"Redis memory for a full record .*? \| ([\d,]+) bytes", README)
    assert quoted is not None
    assert float(quoted[1].replace(",", "")) == INPUTS.token_bytes


def test_the_words_say_what_the_tables_say() -> None:
    """Where memory and connections give first, and what Zoho would have to take."""
    assert f"some {INPUTS.node_bytes / INPUTS.token_bytes / 1e6:.0f} million tokens" in TEXT
    assert f"some {INPUTS.node_connections:,.0f} workers" in TEXT
    assert f"{round(INPUTS.refreshes(100e6), -3):,.0f} calls a second" in TEXT


def test_one_load_by_hand() -> None:
    """Ten million tokens and ten thousand workers: 17.5 GB, 2,778 refreshes a second, 0.35 cores, two masters."""
    (row,) = [row for row in sizing.loads(INPUTS) if row[:2] == ("10,000,000", "10,000")]
    assert row[2:] == ("17.5 GB", "2,780", "10,000", "0.35", "2", "1", "memory")
    cores = 10e6 / 3600 * INPUTS.refresh_us / 1e6 + 10_000 * INPUTS.find_us / 1e6
    assert cores == pytest.approx(0.35, abs=0.005)
