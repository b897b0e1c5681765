"""What is said and told anywhere, so that a test can look for what should not be there."""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

from servers import Server


class Ear:
    """Hears what a Redis server is told, and takes down all that is said elsewhere.

    Args:
        server: The server.

    Attributes:
        heard: What ``MONITOR`` has shown, commands of scripts included.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._said = io.StringIO()
        self._stopped = threading.Event()
        self.heard = bytearray()

    @property
    def said(self) -> str:
        """Log records with their tracebacks, and what was taken down."""
        return self._said.getvalue()

    def take_down(self, *sayings: object) -> None:
        """Take down what was printed, or an error with its traceback."""
        for saying in sayings:
            if isinstance(saying, BaseException):
                self._said.writelines(traceback.format_exception(saying))
            self._said.write(f"{saying}\n{saying!r}\n")

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to ``MONITOR``, and to every logger of this process at its lowest level."""
        handler = logging.StreamHandler(self._said)
        handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        root = logging.getLogger()
        before = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        thread = threading.Thread(target=self._listen, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join(10)
            root.removeHandler(handler)
            root.setLevel(before)

    def _listen(self) -> None:
        """Follow ``MONITOR``, also across a restart of the server."""
        while not self._stopped.wait(0.01):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
                line.settimeout(0.1)
                line.connect(self._server.socket_path)
                line.sendall(f"AUTH {self._server.password}\r\nMONITOR\r\n".encode())
                while not self._stopped.is_set():
                    with contextlib.suppress(TimeoutError):
                        read = line.recv(1 << 16)
                        if not read:
                            break
                        self.heard += read


def on_disk(folder: Path) -> dict[str, bytes]:
    """Return all that a server has written, by file."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
