"""The check of written histories finds what it is there for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from integration.history import AT_MOST, check_history
from integration.observer import Run, View

DELETED = 100.0


def view(*runs: tuple[str, float]) -> View:
    """Return what a worker has seen of the record: outcomes, and when the last look of each began."""
    return View(len(runs), [], {"id": [Run(outcome, last, last) for outcome, last in runs]}, {})


def check(*views: View, at_once: int = 1, deleted: float | None = DELETED) -> None:
    site: Any = SimpleNamespace(zoho=SimpleNamespace(max_in_flight=lambda: at_once))
    check_history(site, views, "id", ["one", "two", "three"], deleted)


def test_a_good_history() -> None:
    """A token may be missed, and be seen until a moment after the deletion."""
    check(view(("one", 1), ("three", DELETED + AT_MOST), ("TokenDeleted", 101)), view(("TokenDeleted", DELETED)))
    check(view(("one", 1), ("two", 2)), deleted=None)


def test_two_requests_at_once() -> None:
    """One record, one request."""
    with pytest.raises(AssertionError):
        check(view(("one", 1), ("TokenDeleted", 101)), at_once=2)


@pytest.mark.parametrize(
    "seen", [["two", "one"], ["one", "two", "one"], ["one", "RefreshTimeout", "two"], ["four"], ["one", "TokenDeleted"]]
)
def test_what_was_over_comes_back(seen: list[str]) -> None:
    """An older token after a newer one, one that there never was, an error, a deletion that there was not."""
    with pytest.raises(AssertionError):
        check(view(("one", 1)), view(*((outcome, at) for at, outcome in enumerate(seen))), deleted=None)


def test_a_token_after_its_deletion() -> None:
    """Served a moment too late, again after the deletion was seen, or still at the end."""
    for seen in (
        [("two", DELETED + AT_MOST + 0.001), ("TokenDeleted", 101)],
        [("two", 99), ("TokenDeleted", 100.01), ("two", 100.02), ("TokenDeleted", 101)],
        [("two", 99)],
    ):
        with pytest.raises(AssertionError):
            check(view(("one", 1), ("TokenDeleted", 101)), view(*seen))
