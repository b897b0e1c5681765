"""``zoho-tokens completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what lets a shell complete zoho-tokens: its commands, options and choices.

    For bash (4.4 or newer) put this into ~/.bashrc: eval "$(zoho-tokens completion bash)"

    For zsh put this into ~/.zshrc, behind compinit: eval "$(zoho-tokens completion zsh)"

    For fish run once: zoho-tokens completion fish > ~/.config/fish/completions/zoho-tokens.fish
    """
    root = context.find_root()
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all of SHELLS
    click.echo(kind(root.command, {}, "zoho-tokens", "_ZOHO_TOKENS_COMPLETE").source())
