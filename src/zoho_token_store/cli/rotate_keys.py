"""``zoho-tokens rotate-keys``: moves every record to the newest keys while workers run."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict

import click

from zoho_token_store.cli.progress import progress_bars
from zoho_token_store.cli.settings import json_option, quiet_option
from zoho_token_store.cli.target import Target, on_target
from zoho_token_store.rotation import RotationProgress
from zoho_token_store.store import CoordinatedTokenStore


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
@quiet_option
@json_option("Print the outcome as a JSON object.")
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


def _rotate(store: CoordinatedTokenStore, batch: int, quiet: bool) -> RotationProgress:
    done = RotationProgress(0)
    with progress_bars(quiet=quiet) as draw:
        for done in store.rotate_keys(batch):
            draw("moving records", done.seen + len(done.failed), max(done.total, done.seen))
    return done
