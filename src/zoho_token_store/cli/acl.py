"""``zoho-tokens acl``: the rules of a Redis user, for ``ACL SETUSER`` or an ACL file."""

from __future__ import annotations

import click

from zoho_token_store.acl import operator, worker
from zoho_token_store.environment import NAMESPACE_VARIABLE
from zoho_token_store.errors import ConfigurationError

ROLES = {"worker": worker, "operator": operator}


@click.command()
@click.argument("role", type=click.Choice(list(ROLES)))
@click.option(
    "--namespace",
    metavar="NAME",
    required=True,
    envvar=NAMESPACE_VARIABLE,
    show_envvar=True,
    help="The application's namespace.",
)
def acl(role: str, namespace: str) -> None:
    """Print the rules of a Redis user that may do what is needed in one namespace, and nothing else.

    ROLE is "worker" for processes that use the store, or "operator" for the commands of zoho-tokens. Connects to
    nothing. The rules begin a user anew and hold no password; add one behind them:

    redis-cli ACL SETUSER worker $(zoho-tokens acl worker --namespace crm) ">$PASSWORD"
    """
    try:
        click.echo(" ".join(ROLES[role](namespace)))
    except ConfigurationError as error:
        raise click.BadParameter(str(error.error_message), param_hint="--namespace") from None
