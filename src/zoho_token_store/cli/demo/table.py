"""The table at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoho_token_store.cli.demo.outcome import Outcome
from zoho_token_store.cli.demo.view import TITLES

MOST_MESSAGES = 4
MOST_EXPIRIES = 12


def print_table(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print the figures of the runs side by side, then what the errors were."""
    table = Table(title="What the fleet went through", title_justify="left")
    table.add_column("")
    for outcome in outcomes:
        table.add_column(TITLES[outcome.store], justify="right")
    for row in zip(*(_rows(outcome) for outcome in outcomes), strict=True):
        table.add_row(row[0][0], *(value for _, value in row))
    console.print(table)
    console.print("A refresh call counts whether or not Zoho grants it; after an error a worker pauses and asks again.")
    for outcome in outcomes:
        _print_errors(console, outcome)


def _rows(outcome: Outcome) -> list[tuple[str, str]]:
    of = f"of {outcome.workers}"
    per_expiry = outcome.refreshes_per_expiry
    refused = f" ({outcome.exchanges_refused} refused)" if outcome.exchanges_refused else ""
    return [
        ("workers up after the boot", f"{outcome.up_at_once} {of}"),
        ("workers up after trying again", f"{outcome.up} {of}"),
        ("exchanges of the grant code", f"{outcome.exchanges}{refused}"),
        ("expiries", str(len(outcome.refresh_calls))),
        ("refresh calls at each", _by_expiry(outcome.refresh_calls)),
        ("refreshes per expiry", "-" if per_expiry is None else f"{per_expiry:.2f}"),
        ("throttled by Zoho", str(outcome.throttled)),
        ("rejected by CRM", str(outcome.rejected)),
        ("errors", str(outcome.errors)),
        ("calls answered", str(outcome.calls)),
        ("slowest boot", f"{outcome.slowest_boot:.2f} s"),
        ("slowest call", f"{outcome.slowest_call:.2f} s"),
    ]


def _by_expiry(calls: Sequence[int]) -> str:
    shown = ", ".join(map(str, calls[:MOST_EXPIRIES]))
    return f"{shown}, ..." if len(calls) > MOST_EXPIRIES else shown or "-"


def _print_errors(console: Console, outcome: Outcome) -> None:
    messages = list(outcome.error_messages.items())
    if not messages:
        return
    console.print(f"Errors with {TITLES[outcome.store]}:")
    for message, count in messages[:MOST_MESSAGES]:
        # Text, not a string: a message may look like markup.
        console.print(Text(f"  {count:>5} x {message}"))
    rest = sum(count for _, count in messages[MOST_MESSAGES:])
    if rest:
        console.print(f"  {rest:>5} x others")
