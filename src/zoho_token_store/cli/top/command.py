"""``zoho-tokens top``: draws until it is told to stop."""

from __future__ import annotations

import time
from contextlib import ExitStack

import click
from rich.console import Console
from rich.live import Live

from zoho_token_store.cli.fleet.leases import FleetLine
from zoho_token_store.cli.signals import interruptible
from zoho_token_store.cli.target import Target, on_target
from zoho_token_store.cli.top.frame import draw
from zoho_token_store.cli.top.watcher import WINDOW, Watcher

EVERY = 1.0
"""Time from one frame to the next, seconds."""
NO_TERMINAL = "top draws on a terminal, and this is none: --once prints one frame, and stats --json is for programs"


@click.command()
@on_target
@click.option("--once", is_flag=True, help="Print one frame, when everything was counted once.")
def top(target: Target, once: bool) -> None:
    """Watch the fleet: the tokens that end next, refreshes under way and held back, events, errors.

    Drawn anew each second. Look-ups, hit rates, waits and failures are those of the last minute, as each process tells
    them every ten seconds; with --once, and in the first seconds, those of the whole time since the first was told.
    How many clients wait on the server is known, and not for what: workers for a refresh, near caches for events, and
    whatever else uses the server. All tokens and keys are looked at in turns, for at most a tenth of the time; a fleet
    of a million is seen anew every few minutes, its events each second.

    A Redis that goes away is waited for. Ctrl-C and SIGTERM end it, with exit status 0.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    if not once and (not console.is_terminal or console.is_dumb_terminal):
        raise click.UsageError(NO_TERMINAL)
    namespace = target.check_redis()
    with ExitStack() as stack:
        store = stack.enter_context(target.open_redis())
        line = stack.enter_context(FleetLine(target))
        watcher = Watcher(store, stack.enter_context(store.events(WINDOW)), line, namespace)
        try:
            with interruptible():
                _print(watcher, console) if once else _live(watcher, console)
        except KeyboardInterrupt:
            pass


def _print(watcher: Watcher, console: Console) -> None:
    console.print(draw(watcher.look(whole=True), console.width, console.height))


def _live(watcher: Watcher, console: Console) -> None:
    """Draw for ever; when it ends the terminal is as it was."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            scene = watcher.look()
            # The size is asked for anew each time: a terminal may be made larger or smaller.
            live.update(draw(scene, console.width, console.height), refresh=True)
            time.sleep(max(0.1, EVERY - (time.monotonic() - began)))
