"""``zoho-tokens audit``: what is wrong with the tokens' keys, and putting it right while workers run."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable

import click

from zoho_token_store.audit import MEANINGS, Finding
from zoho_token_store.cli.progress import progress_bars
from zoho_token_store.cli.settings import json_option, quiet_option
from zoho_token_store.cli.target import Target, on_target


@click.command()
@on_target
@click.option("--repair", is_flag=True, help="Put right what is found. Without it nothing is changed.")
@click.option(
    "--unclaimed",
    is_flag=True,
    help="With --repair: also remove pointers to records that do not hold what these stand for. Only with the pointer"
    " keys of all workers; it clears away what keys have left that are used no more.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 10_000),
    default=500,
    show_default=True,
    metavar="KEYS",
    help="How many records or keys are looked at in one step.",
)
@click.option("--list", "listed", is_flag=True, help="Name the record of each finding, one a line, on stderr.")
@quiet_option
@json_option("Print the outcome as a JSON object.")
def audit(target: Target, repair: bool, unclaimed: bool, batch: int, listed: bool, quiet: bool, as_json: bool) -> None:
    """Look for what a hand edit, a partial restore or an evicting server has left wrong.

    Workers go on meanwhile. What is put right is compared in the same step with what was seen, so that nothing is lost
    that a worker writes at that moment. Give it the keys that the workers have, as for rotate-keys.

    The exit status is 0 if nothing is wrong any more, and 1 if something is.
    """
    if unclaimed and not repair:
        raise click.UsageError("--unclaimed changes something, and so needs --repair")
    found: Counter[str] = Counter()
    repaired: Counter[str] = Counter()
    with target.open_redis() as store, progress_bars(quiet=quiet) as draw:
        for progress in store.audit(batch, repair=repair, unclaimed=unclaimed):
            draw(f"looking at {progress.step}", progress.seen, progress.total)
            _count(progress.findings, found, repaired, listed)
    left = found - repaired
    if as_json:
        click.echo(json.dumps({"found": dict(found), "repaired": dict(repaired), "left": dict(left)}))
    else:
        _tell(found, repaired, repair)
    sys.exit(1 if left else 0)


def _count(findings: Iterable[Finding], found: Counter[str], repaired: Counter[str], listed: bool) -> None:
    for finding in findings:
        found[finding.kind] += 1
        repaired[finding.kind] += finding.repaired
        if listed:
            click.echo(f"{finding.kind:13} {finding.record_id or '-'}", err=True)


def _tell(found: Counter[str], repaired: Counter[str], repair: bool) -> None:
    if not found:
        click.echo("nothing is wrong")
    for kind, meaning in MEANINGS.items():
        if found[kind]:
            done = f", {repaired[kind]:,} of them repaired" if repair else ""
            click.echo(f"{kind:13} {found[kind]:>7,} {meaning}{done}")
    if found and not repair:
        click.echo("nothing was changed; --repair puts right what can be")
