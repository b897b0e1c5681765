"""Which tokens a command is about: the options that every command on a store has."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

import click

from zoho_token_store.environment import NAMESPACE_VARIABLE, URL_VARIABLE
from zoho_token_store.errors import ConfigurationError, InvalidToken, TokenStoreError
from zoho_token_store.redis_store import RedisTokenStore

P = ParamSpec("P")
R = TypeVar("R")


class Unusable(click.ClickException):
    """Something cannot be used as it was given; shown without a traceback."""

    exit_code = 2  # as click ends when an option is wrong

    def __init__(self, error: TokenStoreError) -> None:
        super().__init__(str(error.error_message))


class Failed(click.ClickException):
    """Something has failed that is no fault of the command line's; shown without a traceback."""

    exit_code = 1

    def __init__(self, error: TokenStoreError) -> None:
        super().__init__(str(error.error_message))


class Target(NamedTuple):
    """The tokens of one application.

    Attributes:
        url: Their Redis.
        namespace: Their namespace in it.
    """

    url: str
    namespace: str

    def __repr__(self) -> str:
        return f"Target(..., namespace={self.namespace!r})"  # the URL may hold a password

    def open(self, **options: object) -> RedisTokenStore:
        """Return the store, with the keys of the environment; it connects at its first use.

        Args:
            options: See :class:`zoho_token_store.options.Options`.

        Raises:
            ConfigurationError: Something of this cannot be used.
        """
        # Keys come by the environment alone: a command line is seen by others.
        return RedisTokenStore.from_env(
            {**os.environ, URL_VARIABLE: self.url, NAMESPACE_VARIABLE: self.namespace}, **options
        )


_url = click.option(
    "--url",
    metavar="URL",
    required=True,
    envvar=URL_VARIABLE,
    show_envvar=True,
    help="The Redis of the token store. A URL with a password belongs in the variable: others may see options.",
)
_namespace = click.option(
    "--namespace",
    metavar="NAME",
    required=True,
    envvar=NAMESPACE_VARIABLE,
    show_envvar=True,
    help="The application's namespace in it.",
)


def on_target(command: Callable[P, R]) -> Callable[..., R]:
    """Give a command the options that say which tokens it is about, as one argument: ``target``, a :class:`Target`.

    Stands right below ``@click.command()``. What the store raises is shown without a traceback: with exit status 2 if
    something cannot be used as it was given, with 1 for everything else.
    """

    @wraps(command)
    def with_target(*args: P.args, **options: P.kwargs) -> R:
        target = Target(str(options.pop("url")), str(options.pop("namespace")))
        try:
            return command(*args, target=target, **options)  # type: ignore[arg-type]  # click passes by name
        except (ConfigurationError, InvalidToken) as error:
            raise Unusable(error) from None
        except TokenStoreError as error:
            raise Failed(error) from None

    return _url(_namespace(with_target))
