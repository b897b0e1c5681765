"""What the comparison asks of each store, beside the SDK's own methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, Protocol


class Rival(Protocol):
    """A store of one kind, in a place of its own; see :class:`benchmarks.rivals.site.Site`.

    Attributes:
        name: What charts and tables call it.
        waits: Whether a worker waits for another's refresh.
        holds_tokens: Whether it is told apart by more than how it is opened: else only look-ups are measured.
    """

    name: ClassVar[str]
    waits: ClassVar[bool]
    holds_tokens: ClassVar[bool]

    def __init__(self, site: Any) -> None: ...

    @classmethod
    def is_there(cls) -> str:
        """Return what is missing on this machine, "" for nothing."""

    def load(self, count: int) -> list[str]:
        """Keep this many tokens and no others, in the quickest way; return their ids, in the order of their numbers."""

    def opener(self) -> Callable[[], Any]:
        """Return what makes a worker's store, in any process."""

    def scan(self, store: Any) -> Iterable[Any]:
        """Return all tokens, one by one if the store can."""

    def used(self) -> int:
        """Return how many bytes it takes, in Redis or on the disk, with nothing but what was loaded."""

    def expire(self, token: Any) -> None:
        """Leave this token as at the end of its access token, whatever a storm has made of it."""


class Site:
    """Where the stores of one comparison are; all is gone when the stack is left.

    Args:
        stack: Ends servers and removes folders.
        folder: Where files may be.
    """

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.shared: dict[type, Any] = {}
        """The rivals that are there, by their class: one may be another way to open one's tokens."""
