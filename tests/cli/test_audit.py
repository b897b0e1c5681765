"""``zoho-tokens audit``: in a process and in a terminal."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from cli.program import run_here
from cli.terminal import Terminal
from contract.tokens import make_token
from servers import Server
from zoho_token_store import RedisTokenStore
from zoho_token_store.keyspace import Keyspace, pointer


@pytest.fixture
def environment(real_server: Server, namespace: str) -> dict[str, str]:
    """Return the environment of a command, for a namespace with a few records."""
    with RedisTokenStore.from_url(real_server.url, namespace) as store:
        for number in range(5):
            store.save_token(make_token(f"ada{number}", refresh=f"rt{number}", id=f"id-{number}"))
    where = {"ZOHO_TOKEN_STORE_URL": real_server.url, "ZOHO_TOKEN_STORE_NAMESPACE": namespace}
    return os.environ | where


@pytest.fixture
def damaged(real_server: Server, namespace: str, environment: dict[str, str]) -> None:
    """Take one pointer away, and put one there that leads nowhere."""
    keys = Keyspace(namespace)
    client = real_server.client()
    client.delete(keys.key(pointer("refresh", "rt3")))
    client.set(keys.key(pointer("refresh", "nobody's")), "no-such-id")


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command through pipes."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_here(["audit", *arguments], environment | variables)

    return run


def test_nothing_is_wrong(run: Any) -> None:
    """It says so, and ends well."""
    done = run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing is wrong\n", "")
    assert json.loads(run("--json").stdout) == {"found": {}, "repaired": {}, "left": {}}


@pytest.mark.usefixtures("damaged")
def test_it_counts_and_repairs(run: Any) -> None:
    """The exit status says whether anything is left; without --repair all of it is."""
    counts = {"missing": 1, "dangling": 1}
    looked, listed, repaired, again = run(), run("--json", "--list"), run("--repair"), run()
    assert looked.returncode == listed.returncode == 1
    assert "missing             1 pointers that should lead" in looked.stdout
    assert looked.stdout.endswith("nothing was changed; --repair puts right what can be\n")
    assert json.loads(listed.stdout) == {"found": counts, "repaired": {"missing": 0, "dangling": 0}, "left": counts}
    assert listed.stderr == "missing       id-3\ndangling      no-such-id\n"
    assert (repaired.returncode, again.returncode) == (0, 0)
    assert repaired.stdout.count("1 of them repaired") == 2


@pytest.mark.parametrize(
    ("arguments", "variables", "said", "status"),
    [
        (["--unclaimed"], {}, "needs --repair", 2),
        ([], {"ZOHO_TOKEN_STORE_URL": "unix:///nowhere"}, "has not answered", 4),
        ([], {"ZOHO_TOKEN_STORE_POINTER_KEYS": "short"}, "pointer_keys", 2),
    ],
)
def test_what_cannot_be_used(run: Any, arguments: list[str], variables: dict[str, str], said: str, status: int) -> None:
    """Options and keys that cannot be used end it with status 2, servers with 4."""
    done = run(*arguments, **variables)
    assert done.returncode == status
    assert said in done.stderr


def test_it_draws_its_progress_in_a_terminal(environment: dict[str, str]) -> None:
    """A bar for each of the two walks."""
    terminal = Terminal(["audit"], environment)
    assert terminal.end() == 0
    assert "looking at records" in terminal.screen
    assert "looking at keys" in terminal.screen
    assert "nothing is wrong" in terminal.screen
