"""The configuration file of ``zoho-tokens``: TOML, read when a command needs what the command line does not say."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click

from zoho_token_store.cli.plain import plain
from zoho_token_store.cli.status import UNUSABLE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIG_VARIABLE = "ZOHO_TOKEN_STORE_CONFIG"

FIELDS: dict[str, type] = {"url": str, "namespace": str, "json": bool, "quiet": bool}
"""What may stand in the file."""

_CALLED = {str: "text in quotes", bool: "true or false"}


class UnusableFile(click.ClickException):
    """The file cannot be used; shown without a traceback, and without anything that stands in it."""

    exit_code = UNUSABLE

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{plain(str(path))}: {plain(what)}")


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the file is looked for: in the folder that XDG has for it."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    # What is not absolute shall be ignored, says the specification.
    root = Path(folder) if os.path.isabs(folder) else Path("~/.config").expanduser()
    return root / "zoho-token-store" / "config.toml"


def read_config(path: Path, *, required: bool) -> dict[str, Any]:
    """Return what a file says.

    Args:
        path: The file.
        required: Whether it must be there.

    Raises:
        UnusableFile: It is not there, is no TOML, has a field that is not known or of another type, or holds a password
            that others can read.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            found: dict[str, Any] = tomllib.load(file)
    except FileNotFoundError:
        if required:
            raise UnusableFile(path, "there is no such file") from None
        return {}
    except OSError as error:
        raise UnusableFile(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnusableFile(path, "is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UnusableFile(path, f"is not TOML: {_place(error)}") from None
    _check(path, found)
    if stat.S_IMODE(mode) & 0o077 and has_password(found.get("url", "")):
        raise UnusableFile(path, "url holds a password, and others may read the file: chmod 600 it")
    return found


def _check(path: Path, found: Mapping[str, object]) -> None:
    for name, value in found.items():
        kind = FIELDS.get(name)
        if kind is None:
            raise UnusableFile(path, f"{name}: no such field; {', '.join(FIELDS)} are known")
        if type(value) is not kind:
            raise UnusableFile(path, f"{name}: must be {_CALLED[kind]}")
        if value == "":
            raise UnusableFile(path, f"{name}: must not be empty")


def _place(error: Exception) -> str:
    """Return where it goes wrong: the parser's own words may quote what stands there."""
    _, found, place = str(error).rpartition("(at ")
    return place.rstrip(")") if found else "it cannot be read"


def has_password(url: str) -> bool:
    """Return whether a URL holds a password, as redis-py reads it; also if it cannot be told."""
    try:
        parts = urlsplit(url)
        return bool(parts.password) or any("password" in name for name in parse_qs(parts.query))
    except ValueError:
        return True
