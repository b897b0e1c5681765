"""``docs/cli.md``: every command, option and exit status, as the code has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from inspect import cleandoc

import click

from zoho_token_store.cli.command import command
from zoho_token_store.cli.config_file import FIELDS
from zoho_token_store.cli.status import STATUSES

INTRODUCTION = """\
# Command line

`zoho-tokens` comes with the extra `cli`. What each command says of itself with `--help` stands here;
`python -m zoho_token_store.cli.reference` prints this page.

The options `--url`, `--namespace`, `--json` and `--quiet` may stand before a command's name or, for those that have
them, behind it."""

FILE = """\
## Configuration file

TOML, with any of {fields}:

```toml
url = "rediss://operator:password@redis.example.com:6379/0"
namespace = "crm"
```

It is `zoho-token-store/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`, or what `--config` or
`ZOHO_TOKEN_STORE_CONFIG` names. Another field, a field of another type, and a file with a password in it that others
may read are refused. Keys for sealing and for pointers do not belong there: they come from the environment
(`ZOHO_TOKEN_STORE_KEYS`, `ZOHO_TOKEN_STORE_POINTER_KEYS`)."""


def reference() -> str:
    """Return the page as Markdown."""
    root = click.Context(command, info_name="zoho-tokens")
    fields = ", ".join(f"`{name}`" for name in FIELDS)
    sections = [INTRODUCTION, *_said(root), FILE.format(fields=fields), "## Exit status", _table(_statuses())]
    for name in sorted(command.commands):
        context = click.Context(command.commands[name], info_name=name, parent=root)
        sections += [f"## `zoho-tokens {name}`", *_said(context)]
    return "\n\n".join(sections) + "\n"


def _said(context: click.Context) -> Iterator[str]:
    """Yield what a command says of itself, paragraph by paragraph."""
    words = [context.command_path, *context.command.collect_usage_pieces(context)]
    yield f"    {' '.join(words)}"
    yield from cleandoc(context.command.help or "").split("\n\n")
    options = [each for each in context.command.params if isinstance(each, click.Option)]
    if options:
        yield _table([("option", "what it does"), *(_row(each) for each in options)])


def _row(option: click.Option) -> tuple[str, str]:
    opts = "/".join([*option.opts, *option.secondary_opts])
    named = "" if option.is_flag else f" {option.metavar or _metavar(option)}"
    more = []
    if isinstance(option.default, (str, int, float)) and not isinstance(option.default, bool) and option.show_default:
        more.append(f"{option.default} by default")
    if option.required:
        more.append("required")
    if isinstance(option.envvar, str):
        more.append(f"else from `{option.envvar}`")
    told = f" ({', '.join(more)})" if more else ""
    return f"`{opts}{named}`", f"{option.help}{told}"


def _metavar(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return " or ".join(map(str, option.type.choices))
    return "NUMBER" if isinstance(option.type, (click.IntRange, click.FloatRange)) else str(option.type.name).upper()


def _statuses() -> Iterable[tuple[str, ...]]:
    yield "status", "what it says"
    for status, meaning in STATUSES.items():
        yield str(status), meaning


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    head, *others = rows
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in (head, *others)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


if __name__ == "__main__":
    print(reference(), end="")
