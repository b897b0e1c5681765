"""What the demo shows while it runs: a live view on a terminal, lines elsewhere, nothing for JSON."""

from __future__ import annotations

import time
from types import TracebackType

import click
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from zoho_token_store.cli.demo.tally import FleetTally
from zoho_token_store.cli.demo.workload import Workload
from zoho_token_store.testing import Counters

TITLES = {"file": "the SDK's FileStore", "redis": "RedisTokenStore"}
PER_ROW = 4
LINE_EVERY = 2.0
"""Time between two lines where there is no terminal, seconds."""

_STYLES = {
    "starting": "dim",
    "ready": "cyan",
    "booting": "cyan",
    "waiting": "yellow",
    "failing": "red",
    "working": "green",
}


def figures(tally: FleetTally, counters: Counters) -> list[tuple[str, str]]:
    """Return the figures of a run so far, by name."""
    return [
        ("workers up", f"{tally.up()} of {len(tally.workers)}"),
        ("exchanges", str(counters.exchanges)),
        ("refreshes", str(counters.refreshes)),
        ("throttled", str(counters.throttled)),
        ("rejected by CRM", str(counters.crm_rejected)),
        ("errors", str(tally.failed())),
        ("calls", str(tally.calls())),
        ("slowest call", f"{tally.slowest_call:.2f} s"),
    ]


class SilentView:
    """Shows nothing."""

    def show(self, store: str, elapsed: float | None, tally: FleetTally, counters: Counters) -> None:
        """See the class."""


class LineView:
    """Prints a line now and then."""

    def __init__(self) -> None:
        self._shown: tuple[str, bool] | None = None
        self._shown_at = 0.0

    def show(self, store: str, elapsed: float | None, tally: FleetTally, counters: Counters) -> None:
        """Print a line when a run or a phase begins, and every two seconds of it."""
        now, phase = time.monotonic(), (store, elapsed is None)
        if phase == self._shown and (elapsed is None or now - self._shown_at < LINE_EVERY):
            return
        self._shown, self._shown_at = phase, now
        if elapsed is None:
            click.echo(f"{TITLES[store]}: starting {len(tally.workers)} workers")
        else:
            line = ", ".join(f"{name} {value}" for name, value in figures(tally, counters))
            click.echo(f"{TITLES[store]}: {elapsed:5.1f} s: {line}")


class LiveView:
    """Draws the fleet on a terminal.

    Args:
        console: The terminal.
        workload: What the fleet is put through.
    """

    def __init__(self, console: Console, workload: Workload) -> None:
        self._workload = workload
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, store: str, elapsed: float | None, tally: FleetTally, counters: Counters) -> None:
        """Draw how it stands."""
        self._live.update(self._draw(store, elapsed, tally, counters), refresh=True)

    def _draw(self, store: str, elapsed: float | None, tally: FleetTally, counters: Counters) -> Panel:
        seconds = self._workload.seconds
        clock = "the workers import the SDK" if elapsed is None else f"{elapsed:.1f} of {seconds:g} s"
        title = f"{len(tally.workers)} workers on {TITLES[store]}: {clock}"
        subtitle = f"access tokens live {self._workload.life} s"
        return Panel(
            Group(_workers(tally), "", _figures(tally, counters)), title=title, subtitle=subtitle, padding=(1, 2)
        )


def _workers(tally: FleetTally) -> Table:
    now = time.monotonic()
    grid = Table.grid(padding=(0, 3), expand=True)
    cells = []
    for number, worker in enumerate(tally.workers, start=1):
        state = worker.state(now)
        cells.append(Text(f"{number:>3} {state:<8} {worker.calls:>4}", style=_STYLES[state]))
    for at in range(0, len(cells), PER_ROW):
        grid.add_row(*cells[at : at + PER_ROW])
    return grid


def _figures(tally: FleetTally, counters: Counters) -> Table:
    grid = Table.grid(padding=(0, 3))
    pairs = [f"{name} [bold]{value}[/bold]" for name, value in figures(tally, counters)]
    for at in range(0, len(pairs), PER_ROW):
        grid.add_row(*pairs[at : at + PER_ROW])
    return grid
