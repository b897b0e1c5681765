"""Which tokens a command is about: the options that every command on a store has."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import click

from zoho_token_store.cli.settings import missing, namespace_option, url_option
from zoho_token_store.cli.status import AWAY, LEFT, UNUSABLE
from zoho_token_store.environment import NAMESPACE_VARIABLE, URL_VARIABLE
from zoho_token_store.errors import ConfigurationError, InvalidToken, StoreUnavailable, TokenStoreError
from zoho_token_store.opening import open_store
from zoho_token_store.redis_store import RedisTokenStore
from zoho_token_store.store import CoordinatedTokenStore

P = ParamSpec("P")
R = TypeVar("R")

NO_MEMORY = "memory:// is empty whenever a command begins, and gone when it ends: name a Redis or a file"
NO_FILE = "there is no such file; login and migrate make one"


class Unusable(click.ClickException):
    """Something cannot be used as it was given; shown without a traceback."""

    exit_code = UNUSABLE

    def __init__(self, error: TokenStoreError) -> None:
        super().__init__(str(error.error_message))


class Failed(click.ClickException):
    """Something has failed that is no fault of the command line's; shown without a traceback."""

    exit_code = LEFT

    def __init__(self, error: TokenStoreError) -> None:
        super().__init__(str(error.error_message))


class Away(Failed):
    """The store cannot be used."""

    exit_code = AWAY


class Target(NamedTuple):
    """The tokens of one application.

    Attributes:
        url: Where they are.
        namespace: Their namespace there; None for the usual one of a file.
    """

    url: str
    namespace: str | None

    def __repr__(self) -> str:
        return f"Target(..., namespace={self.namespace!r})"  # the URL may hold a password

    def open(self, *, make: bool = False, **options: Any) -> CoordinatedTokenStore:
        """Return the store, with the keys of the environment; it connects at its first use.

        Args:
            make: Whether a file that is not there shall be made.
            options: See :class:`zoho_token_store.options.Options`.

        Raises:
            ConfigurationError: Something of this cannot be used.
        """
        path = self.url.removeprefix("sqlite:///")
        if path not in ("", self.url) and not make and not os.path.exists(path):
            raise ConfigurationError("url", NO_FILE)
        # Keys come by the environment alone: a command line is seen by others.
        return open_store(environ=self._environ(), **options)

    def open_redis(self, **options: object) -> RedisTokenStore:
        """Return the store if it is in Redis; see :meth:`open`.

        Raises:
            click.UsageError: It is not.
        """
        self.check_redis()
        return RedisTokenStore.from_env(self._environ(), **options)

    def check_redis(self) -> str:
        """Return the namespace if the tokens are in Redis.

        Raises:
            click.UsageError: They are not.
        """
        if self.namespace is None or self.url.startswith("sqlite:"):
            name = click.get_current_context().info_name
            raise click.UsageError(f"{name} is about what only Redis has, and the URL names a file")
        return self.namespace

    def _environ(self) -> dict[str, str]:
        named = {} if self.namespace is None else {NAMESPACE_VARIABLE: self.namespace}
        return {**os.environ, URL_VARIABLE: self.url, **named}


def on_target(command: Callable[P, R]) -> Callable[..., R]:
    """Give a command the options that say which tokens it is about, as one argument: ``target``, a :class:`Target`.

    Stands right below ``@click.command()``. What the store raises is shown without a traceback: with exit status 2 if
    something cannot be used as it was given, 4 if the store cannot be reached, 1 for everything else.
    """

    @wraps(command)
    def with_target(*args: P.args, **options: P.kwargs) -> R:
        url, namespace = options.pop("url"), options.pop("namespace")
        try:
            target = make_target(url, namespace)
            return command(*args, target=target, **options)  # type: ignore[arg-type]  # click passes by name
        except (ConfigurationError, InvalidToken) as error:
            raise Unusable(error) from None
        except StoreUnavailable as error:
            raise Away(error) from None
        except TokenStoreError as error:
            raise Failed(error) from None

    return url_option(namespace_option(with_target))


def make_target(url: object, namespace: object) -> Target:
    """Return the target of options.

    Raises:
        click.MissingParameter: One is needed and not there.
        ConfigurationError: It is none that a command can work on.
    """
    if not url:
        raise missing("url", URL_VARIABLE)
    if str(url).startswith("memory:"):
        raise ConfigurationError("url", NO_MEMORY)
    if not namespace and not str(url).startswith("sqlite:"):
        raise missing("namespace", NAMESPACE_VARIABLE)
    return Target(str(url), str(namespace) if namespace else None)
