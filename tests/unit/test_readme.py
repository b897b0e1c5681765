"""The README against the code: its Python runs, its tables and links are true."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import zoho_token_store
from servers import Server
from zoho_token_store import TokenStoreError, errors
from zoho_token_store.options import Options
from zoho_token_store.testing import FakeZoho

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
URL = "redis://localhost:6379/0"

# What stands before the README's own lines: the production environment is the stand-in.
PRELUDE = """
import os
from zohocrmsdk.src.com.zoho.crm.api.dc import USDataCenter
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
def _stand_in():
    url = os.environ["STAND_IN"]
    try:
        return DataCenter.Environment(url, url + "/oauth/v2/token", url)
    except TypeError:
        return DataCenter.Environment(url, url + "/oauth/v2/token", url, "stand-in")
USDataCenter.PRODUCTION = staticmethod(_stand_in)
"""


def blocks(language: str) -> list[str]:
    """Return the README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def table(heading: str) -> list[list[str]]:
    """Return the rows of the first table under a heading, without its head."""
    section = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") or line.startswith("|--")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_every_python_block_runs(tmp_path: Path, real_server: Server) -> None:
    """The blocks run in order, as one program, against a real server and the stand-in, and exchange the code once."""
    assert len(blocks("python")) >= 4
    program = PRELUDE + "\n".join(blocks("python")).replace(URL, real_server.url)
    assert URL not in program
    with FakeZoho(expires_in=3600) as zoho:
        environment = {
            **os.environ,
            "STAND_IN": zoho.url,
            "ZOHO_CLIENT_ID": zoho.client_id,
            "ZOHO_CLIENT_SECRET": zoho.client_secret,
            "ZOHO_GRANT_TOKEN": zoho.issue_grant_code(),
            "ZOHO_REDIRECT_URL": zoho.redirect_uri or "",
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", program],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert zoho.counters.exchanges == 1
    assert "1 times this process was the one to refresh" in done.stdout
    assert "ask the user to log in again" in done.stdout


def test_the_options_are_those_of_the_code() -> None:
    """Each option stands in the table with its default, in the order of the code, and no other does."""
    assert [row[:2] for row in table("Options")] == [
        [f"`{option.name}`", "`{}`".format(repr(option.default).replace("'", '"'))] for option in fields(Options)
    ]


def test_the_errors_are_those_of_the_code() -> None:
    """Each public error stands in the table, with data that its class really documents or carries."""
    rows = table("Errors")
    public = {
        name
        for name, error in vars(errors).items()
        if inspect.isclass(error) and issubclass(error, TokenStoreError) and not name.startswith("_")
    }
    assert {row[0].strip("`") for row in rows} == public - {"TokenStoreError"}
    for row in rows:
        source = "".join(inspect.getsource(base) for base in getattr(errors, row[0].strip("`")).__mro__[:3])
        for attribute in re.findall(r"`(\w+)`", row[2]):
            assert f"self.{attribute} =" in source or attribute == "cause", row
    assert public <= set(zoho_token_store.__all__)


def test_the_make_targets_exist() -> None:
    """What a newcomer is told to type is in the Makefile, and the extras in the project's own list."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for extra in {name for row in table("Install") for name in re.findall(r"`([a-z0-9]+)`", row[0])}:
        assert re.search(rf"^{extra} = ", project, re.MULTILINE), extra


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Each relative link of a document is a file."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_modules_that_are_named_exist(document: Path) -> None:
    """A `name.py` or `name.lua` in a document is a file of the package."""
    package = Path(next(iter(importlib.import_module("zoho_token_store").__path__)))
    names = {path.name for path in package.rglob("*")}
    assert set(re.findall(r"`([\w-]+\.(?:py|lua))`", document.read_text("utf-8"))) <= names
