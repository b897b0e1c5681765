"""``zoho-tokens invalidate`` and ``zoho-tokens revoke``: the access token ends, or all of it."""

from __future__ import annotations

import logging

import click

from zoho_token_store.cli.plain import as_json as json_of
from zoho_token_store.cli.settings import json_option, quiet_option
from zoho_token_store.cli.site_options import make_environment, site_options
from zoho_token_store.cli.target import Target, on_target
from zoho_token_store.errors import RevocationIncomplete
from zoho_token_store.keyspace import check_id

NONE = "there is no token under this id"


@click.command()
@on_target
@click.argument("record_id", metavar="ID")
@quiet_option
def invalidate(target: Target, record_id: str, quiet: bool) -> None:
    """Drop the access token under an ID, as after a 401 of CRM: the next worker that asks for it refreshes.

    The exit status is 1 if there is no such token, and 0 if it has no access token.
    """
    with target.open() as store:
        token = store.get(check_id(record_id))
        if token is None:
            raise click.ClickException(NONE)
        access_token = token.get_access_token()
        if access_token:  # this one and no other: a worker may have refreshed meanwhile
            store.invalidate_access_token(record_id, access_token)
    if not quiet:
        done = "the access token is dropped" if access_token else "there is no access token to drop"
        click.echo(f"{done}; the next look-up refreshes")


@click.command()
@on_target
@click.argument("record_id", metavar="ID")
@site_options
@quiet_option
@json_option("Print which half was done as a JSON object.")
def revoke(
    target: Target, record_id: str, accounts_url: str | None, crm_url: str | None, quiet: bool, as_json: bool
) -> None:
    """Log out: end the token under an ID at Zoho, with all its refresh tokens, and delete it here.

    The deletion follows whatever Zoho says. If one half fails it is said which, and what is left to do, and the exit
    status is 1, as if there is no such token.
    """
    logging.getLogger("zoho_token_store").addHandler(logging.NullHandler())  # it is told here what has failed
    halves = {"deleted": True, "revoked": True}
    failure = None
    with target.open(environment=make_environment(accounts_url, crm_url)) as store:
        try:
            if not store.revoke(check_id(record_id)):
                raise click.ClickException(NONE)
        except RevocationIncomplete as error:
            halves = {"deleted": error.deleted, "revoked": error.revoked}
            failure = str(error.error_message)  # with its cause
    if as_json:
        click.echo(json_of({"id": record_id, **halves}))
    if failure:
        raise click.ClickException(failure)
    if not quiet and not as_json:
        click.echo("ended at Zoho, and deleted here")
