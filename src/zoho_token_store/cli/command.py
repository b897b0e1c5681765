"""The command group; each command is a module of its own."""

from __future__ import annotations

from typing import Any

import click

from zoho_token_store import __version__
from zoho_token_store.cli.acl import acl
from zoho_token_store.cli.audit import audit
from zoho_token_store.cli.completion import completion
from zoho_token_store.cli.delete import delete, purge
from zoho_token_store.cli.demo.command import demo
from zoho_token_store.cli.doctor.command import doctor
from zoho_token_store.cli.end_access import invalidate, revoke
from zoho_token_store.cli.keygen import keygen
from zoho_token_store.cli.list_tokens import find_tokens, list_tokens
from zoho_token_store.cli.login import login
from zoho_token_store.cli.migrate import migrate
from zoho_token_store.cli.refresher import refresher
from zoho_token_store.cli.rotate_keys import rotate_keys
from zoho_token_store.cli.settings import Settings, global_options
from zoho_token_store.cli.show import show
from zoho_token_store.cli.stats import stats
from zoho_token_store.cli.top.command import top
from zoho_token_store.cli.watch import watch


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zoho-tokens")
@global_options
@click.pass_context
def command(context: click.Context, /, config: str | None, **given: Any) -> None:
    """Look after the Zoho CRM tokens that many workers share.

    An option behind a command's name goes before one in front of it, that before the environment, and that before the
    configuration file. Keys for sealing come from the environment alone.
    """
    context.obj = Settings(given, config)


command.add_command(acl)
command.add_command(audit)
command.add_command(completion)
command.add_command(delete)
command.add_command(demo)
command.add_command(doctor)
command.add_command(find_tokens)
command.add_command(invalidate)
command.add_command(keygen)
command.add_command(list_tokens)
command.add_command(login)
command.add_command(purge)
command.add_command(migrate)
command.add_command(refresher)
command.add_command(revoke)
command.add_command(rotate_keys)
command.add_command(show)
command.add_command(stats)
command.add_command(top)
command.add_command(watch)
