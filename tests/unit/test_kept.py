"""Saves that are kept: the one that is being tried counts as kept until its outcome is known."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from zoho_token_store import kept
from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import NotDurable, StoreUnavailable
from zoho_token_store.kept import KeptSaves
from zoho_token_store.stats import Stats

PATIENCE = 30.0


class Save:
    """As much of a save as is asked for."""

    def __init__(self, *, is_short: bool) -> None:
        self.is_short = is_short


class Attempts:
    """Tries saves: each attempt begins, waits until it may end, and then ends as it was told to."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.failure: Exception | None = None

    def __call__(self, save: Any) -> None:
        self.begun.release()
        assert self.may_end.acquire(timeout=PATIENCE)
        if self.failure:
            raise self.failure


@pytest.fixture(autouse=True)
def no_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the background begin at once."""
    monkeypatch.setattr(kept, "ROUND", 0.001)
    monkeypatch.setattr(kept, "hook_exits", lambda: None)


@pytest.mark.parametrize(
    ("is_short", "failure", "word"),
    [
        (False, StoreUnavailable("away"), "saves are lost"),
        (True, NotDurable(0, 1, on_disk=False), "saves are on too few replicas"),
    ],
    ids=["not stored", "too few replicas"],
)
@pytest.mark.parametrize("fails", [True, False])
def test_the_end_sees_a_save_that_is_being_tried(
    caplog: pytest.LogCaptureFixture, is_short: bool, failure: Exception, word: str, fails: bool
) -> None:
    """It is waited for, tried a last time if that has failed, and lost only with a word."""
    attempts = Attempts()
    attempts.failure = failure if fails else None
    saves = KeptSaves(attempts, lambda _: None, PATIENCE, Stats(), SystemClock())
    with caplog.at_level(logging.CRITICAL):
        saves.keep(Save(is_short=is_short))  # type: ignore[arg-type]
        assert attempts.begun.acquire(timeout=PATIENCE)
        ending = threading.Thread(target=saves.close)
        ending.start()
        ending.join(0.05)
        assert ending.is_alive(), "it does not end while a save is in hand"
        for _ in range(2):
            attempts.may_end.release()
        ending.join(PATIENCE)
        assert not ending.is_alive()
    assert (word in caplog.text) == fails
    assert len(saves) == 0


def test_a_save_that_is_being_tried_is_waited_for_by_look_ups() -> None:
    """A look-up in another thread would else not see what this process has saved."""
    attempts = Attempts()
    saves = KeptSaves(attempts, lambda _: None, PATIENCE, Stats(), SystemClock())
    saves.keep(Save(is_short=False))  # type: ignore[arg-type]
    assert attempts.begun.acquire(timeout=PATIENCE)
    assert len(saves) == 1
    attempts.may_end.release()
    saves.settle()
    assert len(saves) == 0
    saves.close()
