"""A network of the tests' own: a bridge, and a network namespace for each server, whose cable can be pulled out.

Only root can make one, on a Linux with ``ip``; nothing of it outlives the process that made it but by SIGKILL.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

NO_NETWORK = "network namespaces cannot be made here: that takes root and `ip` on Linux"


class Place(NamedTuple):
    """Where a server listens.

    Attributes:
        host: Its address.
        space: The network namespace that it runs in; None for that of the tests.
    """

    host: str = "127.0.0.1"
    space: str | None = None

    @property
    def entrance(self) -> list[str]:
        """The beginning of a command that is to run there."""
        return ["ip", "netns", "exec", self.space] if self.space else []


LOOPBACK = Place()
HERE = repeat(LOOPBACK)
"""Places for any number of servers that need no network."""


class Segment:
    """Servers that reach each other, and the tests, over a bridge.

    Raises:
        subprocess.CalledProcessError: It cannot be made.
    """

    def __init__(self) -> None:
        self._name = f"zts{os.getpid() % 100_000:05}{random.randrange(100):02}"
        self._net = f"10.{random.randrange(200, 250)}.{random.randrange(256)}"
        self._places: list[Place] = []
        atexit.register(self.close)
        _ip("link", "add", self._name, "type", "bridge")
        _ip("addr", "add", f"{self._net}.1/24", "dev", self._name)
        _ip("link", "set", self._name, "up")

    def places(self) -> Iterator[Place]:
        """Yield one more place, as often as is asked."""
        while True:
            yield self._add()

    def _add(self) -> Place:
        number = len(self._places) + 2
        space = f"{self._name}-{number}"
        cable = self._cable(number)
        place = Place(f"{self._net}.{number}", space)
        _ip("netns", "add", space)
        self._places.append(place)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", cable, "master", self._name, "up")
        _ip("-n", space, "addr", "add", f"{place.host}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        _ip("-n", space, "link", "set", "lo", "up")
        return place

    @contextlib.contextmanager
    def cut(self, place: Place) -> Iterator[None]:
        """Pull the cable of a place for a block: what is sent there or from there is lost, and nobody is told."""
        cable = self._cable(self._places.index(place) + 2)
        _ip("link", "set", cable, "nomaster")
        try:
            yield
        finally:
            _ip("link", "set", cable, "master", self._name)

    def close(self) -> None:
        """Remove all of it."""
        atexit.unregister(self.close)
        with contextlib.suppress(subprocess.CalledProcessError):
            while self._places:
                _ip("netns", "del", str(self._places.pop().space))
            _ip("link", "del", self._name)

    def _cable(self, number: int) -> str:
        return f"{self._name}.{number}"


@lru_cache(maxsize=1)
def can_be_made() -> bool:
    """Return whether this machine lets us make one."""
    if os.geteuid() or not shutil.which("ip"):
        return False
    try:
        segment = Segment()
    except subprocess.CalledProcessError:
        return False
    try:
        next(segment.places())
    except subprocess.CalledProcessError:
        return False
    finally:
        segment.close()
    return True


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)
