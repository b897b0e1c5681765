"""``zoho-tokens migrate``: moves tokens from one store to another, whichever of the known kinds each is of."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict

import click

from zoho_token_store.adoption import CONFLICT
from zoho_token_store.cli.progress import progress_bars
from zoho_token_store.cli.settings import json_option, namespace_option_for, quiet_option
from zoho_token_store.cli.target import Away, Failed, Unusable
from zoho_token_store.errors import ConfigurationError, InvalidToken, StoreUnavailable, TokenStoreError
from zoho_token_store.migration import Line, Move, Naming, Tally, open_source, open_target
from zoho_token_store.migration.move import FLAW, NOTE, UNREADABLE
from zoho_token_store.redaction import redact

ALWAYS = (CONFLICT, UNREADABLE, NOTE, FLAW)
DONE = {
    "created": ("would be created", "created"),
    "updated": ("would be updated", "updated"),
    "left": ("would be left alone", "left alone"),
    "conflicts": ("are in conflict", "are in conflict"),
    "unreadable": ("cannot be read", "cannot be read"),
}


@click.command()
@click.argument("source")
@click.argument("target")
@click.option("--apply", is_flag=True, help="Do it. Without this nothing is changed anywhere.")
@namespace_option_for("The namespace of TARGET, and of SOURCE if it is a store of this package too.")
@click.option("--source-namespace", metavar="NAME", help="The namespace of SOURCE, if it is another.")
@click.option(
    "--source-in-clear", is_flag=True, help="Read a store of this package without the keys of the environment."
)
@click.option(
    "--encoding", metavar="NAME", help="The encoding of a CSV file as SOURCE that is not in UTF-8, such as cp1252."
)
@click.option(
    "--batch",
    type=click.IntRange(1, 5_000),
    default=500,
    show_default=True,
    metavar="ROWS",
    help="How many rows are looked at and written in one step.",
)
@click.option("--list", "listed", is_flag=True, help="List every row, and not only those that need a look.")
@quiet_option
@json_option("Print the outcome as a JSON object.")
def migrate(
    source: str,
    target: str,
    apply: bool,
    namespace: str | None,
    source_namespace: str | None,
    source_in_clear: bool,
    encoding: str | None,
    batch: int,
    listed: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Move tokens from SOURCE to TARGET, which stay what they are until --apply.

    Either may be csv:PATH (the file of the SDK's FileStore), mysql://USER@HOST/DATABASE?table=NAME (the table of its
    DBStore; the password from MYSQL_PWD), article:PATH (the SQLite file of Zoho's article), jsonl:PATH (an export,
    sealed with ZOHO_TOKEN_STORE_KEYS), or a store of this package: redis://, rediss://, unix://, redis+sentinel://,
    redis+cluster://, sqlite:///PATH, memory://. A sqlite:/// file with the article's table is taken for what it is.

    SOURCE is only read. A newer token in TARGET is never replaced by an older one, and what was deleted there does not
    come back. It can be run again at any time: what is there is left alone. Of two rows of one user and client one is
    moved, that with a refresh token or else the one that expires later, and the other listed. Nothing that is printed
    is a secret.

    The exit status is 0 if all of SOURCE is in TARGET, or would be; 1 if rows are in conflict or cannot be read, or if
    SOURCE was cut short; 2 if something cannot be used as it was given; 4 if a place cannot be used, or not to the end.
    """
    if source == target and source_namespace in (None, namespace):
        raise click.UsageError("SOURCE and TARGET are the same")
    lines: list[Line] = []
    places = (
        Naming(source, source_namespace or namespace, encoding, source_in_clear),
        Naming(target, namespace),
    )
    try:
        tally = _move(places, apply, batch, quiet, lambda line: _show(line, listed, lines if as_json else None))
    except (ConfigurationError, InvalidToken) as error:
        raise Unusable(error) from None
    except StoreUnavailable as error:
        raise Away(error) from None
    except TokenStoreError as error:
        raise Failed(error) from None
    if as_json:
        click.echo(json.dumps({"applied": apply, **asdict(tally), "rows": [_told(line) for line in lines]}))
    else:
        _tell(tally, apply, quiet)
    sys.exit(0 if tally.is_clean else 1)


def _move(places: tuple[Naming, Naming], apply: bool, batch: int, quiet: bool, show: Callable[[Line], None]) -> Tally:
    with (
        open_source(places[0]) as source,
        open_target(places[1], apply=apply) as target,
        progress_bars(quiet=quiet) as draw,
    ):
        total = source.count()
        move = Move(source, target, apply=apply, batch=batch)
        for line in move.run(lambda what, rows: draw(f"{what} rows", rows, total)):
            show(line)
    if not move.tally.adds_up:
        raise AssertionError(f"rows are not accounted for: {move.tally}")
    return move.tally


def _show(line: Line, listed: bool, kept: list[Line] | None) -> None:
    """Show a row that needs a look, or every one; or keep it for the JSON object."""
    if not listed and line.outcome not in ALWAYS and not line.reason:
        return
    if kept is not None:
        kept.append(line)
        return
    told = _told(line)
    who = ", ".join(f"{name} {told[name]}" for name in ("id", "user") if told[name])
    who, why = who and f" ({who})", told["reason"] and f": {told['reason']}"
    click.echo(f"{line.outcome:10} {told['where']}{who}{why}")


def _told(line: Line) -> dict[str, str | None]:
    """Return what is printed of a row: no secret, whatever has slipped into a column, and no whole user name."""
    record_id = line.record_id and redact(line.record_id)
    user = line.user_name and _masked(line.user_name)
    return {
        "outcome": line.outcome,
        "where": redact(line.where),
        "id": record_id,
        "user": user,
        "reason": redact(line.reason),
    }


def _masked(user_name: str) -> str:
    """Return enough of a user name to know it again: its first letter, and the domain of an e-mail address."""
    name, at, domain = redact(user_name).partition("@")
    shown = f"{name[:1]}***{at}{domain}"
    return "".join(each if each.isprintable() else "?" for each in shown)


def _tell(tally: Tally, apply: bool, quiet: bool) -> None:
    counts = asdict(tally)
    click.echo(f"{counts['read']:>9,} rows read")
    for name, words in DONE.items():
        click.echo(f"{counts[name]:>9,} {words[apply]}")
    if not apply and not quiet:
        click.echo("nothing was changed; --apply does it")
