"""``zoho-tokens acl``: the rules of a Redis user, for ``ACL SETUSER`` or an ACL file."""

from __future__ import annotations

import click

from zoho_token_store.acl import operator, worker
from zoho_token_store.cli.settings import missing, namespace_option
from zoho_token_store.environment import NAMESPACE_VARIABLE
from zoho_token_store.errors import ConfigurationError

ROLES = {"worker": worker, "operator": operator}


@click.command()
@click.argument("role", type=click.Choice(list(ROLES)))
@click.option(
    "--waitaof",
    is_flag=True,
    help="Allow WAITAOF too, by which min_replicas asks whether a save is on disk: for Redis 7.2 and newer and Valkey."
    " An older server refuses all of the rules for it.",
)
@namespace_option
def acl(role: str, waitaof: bool, namespace: str | None) -> None:
    """Print the rules of a Redis user that may do what is needed in one namespace, and nothing else.

    ROLE is "worker" for processes that use the store, or "operator" for the commands of zoho-tokens. Connects to
    nothing. The rules begin a user anew and hold no password; add one behind them:

    redis-cli ACL SETUSER worker $(zoho-tokens acl worker --namespace crm) ">$PASSWORD"
    """
    if not namespace:
        raise missing("namespace", NAMESPACE_VARIABLE)
    try:
        click.echo(" ".join(ROLES[role](namespace, waitaof=waitaof)))
    except ConfigurationError as error:
        raise click.BadParameter(str(error.error_message), param_hint="--namespace") from None
