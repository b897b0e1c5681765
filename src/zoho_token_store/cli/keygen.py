"""``zoho-tokens keygen``: a new secret key."""

from __future__ import annotations

import click

from zoho_token_store.keyring import new_key


@click.command()
def keygen() -> None:
    """Print a new key for encryption or for pointers: 32 random bytes in Base64.

    It is printed here and kept nowhere. Give each of ZOHO_TOKEN_STORE_KEYS and ZOHO_TOKEN_STORE_POINTER_KEYS one of its
    own.
    """
    click.echo(new_key())
