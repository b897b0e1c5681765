"""docs/cli.md against the code."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import click

from zoho_token_store import cli
from zoho_token_store.cli.command import command
from zoho_token_store.cli.reference import reference
from zoho_token_store.cli.status import STATUSES

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_what_the_code_says() -> None:
    """When this fails, run `python -m zoho_token_store.cli.reference > docs/cli.md`."""
    assert PAGE.read_text("utf-8") == reference()


def test_every_command_has_a_section() -> None:
    """With each of its options."""
    sections = dict(re.findall(r"^## `zoho-tokens (.+?)`\n(.*?)(?=^## |\Z)", reference(), re.DOTALL | re.MULTILINE))
    assert sections.keys() == command.commands.keys()
    for name, each in command.commands.items():
        assert all(f"`{option.opts[0]}" in sections[name] for option in each.params if isinstance(option, click.Option))


def test_every_exit_status_stands_in_the_table() -> None:
    """Whatever a command's errors end in, and no other."""
    names = [info.name for info in pkgutil.walk_packages(cli.__path__, f"{cli.__name__}.")]
    modules = [vars(importlib.import_module(name)) for name in names if not name.endswith("__main__")]
    errors = {
        value.exit_code
        for module in modules
        for value in module.values()
        if isinstance(value, type) and issubclass(value, click.ClickException)
    }
    assert errors <= STATUSES.keys()
    assert errors == {1, 2, 4}
