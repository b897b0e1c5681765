"""The command group; each command is a module of its own."""

from __future__ import annotations

import click

from zoho_token_store import __version__
from zoho_token_store.cli.acl import acl
from zoho_token_store.cli.audit import audit
from zoho_token_store.cli.demo.command import demo
from zoho_token_store.cli.doctor.command import doctor
from zoho_token_store.cli.keygen import keygen
from zoho_token_store.cli.refresher import refresher
from zoho_token_store.cli.rotate_keys import rotate_keys
from zoho_token_store.cli.show import show
from zoho_token_store.cli.watch import watch


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zoho-tokens")
def command() -> None:
    """Share Zoho CRM tokens between many workers through Redis."""


command.add_command(acl)
command.add_command(audit)
command.add_command(demo)
command.add_command(doctor)
command.add_command(keygen)
command.add_command(refresher)
command.add_command(rotate_keys)
command.add_command(show)
command.add_command(watch)
