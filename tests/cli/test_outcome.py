"""What counts as a broken promise, and how it is shown."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from zoho_token_store.cli.demo.outcome import Outcome
from zoho_token_store.cli.demo.table import print_table

GOOD = Outcome("redis", 16, 16, 16, 1, 0, (1, 1, 1), 0, 0, 0, 900, 0.3, 0.5)


def shown(*outcomes: Outcome) -> str:
    """Return the table as text."""
    text = io.StringIO()
    print_table(Console(file=text, width=140), outcomes)
    return text.getvalue()


def test_a_good_run_keeps_every_promise() -> None:
    """All up, one exchange, one refresh per expiry and nothing else: no complaint."""
    assert GOOD.broken_promises() == []
    assert GOOD.refreshes_per_expiry == 1.0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"up_at_once": 15}, "15 of 16 workers came up"),
        ({"exchanges": 2}, "2 calls to exchange"),
        ({"refresh_calls": ()}, "no expiry was seen"),
        ({"refresh_calls": (1, 2, 1)}, "1, 2, 1"),
        ({"refresh_calls": (2, 0, 1)}, "2, 0, 1"),
        ({"throttled": 3}, "3 refresh calls throttled"),
        ({"rejected": 1}, "1 requests rejected"),
        ({"errors": 4}, "4 errors"),
    ],
)
def test_each_promise_can_be_broken(change: dict[str, Any], complaint: str) -> None:
    """Each figure that is not as promised is named, alone; an average of one does not hide a double refresh."""
    broken = replace(GOOD, **change).broken_promises()
    assert len(broken) == 1
    assert complaint in broken[0]


def test_the_table_shows_what_was_measured() -> None:
    """Both runs stand side by side, and the errors below are literal, markup or not."""
    messages = {"boot: SDKException: [bold]invalid_code[/bold]": 15, "a": 4, "b": 3, "c": 2, "d": 1}
    file = replace(GOOD, store="file", up_at_once=1, exchanges=16, exchanges_refused=15, refresh_calls=(16, 84))
    text = shown(replace(file, errors=25, error_messages=messages), GOOD)
    for line in ("1 of 16", "16 (15 refused)", "16, 84", "50.00", "1, 1, 1", "1.00", "[bold]invalid_code[/bold]"):
        assert line in text
    assert "1 x others" in text


def test_a_run_without_expiry_is_shown_as_such() -> None:
    """No expiry is no division by nothing, in the table and in JSON."""
    none = replace(GOOD, refresh_calls=())
    assert "expiries" in shown(none)
    assert json.loads(json.dumps(none.as_dict()))["refreshes_per_expiry"] is None
