"""What a process is called in the events that it leaves behind."""

from __future__ import annotations

import os
import socket

import pytest

from zoho_token_store.label import LONGEST, _made_for, is_label, process_label
from zoho_token_store.options import Options


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Make labels anew."""
    _made_for.cache_clear()


def test_host_and_process() -> None:
    """Without an option a process is known by its host and its number."""
    assert process_label() == f"{socket.gethostname()}:{os.getpid()}"
    assert Options().author() == process_label()
    assert Options(label="web 1").author() == "web 1"


def test_a_forked_child_has_one_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is looked up each time, and not when the store is made."""
    options = Options()
    before = options.author()
    monkeypatch.setattr(os, "getpid", lambda: 123456)
    assert options.author() == before.rpartition(":")[0] + ":123456"


@pytest.mark.parametrize(
    ("host", "label"),
    [
        ("h" * 64, "h" * (LONGEST - 3) + ":42"),
        ("wörker\x1b[31m\n", "w?rker?[31m?:42"),
        ("two words", "two?words:42"),
        ("", "?:42"),
    ],
)
def test_whatever_the_host_is_called(monkeypatch: pytest.MonkeyPatch, host: str, label: str) -> None:
    """It is a label that an option could give, too."""
    monkeypatch.setattr(os, "getpid", lambda: 42)
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert process_label() == label
    assert is_label(label)
