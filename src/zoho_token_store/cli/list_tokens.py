"""``zoho-tokens list`` and ``zoho-tokens find``: many tokens, without their secrets."""

from __future__ import annotations

import sys

import click

from zoho_token_store.cli.listing import csv_option, print_all, printer_for
from zoho_token_store.cli.selection import (
    Selection,
    Unreadable,
    client_option,
    state_option,
    user_option,
    within_option,
)
from zoho_token_store.cli.settings import json_option
from zoho_token_store.cli.status import DONE, LEFT
from zoho_token_store.cli.target import Target, on_target


@click.command("list")
@on_target
@user_option
@client_option
@state_option
@within_option
@json_option("One JSON object a line.")
@csv_option
def list_tokens(
    target: Target,
    user: str | None,
    client: str | None,
    state: tuple[str, ...],
    expires_within: float | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """List tokens: whose they are and how they stand. Nothing secret is shown, nothing refreshed, no lease taken.

    They come in order of id, as they are read: a million of them need no more memory than a few. What is given as
    conditions must all hold. A record that cannot be read is named on stderr, and makes the exit status 1.
    """
    printer = printer_for(as_json=as_json, as_csv=as_csv)
    unreadable = Unreadable()
    with target.open() as store:
        print_all(Selection(user, client, state, expires_within).of(store, unreadable), printer)
    sys.exit(LEFT if unreadable.count else DONE)


@click.command("find")
@on_target
@click.argument("user", metavar="USER")
@client_option
@json_option("One JSON object a line.")
@csv_option
def find_tokens(target: Target, user: str, client: str | None, as_json: bool, as_csv: bool) -> None:
    """Find the tokens of a USER by name: one for each client.

    Nothing secret is shown, nothing refreshed, no lease taken. One that cannot be read is named on stderr; the exit
    status is 1 then, and if there is none.
    """
    printer = printer_for(as_json=as_json, as_csv=as_csv)
    unreadable = Unreadable()
    with target.open() as store:
        found = print_all(Selection(user, client).of(store, unreadable), printer)
    if not found and not unreadable.count:
        raise click.ClickException("there is no token of this user")
    sys.exit(LEFT if unreadable.count else DONE)
