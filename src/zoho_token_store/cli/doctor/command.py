"""``zoho-tokens doctor``: asks, and tells in plain words."""

from __future__ import annotations

import json
import os
import sys

import click
import redis

from zoho_token_store.cli.doctor.checks import CHECKS, Finding, findings
from zoho_token_store.cli.doctor.gather import Gatherer
from zoho_token_store.cli.settings import json_option
from zoho_token_store.cli.status import DANGER, DONE, LEFT
from zoho_token_store.cli.target import Away, Target, on_target
from zoho_token_store.errors import StoreUnavailable
from zoho_token_store.refusal import refusal

STATUS = {"danger": DANGER, "warning": LEFT, "hint": DONE}
"""The exit status by the gravest finding."""


@click.command()
@on_target
@click.option(
    "--min-replicas",
    type=click.IntRange(0, 100),
    default=0,
    show_default=True,
    help="What the workers' option min_replicas is.",
)
@json_option("A JSON list of what was found.")
def doctor(target: Target, min_replicas: int, as_json: bool) -> None:
    """Say what would lose or leak tokens, and what to do about it.

    Connects as a worker would, with the URL, the keys and the packages that are here: run it where the workers run, in
    their environment. It changes nothing, and asks for no configuration that may hold passwords. What the Redis user
    may not ask is said to be unknown.

    The exit status is 0 if all is well or there are hints only, 1 for warnings, and 3 for dangers.
    """
    try:
        facts = Gatherer(target.url, target.check_redis()).gather(os.environ, min_replicas)
    except (redis.RedisError, OSError) as error:
        why = refusal(error) or f"Redis does not answer ({type(error).__name__})"
        raise Away(StoreUnavailable(why, cause=error)) from None
    found = list(findings(facts))
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in found]))
    else:
        _tell(found)
    sys.exit(max((STATUS[finding.severity] for finding in found), default=0))


def _tell(found: list[Finding]) -> None:
    for finding in found:
        click.echo(f"{finding.severity.upper():8} {finding.check}: {finding.what}")
        click.echo(f"{'':8} -> {finding.remedy}")
    click.echo(f"{len(CHECKS)} checks, {len(found) or 'nothing'} found")
