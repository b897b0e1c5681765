"""A set of texts, of which only 8 bytes each are kept."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

_PARTS = 1024
"""Each is sorted by itself, so that sorting needs little room."""


class Fingerprints:
    """Texts that are known, for as long as the process runs: first they are added, then asked for.

    Two texts have one fingerprint with a probability of one in 10**19: Python's hash of a text has a key and 64 bits.
    """

    def __init__(self) -> None:
        self._parts = [array("q") for _ in range(_PARTS)]
        self._sorted = True

    def add(self, texts: Iterable[str]) -> None:
        """Take some in."""
        self._sorted = False
        for text in texts:
            fingerprint = hash(text)
            self._parts[fingerprint % _PARTS].append(fingerprint)

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Return those of some that are not known."""
        if not self._sorted:
            self._parts = [array("q", sorted(part)) for part in self._parts]
            self._sorted = True
        return [text for text in texts if not self._knows(hash(text))]

    def _knows(self, fingerprint: int) -> bool:
        part = self._parts[fingerprint % _PARTS]
        at = bisect_left(part, fingerprint)
        return at < len(part) and part[at] == fingerprint
