"""What docs/migration.md says: its commands and its Python run, and its words are those of the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.program import PROGRAM
from migration.moving import GOLDEN
from servers import Server
from zoho_token_store.migration.places import KNOWN, OWN
from zoho_token_store.opening import KNOWN as OPENED

DOCUMENT = (Path(__file__).parents[2] / "docs" / "migration.md").read_text("utf-8")
STORES = (Path(__file__).parents[2] / "docs" / "stores.md").read_text("utf-8")
URL = "redis://localhost:6379/0"


def blocks(language: str) -> str:
    """Return the document's code in a language, as one program."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found
    return "\n".join(found)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment with the command, in a folder with a file of tokens."""
    shutil.copy(GOLDEN / "ten-columns.csv", tmp_path / "tokens.csv")
    command = tmp_path / "zoho-tokens"
    command.write_text(f"#!/bin/sh\nexec '{PROGRAM[0]}' {PROGRAM[1]} '{PROGRAM[2]}' \"$@\"\n")
    command.chmod(0o700)
    return os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def test_its_commands_run(environment: dict[str, str], tmp_path: Path, real_server: Server) -> None:
    """First a look, then the move, then nothing is left to do; the export holds no secret."""
    script = "set -e\n" + blocks("sh").replace(URL, real_server.url)
    done = subprocess.run(
        ["sh", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for said in ("3 would be created", "3 created", "3 left alone"):
        assert said in done.stdout
    assert "refresh-ada" not in (tmp_path / "tokens.jsonl").read_text("utf-8")


def test_its_python_runs(environment: dict[str, str], tmp_path: Path, real_server: Server) -> None:
    """With the old store as the fallback of the new one."""
    program = blocks("python").replace(URL, real_server.url)
    command = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", program]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("created") == 3


def test_its_places_are_those_of_the_code() -> None:
    """Each kind stands in its table, and in the message that says what is known."""
    rows = DOCUMENT.split("## Places", 1)[1].split("## ", 1)[0]
    for kind in ("csv:", "file:", "mysql:", "article:", "jsonl:", *(f"{kind}:" for kind in OWN)):
        assert f"`{kind}" in rows, kind
    of_redis = ("redis+sentinel", "redis+cluster")
    assert all(f"{kind}:" in KNOWN for kind in ("csv", "mysql", "article", "jsonl", *OWN, *of_redis))
    assert all(f"{kind}:" in known for kind in (*OWN, *of_redis) for known in (OPENED, STORES))
