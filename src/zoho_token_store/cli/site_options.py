"""Where Zoho is, for tokens whose API domain does not say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from zoho_token_store.zoho_sdk import DataCenter

TOKEN_PATH = "/oauth/v2/token"  # noqa: S105 - a path

F = TypeVar("F", bound=Callable[..., Any])


def site_options(command: F) -> F:
    """Give a command the options ``--accounts-url`` and ``--crm-url``."""
    accounts = click.option(
        "--accounts-url",
        metavar="URL",
        help="Base URL of the accounts server, for tokens whose API domain the SDK does not know; goes with --crm-url.",
    )
    return accounts(click.option("--crm-url", metavar="URL", help="Base URL of CRM for the same tokens.")(command))


def make_environment(accounts_url: str | None, crm_url: str | None) -> Any:
    """Return the environment of tokens that the SDK does not know one for; None if there is none."""
    if accounts_url is None and crm_url is None:
        return None
    if not accounts_url or not crm_url:
        raise click.UsageError("--accounts-url and --crm-url go together")
    for option, value in (("--accounts-url", accounts_url), ("--crm-url", crm_url)):
        if not value.startswith(("https://", "http://")):
            raise click.BadParameter("must start with https:// or http://", param_hint=option)
    where = crm_url.rstrip("/"), accounts_url.rstrip("/") + TOKEN_PATH, crm_url.rstrip("/")
    try:
        return DataCenter.Environment(*where)
    except TypeError:  # SDK 5.0 wants a name
        return DataCenter.Environment(*where, "custom")
