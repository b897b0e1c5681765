"""``zoho-tokens rotate-keys``: moves every record to the newest keys while workers run."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from zoho_token_store.cli.target import Target, on_target
from zoho_token_store.redis_store import RedisTokenStore
from zoho_token_store.rotation import RotationProgress


@click.command()
@on_target
@click.option(
    "--batch",
    type=click.IntRange(1, 10_000),
    default=500,
    show_default=True,
    metavar="RECORDS",
    help="How many records are looked at in one round trip.",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as a JSON object.")
def rotate_keys(target: Target, batch: int, quiet: bool, as_json: bool) -> None:
    """Move every record to the keys that the fleet writes with.

    Give it the keys that the workers have, in the same order: the first key of ZOHO_TOKEN_STORE_KEYS seals, and
    pointers are written under every key of ZOHO_TOKEN_STORE_POINTER_KEYS. Workers go on meanwhile. It may be stopped at
    any time and started again; what has been moved is then only read.

    A record that cannot be opened is left as it is, named on stderr, and makes the exit status 1.
    """
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr, level=logging.ERROR)
    with target.open() as store:
        done = _rotate(store, batch, quiet)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        left = f", {len(done.failed):,} could not be opened" if done.failed else ""
        click.echo(f"{done.seen:,} records read: {done.moved:,} moved, {done.seen - done.moved:,} in place{left}")
    if done.failed:
        sys.exit(1)


def _rotate(store: RedisTokenStore, batch: int, quiet: bool) -> RotationProgress:
    columns = (TextColumn("moving records"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    done = RotationProgress(0)
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=None)
        for done in store.rotate_keys(batch):
            bar.update(task, total=max(done.total, done.seen), completed=done.seen + len(done.failed))
    return done
