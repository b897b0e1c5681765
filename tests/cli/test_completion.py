"""``zoho-tokens completion``, and what the shells then ask for."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from click.testing import CliRunner

from cli.program import PROGRAM
from zoho_token_store.cli.command import command
from zoho_token_store.cli.completion import SHELLS


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_printed_is_for_the_shell(shell: str) -> None:
    """It names the command and the variable by which it asks; the shell itself, if it is here, takes it."""
    done = CliRunner().invoke(command, ["completion", shell])
    assert done.exit_code == 0
    assert "zoho-tokens" in done.stdout
    assert f"_ZOHO_TOKENS_COMPLETE={shell}_complete" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("zoho-tokens rot", "rotate-keys"), ("zoho-tokens show --re", "--reveal"), ("zoho-tokens acl op", "operator")],
)
def test_commands_options_and_choices_are_completed(typed: str, offered: str) -> None:
    """Without connecting to anything."""
    words = typed.split()
    environ = {"_ZOHO_TOKENS_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(PROGRAM, env=os.environ | environ, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"plain,{offered}\n"
    assert done.stderr == ""
