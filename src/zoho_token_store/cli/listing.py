"""How many tokens are printed: as lines, as JSON, as CSV. No more than a page of them is kept in memory."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from zoho_token_store.cli.plain import as_json, plain
from zoho_token_store.cli.view import View

PAGE = 200
"""How many tokens are printed at a time: few enough to see the first at once."""

COLUMNS = ("id", "state", "expires", "refreshable", "client id", "user name")
STYLES = {"fresh": "green", "expiring": "yellow", "expired": "red", "no-access": "dim"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""

NARROWEST = 10
"""What a column is not made narrower than, unless there is no room at all."""


class Printer(Protocol):
    """Prints tokens."""

    def __call__(self, page: list[View]) -> None:
        """Print some more."""


def print_all(seen: Iterable[View], printer: Printer) -> int:
    """Print tokens page by page as they come; return how many there were."""
    count = 0
    for page in _pages(iter(seen)):
        printer(page)
        count += len(page)
    return count


def _pages(seen: Iterator[View]) -> Iterator[list[View]]:
    while page := list(islice(seen, PAGE)):
        yield page


def print_json(page: list[View]) -> None:
    """Print one JSON object a line."""
    click.echo("\n".join(as_json(each.told()) for each in page))


class CsvPrinter:
    """Prints CSV with a line of names; what cannot be printed is a question mark.

    What a spreadsheet would take for a formula has an apostrophe in front. An id has none, so that it can be used as it
    stands: of its characters no formula can be made that does anything.
    """

    def __init__(self) -> None:
        names = View("", None, None, "fresh", None, False, None).told()
        click.echo(",".join(names))

    def __call__(self, page: list[View]) -> None:
        """Print some more."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for each in page:
            writer.writerow([_cell(name, value) for name, value in each.told().items()])
        click.echo(text.getvalue(), nl=False)


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    return plain(f"'{text}" if name != "id" and text.startswith(FORMULA) else text)


class LinePrinter:
    """Prints columns: cut to the width of a terminal and with a head there, whole elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._widths: list[int] = []

    def __call__(self, page: list[View]) -> None:
        """Print some more."""
        rows = [_cells(each) for each in page]
        if not sys.stdout.isatty():
            click.echo("\n".join("  ".join(row).rstrip() for row in rows))
            return
        if not self._widths:
            self._widths = fitted(_natural(rows), self._console.width)
            self._print(Text(self._line(COLUMNS), style="bold"))
        lines = Text("\n").join(Text(self._line(row), style=STYLES[row[1]]) for row in rows)
        self._print(lines)

    def _print(self, text: Text) -> None:
        self._console.print(text, no_wrap=True, overflow="crop", crop=True)

    def _line(self, cells: Iterable[str]) -> str:
        return "  ".join(map(_cut, cells, self._widths)).rstrip()


def _cells(seen: View) -> tuple[str, ...]:
    refreshable = "yes" if seen.refreshable else "no"
    return (plain(seen.id), seen.state, plain(seen.expires), refreshable, plain(seen.client_id), plain(seen.user_name))


def _natural(rows: list[tuple[str, ...]]) -> list[int]:
    return [max(map(cell_len, cells)) for cells in zip(COLUMNS, *rows, strict=True)]


def fitted(widths: list[int], room: int) -> list[int]:
    """Return the widths of columns so that all fit, with two cells between them, by narrowing the widest.

    Args:
        widths: What they would like.
        room: Cells of a line.
    """
    fit = list(widths)
    left = max(0, room - 2 * (len(fit) - 1))
    while sum(fit) > left and max(fit) > NARROWEST:
        fit[fit.index(max(fit))] -= 1
    return fit


def _cut(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(0, width - 1)) + "…"


def printer_for(*, as_json: bool, as_csv: bool) -> Printer:
    """Return the printer that was asked for."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    return print_json if as_json else CsvPrinter() if as_csv else LinePrinter()


csv_option = click.option(
    "--csv",
    "as_csv",
    is_flag=True,
    help="CSV, with a line of names. What begins as a formula of a spreadsheet does (= + - @) has an apostrophe in"
    " front; an id has none.",
)
