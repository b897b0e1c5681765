"""Progress bars on stderr, for what takes a while."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Draw = Callable[[str, int, "int | None"], None]
"""Takes what is going on, how much of it is done, and how much there is to do; None if nobody knows."""


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[Draw]:
    """Draw a bar for each thing that goes on, if stderr is a terminal.

    Args:
        quiet: Whether to draw nothing.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as bars:

        def draw(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=None)
            bars.update(tasks[what], total=None if total is None else max(total, done), completed=done)

        yield draw


@contextmanager
def progress_bar(what: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Draw a bar if stderr is a terminal.

    Args:
        what: What is going on.
        total: How much there is to do; None if nobody knows.
        quiet: Whether to draw nothing.

    Yields:
        What takes how much is done.
    """
    with progress_bars(quiet=quiet) as draw:
        draw(what, 0, total)
        yield lambda done: draw(what, done, total)
