"""Commands of ``zoho-tokens``: in this process, or as one of its own with its output in a file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from click.testing import CliRunner

from zoho_token_store.cli.command import command

PROGRAM = [sys.executable, "-c", "from zoho_token_store.cli import main; main()"]
PATIENCE = 30.0
"""Longest wait for anything, seconds; only a failure takes that long."""


def until(condition: Callable[[], Any], what: Callable[[], str] = lambda: "it never came true") -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def run_here(arguments: list[str], environment: dict[str, str], answer: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command through pipes in this process: one of its own takes a second to start.

    Args:
        arguments: The command's name, and what follows.
        environment: Its environment variables.
        answer: What it may read.

    Raises:
        Exception: It has ended in a traceback.
    """
    with mock.patch.dict(os.environ, environment, clear=True):
        result = CliRunner().invoke(command, arguments, input=answer, prog_name="zoho-tokens")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


class Program:
    """A running command.

    Args:
        arguments: The command's name, and what follows.
        environment: Its environment variables.
        log: Where its output goes, both streams in one.
    """

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*PROGRAM, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text("utf-8", "replace")

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._process.poll() is None

    def said(self, pattern: str) -> int:
        """Return how often its output matches."""
        return len(re.findall(pattern, self.output))

    def wait_for(self, pattern: str, times: int = 1) -> None:
        """Wait until it says something, so often at least."""
        until(lambda: self.said(pattern) >= times or not self.running, lambda: self.output)
        assert self.said(pattern) >= times, self.output

    def rounds(self, more: int = 2) -> None:
        """Wait until so many more rounds of a refresher have ended."""
        self.wait_for("next round is in", self.said("next round is in") + more)

    def wait(self, at_most: float = PATIENCE) -> int:
        """Return the exit status."""
        return self._process.wait(at_most)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; return the exit status and how long it has taken, seconds."""
        started = time.monotonic()
        self._process.send_signal(number)
        status = self.wait()
        return status, time.monotonic() - started

    def kill(self) -> None:
        """End it, whatever state it is in."""
        self._process.kill()
        self._process.wait()
