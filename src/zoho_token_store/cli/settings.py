"""What goes for every command: options before the command's name or behind it, the environment, a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click

from zoho_token_store.cli.config_file import CONFIG_VARIABLE, default_path, read_config
from zoho_token_store.environment import NAMESPACE_VARIABLE, URL_VARIABLE

F = TypeVar("F", bound=Callable[..., Any])

URL_HELP = (
    "Where the tokens are: redis://..., and for all but audit, doctor, top and watch also sqlite:///... A URL with a"
    " password belongs in the variable or the file."
)
NAMESPACE_HELP = "The application's namespace in it."


class Settings:
    """What was said before the command's name and in the environment, and for what was not, in the file.

    The file is read when it is needed: a broken one is in nobody's way who does not need it.

    Args:
        given: What command line and environment say, by name; None for what they do not.
        config: The file that was named; None for the usual one, which need not be there.
    """

    def __init__(self, given: dict[str, Any], config: str | None) -> None:
        self._given = given
        self._config = config

    def get(self, name: str) -> Any:
        """Return a setting; None if nobody has set it."""
        value = self._given.get(name)
        return self._in_file.get(name) if value is None else value

    @cached_property
    def _in_file(self) -> dict[str, Any]:
        path = Path(self._config).expanduser() if self._config else default_path()
        return read_config(path, required=self._config is not None)


def setting(context: click.Context, name: str) -> Any:
    """Return a setting for the command that runs; None if nobody has set it."""
    settings = context.find_object(Settings)
    return settings.get(name) if settings else None


def global_options(group: F) -> F:
    """Give the group the options that go for every command; they reach it as keyword arguments."""
    options = (
        click.option("--url", metavar="URL", envvar=URL_VARIABLE, show_envvar=True, help=URL_HELP),
        click.option("--namespace", metavar="NAME", envvar=NAMESPACE_VARIABLE, show_envvar=True, help=NAMESPACE_HELP),
        click.option("--json/--no-json", "json", default=None, help="Print JSON, where a command has any."),
        click.option("--quiet/--no-quiet", default=None, help="Say less: no progress, no remarks."),
        click.option(
            "--config",
            metavar="FILE",
            envvar=CONFIG_VARIABLE,
            show_envvar=True,
            help="A TOML file with url, namespace, json and quiet. Without it zoho-token-store/config.toml in"
            " $XDG_CONFIG_HOME or ~/.config.",
        ),
    )
    for option in reversed(options):
        group = option(group)
    return group


def _or_setting(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return what stands behind the command's name, else what :class:`Settings` say."""
    if context.resilient_parsing or value:
        return value
    found = setting(context, parameter.opts[0].removeprefix("--"))
    return value if found is None else found


def namespace_option_for(help: str) -> Callable[[F], F]:
    """Return ``--namespace`` of one command.

    Args:
        help: What it is the namespace of.
    """
    return click.option("--namespace", metavar="NAME", callback=_or_setting, help=help)


url_option = click.option("--url", metavar="URL", callback=_or_setting, help=URL_HELP)
namespace_option = namespace_option_for(NAMESPACE_HELP)
quiet_option = click.option("--quiet", is_flag=True, callback=_or_setting, help="No progress, no remarks.")


def json_option(help: str) -> Callable[[F], F]:
    """Return ``--json`` of one command, as the argument ``as_json``.

    Args:
        help: What it prints.
    """
    return click.option("--json", "as_json", is_flag=True, callback=_or_setting, help=help)


def missing(name: str, variable: str) -> click.MissingParameter:
    """Return the error of a setting that a command needs and nobody has set."""
    hint = f"'--{name}' (env var: '{variable}', or {name} in the configuration file)"
    return click.MissingParameter(param_hint=hint, param_type="option")
