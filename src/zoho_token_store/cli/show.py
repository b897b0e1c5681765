"""``zoho-tokens show``: one token, without its secrets unless they are asked for."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import click

from zoho_token_store.cli.plain import as_json as json_of
from zoho_token_store.cli.plain import plain
from zoho_token_store.cli.settings import json_option
from zoho_token_store.cli.target import Target, on_target
from zoho_token_store.keyspace import check_id

HIDDEN = "********"
FIELDS = ("client_id", "client_secret", "refresh_token", "grant_token", "redirect_url", "api_domain", "access_token")
SECRETS = ("client_secret", "refresh_token", "grant_token", "access_token")


@click.command()
@on_target
@click.argument("record_id", metavar="ID")
@json_option("A JSON object.")
@click.option("--reveal", is_flag=True, help="Print the secrets too, after a question on the terminal.")
def show(target: Target, record_id: str, as_json: bool, reveal: bool) -> None:
    """Show the token under an ID. It is only looked at: nothing is refreshed, and no lease is taken.

    Secrets are shown as stars. The exit status is 1 if there is no such token.
    """
    with target.open() as store:
        token = store.get(check_id(record_id))
    if token is None:
        raise click.ClickException("there is no token under this id")
    if reveal:
        click.confirm("This prints tokens and the client secret in the clear. Go on?", abort=True, err=True)
    told = _tell(token, reveal=reveal)
    if as_json:
        click.echo(json_of(told))
        return
    for name, value in told.items():
        click.echo(f"{name:15}{plain(value)}")


def _tell(token: Any, *, reveal: bool) -> dict[str, str | None]:
    """Return what is shown of a token, by field; None for what it does not have."""
    signature = token.get_user_signature()
    told = {"id": token.get_id(), "user_name": signature and signature.get_name()}
    for name in FIELDS:
        value = getattr(token, f"get_{name}")()
        told[name] = HIDDEN if value and name in SECRETS and not reveal else value
    expires_in = token.get_expires_in()
    told["expires"] = expires_in and datetime.fromtimestamp(int(expires_in) / 1000, timezone.utc).isoformat()
    return told
