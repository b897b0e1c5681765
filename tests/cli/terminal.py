"""A command of ``zoho-tokens`` in a terminal: what it draws, and what it asks."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time

from cli.program import PATIENCE, PROGRAM


class Terminal:
    """A command that runs in a terminal of its own.

    Args:
        arguments: The command's name, and what follows.
        environment: Its environment variables.
    """

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        environment = environment | {"TERM": "xterm", "COLUMNS": "100"}
        self._process = subprocess.Popen(
            [*PROGRAM, *arguments], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self.screen = ""

    def wait_for(self, text: str) -> None:
        """Wait until it has written something."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.screen:
            assert self._read(), self.screen
            assert time.monotonic() < deadline, self.screen

    def type(self, line: str) -> None:
        """Answer it with a line."""
        os.write(self._ours, f"{line}\n".encode())

    def end(self) -> int:
        """Return its exit status, when it has ended by itself."""
        while self._read():
            pass
        os.close(self._ours)
        return self._process.wait(PATIENCE)

    def _read(self) -> bool:
        """Read what is there; return whether there may be more."""
        ready, _, _ = select.select([self._ours], [], [], PATIENCE)
        if not ready:
            return False
        try:
            read = os.read(self._ours, 65536)
        except OSError:  # how Linux tells that the other end is closed
            return False
        self.screen += read.decode("utf-8", "replace")
        return bool(read)
