"""``zoho-tokens login``: from a self client's grant code to a stored token."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from zoho_token_store.cli.plain import as_json as json_of
from zoho_token_store.cli.plain import plain
from zoho_token_store.cli.settings import json_option, quiet_option
from zoho_token_store.cli.site_options import make_environment, site_options
from zoho_token_store.cli.target import Target, on_target
from zoho_token_store.cli.view import View, view
from zoho_token_store.errors import RefreshFailing, RefreshRejected, RefreshThrottled, TokenStoreError
from zoho_token_store.zoho_sdk import DataCenter, OAuthToken

DOMAINS = {
    "us": "https://www.zohoapis.com",
    "eu": "https://www.zohoapis.eu",
    "in": "https://www.zohoapis.in",
    "au": "https://www.zohoapis.com.au",
    "jp": "https://www.zohoapis.jp",
    "ca": "https://www.zohoapis.ca",
    "cn": "https://www.zohoapis.com.cn",
    "sa": "https://www.zohoapis.sa",
}
"""The API domain of each data centre."""

REASONS = {
    "invalid_code": "the grant code is wrong, too old or used: a code can be used once, for some minutes",
    "invalid_client": "the client id is not known in this region",
    "invalid_client_secret": "the client secret is wrong, or this is not the region of the client",
    "invalid_redirect_uri": "the redirect URL is not one of the client's",
}
"""What Zoho's words for a refusal mean to somebody who has just typed."""


@click.command()
@on_target
@click.option(
    "--region",
    type=click.Choice(list(DOMAINS)),
    help="Where the account is: the data centre whose address zoho.com, zoho.eu, ... you log in at. Asked for if it is"
    " not given.",
)
@site_options
@click.option("--client-id", metavar="ID", help="The client id. Asked for if it is not given.")
@click.option("--redirect-url", metavar="URL", help="The client's redirect URL; a self client has none.")
@quiet_option
@json_option("Print what was stored as a JSON object.")
def login(
    target: Target,
    region: str | None,
    accounts_url: str | None,
    crm_url: str | None,
    client_id: str | None,
    redirect_url: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Exchange a grant code and store the token that it brings, with the name of its user.

    Make the code in Zoho's API console (api-console.zoho.com or that of your region), under "Self Client" and "Generate
    Code". For the user's name its scope needs ZohoCRM.users.READ and ZohoCRM.org.READ beside what your application
    uses.

    The client secret and the code are asked for and not shown; where stdin is no terminal they are its first two lines.
    If the user is known already under this client, the token there is the one that is renewed. If Zoho refuses, nothing
    is stored and the exit status is 1.
    """
    logging.getLogger("zoho_token_store").addHandler(logging.NullHandler())  # it is told here what has failed
    environment = make_environment(accounts_url, crm_url) or _environment(region)
    client_id = client_id or click.prompt("Client id", err=True)
    client_secret, code = _ask_hidden("Client secret"), _ask_hidden("Grant code")
    with target.open(make=True, refresh="managed", environment=environment) as store:
        token = OAuthToken(client_id.strip(), client_secret, code, redirect_url=redirect_url)
        try:
            found = store.find_token(token)
            stored = view(store.get(found.get_id()) or found)  # it may have become part of the one that the user had
        except (RefreshRejected, RefreshFailing, RefreshThrottled) as error:
            raise click.ClickException(_refusal(error)) from None
    if as_json:
        click.echo(json_of(stored.told()))
    else:
        _tell(stored, quiet)


def _environment(region: str | None) -> Any:
    """Return the environment of a region."""
    region = region or click.prompt("Region", type=click.Choice(list(DOMAINS)), err=True)
    environment = DataCenter.get(DOMAINS[region])
    if environment is None:
        raise click.BadParameter("the Zoho CRM SDK that is installed does not know it", param_hint="--region")
    return environment


def _ask_hidden(what: str) -> str:
    """Return what is typed and not shown, or the next line of an input that is no terminal."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True, err=True)).strip()
    line = sys.stdin.readline().strip()
    if not line:
        raise click.UsageError(f"{what.lower()}: there is no such line on stdin")
    return line


def _refusal(error: TokenStoreError) -> str:
    """Return what Zoho has said, for whoever has typed; no secret stands in it."""
    if isinstance(error, RefreshRejected):
        meant = REASONS.get(error.reason, "check the client, the code and the region")
        return f"Zoho has refused: {error.reason}; {meant}. Nothing was stored."
    if isinstance(error, RefreshThrottled):
        return "Zoho takes no more requests for now. Nothing was stored; the code may still be good in a while."
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    return f"Zoho has not answered as it should{cause}. Nothing was stored; try again with a new code."


def _tell(stored: View, quiet: bool) -> None:
    if quiet:
        click.echo(stored.id)
        return
    whose = plain(stored.user_name) if stored.user_name else "a user whose name Zoho did not tell"
    click.echo(f"stored the token of {whose} under the id {plain(stored.id)}")
    click.echo(f"its access token is {stored.state}, and ends {plain(stored.expires)}")
    if not stored.refreshable:
        click.echo("Zoho gave no refresh token: it ends for good then. Generate the code for offline access.")
