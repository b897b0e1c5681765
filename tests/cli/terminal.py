"""A command of ``zoho-tokens`` in a terminal: what it draws, and what it asks."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

from cli.program import PATIENCE, PROGRAM

# The terminal becomes the one of the process, as under a shell: Ctrl-C, resizing and hidden input need that.
START = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


class Terminal:
    """A command that runs in a terminal of its own.

    Args:
        arguments: The command's name, and what follows.
        environment: Its environment variables.
        columns: The terminal's width.
        lines: Its height.
    """

    def __init__(self, arguments: list[str], environment: dict[str, str], columns: int = 100, lines: int = 30) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(columns, lines)
        unset = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, *PROGRAM, *arguments],
            env={"TERM": "xterm"} | unset,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.screen = ""

    def resize(self, columns: int, lines: int) -> None:
        """Make it another size; the command is told by a signal."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has written something, so often at least."""
        deadline = time.monotonic() + PATIENCE
        while self.screen.count(text) < times:
            assert self._read(), self.screen
            assert time.monotonic() < deadline, self.screen

    def type(self, line: str) -> None:
        """Answer it with a line."""
        self.press(f"{line}\n")

    def press(self, keys: str) -> None:
        """Type some keys; ``\\x03`` is Ctrl-C."""
        os.write(self._ours, keys.encode())

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it, whatever state it is in."""
        self._process.kill()
        self._process.wait()

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
