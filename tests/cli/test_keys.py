"""``keygen``, ``rotate-keys`` and ``show``: in a process, through a pipe and in a terminal."""

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
from zoho_token_store.keyring import new_key, read_key
from zoho_token_store.keyspace import Keyspace

OLD, NEW = new_key(), new_key()
SECRETS = ("made-up-secret", "rt-of-ada", "gt-of-ada", "at-of-ada")


def ada(number: int = 0) -> Any:
    fields = {kind: f"{kind[0]}t-of-ada{number}" for kind in ("refresh", "grant", "access")}
    return make_token(f"ada{number}@example.com", **fields)


@pytest.fixture
def environment(real_server: Server, namespace: str) -> dict[str, str]:
    """Return the environment of a command that has the keys."""
    return os.environ | {
        "ZOHO_TOKEN_STORE_URL": real_server.url,
        "ZOHO_TOKEN_STORE_NAMESPACE": namespace,
        "ZOHO_TOKEN_STORE_KEYS": f"{NEW},{OLD}",
        "ZOHO_TOKEN_STORE_POINTER_KEYS": f"{OLD} {NEW}",
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command through pipes; no key may stand in what it prints."""

    def run(*arguments: str, answer: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        done = run_here(list(arguments), environment | variables, answer)
        assert not [key for key in (OLD, NEW) if key in done.stdout + done.stderr]
        return done

    return run


@pytest.fixture
def saved(real_server: Server, namespace: str) -> list[Any]:
    """Save some tokens under the old keys."""
    tokens = [ada(number) for number in range(5)]
    with RedisTokenStore.from_url(real_server.url, namespace, encryption_keys=[OLD], pointer_keys=[OLD]) as store:
        for token in tokens:
            store.save_token(token)
    return tokens


def test_keygen_prints_a_key_and_nothing_else(run) -> None:
    """It can be used as it stands on the line, and another call gives another."""
    keys = {run("keygen").stdout for _ in range(2)}
    assert len({read_key(key, "key") for key in keys}) == 2
    assert all(len(key.splitlines()) == 1 for key in keys)


class TestRotateKeys:
    """Moving records from the command line."""

    def test_it_moves_and_counts(self, run, saved: list[Any], real_server: Server, namespace: str) -> None:
        """Once; the second time there is nothing to do, and the new keys alone open and find everything."""
        first, second = run("rotate-keys"), run("rotate-keys", "--json", "--batch", "2")
        assert (first.returncode, first.stdout) == (0, "5 records read: 5 moved, 0 in place\n")
        assert json.loads(second.stdout) == {"total": 5, "seen": 5, "moved": 0, "failed": []}
        assert first.stderr == second.stderr == ""
        with RedisTokenStore.from_url(real_server.url, namespace, encryption_keys=[NEW], pointer_keys=[NEW]) as store:
            assert len(store.get_tokens()) == 5
            assert store.find_token(make_token("ada3@example.com")).get_refresh_token() == "rt-of-ada3"

    def test_what_it_cannot_open_is_named(self, run, saved: list[Any], caplog: pytest.LogCaptureFixture) -> None:
        """With the key that is missing; the exit status says that not all is done."""
        done = run("rotate-keys", ZOHO_TOKEN_STORE_KEYS=NEW)
        assert done.returncode == 1
        assert done.stdout == "0 records read: 0 moved, 0 in place, 5 could not be opened\n"
        assert all(token.get_id() in caplog.text for token in saved)
        assert read_key(OLD, "").id in caplog.text

    @pytest.mark.parametrize(
        ("variables", "said"),
        [
            ({"ZOHO_TOKEN_STORE_KEYS": ""}, "encryption_keys: must hold at least one key"),
            ({"ZOHO_TOKEN_STORE_KEYS": "short"}, "encryption_keys: a key must be 32 bytes"),
            ({"ZOHO_TOKEN_STORE_POINTER_KEYS": f"{OLD},{OLD}"}, "pointer_keys: holds one key twice"),
            ({"ZOHO_TOKEN_STORE_ENCRYPT_IDENTITY": "maybe"}, "ENCRYPT_IDENTITY: must be 1 or 0"),
        ],
    )
    def test_keys_that_cannot_be_used_are_refused(self, run, variables: dict[str, str], said: str) -> None:
        """By name, with the exit status of a wrong option."""
        done = run("rotate-keys", **variables)
        assert done.returncode == 2
        assert said in done.stderr

    def test_it_draws_its_progress_in_a_terminal(self, environment, saved: list[Any]) -> None:
        """A bar that ends full."""
        terminal = Terminal(["rotate-keys"], environment)
        assert terminal.end() == 0
        assert "5/5" in terminal.screen
        assert "5 records read: 5 moved" in terminal.screen


class TestShow:
    """One token from the command line."""

    def test_secrets_are_hidden(self, run, saved: list[Any]) -> None:
        """Everything else is there, for people and for programs."""
        id = saved[0].get_id()
        text, data = run("show", id), run("show", id, "--json")
        assert (text.returncode, text.stderr, data.returncode) == (0, "", 0)
        told = json.loads(data.stdout)
        assert not [secret for secret in SECRETS if secret in text.stdout or secret in str(told)]
        assert (told["id"], told["user_name"], told["refresh_token"]) == (id, "ada0@example.com", "********")
        assert all(value in text.stdout for value in (id, "ada0@example.com", "1000.ONE", told["expires"]))

    def test_it_reveals_after_a_question(self, environment, saved: list[Any]) -> None:
        """Yes prints them, no prints nothing."""
        for answer, status in (("y", 0), ("n", 1)):
            terminal = Terminal(["show", saved[0].get_id(), "--reveal"], environment)
            terminal.wait_for("Go on?")
            assert not [secret for secret in SECRETS if secret in terminal.screen]
            terminal.type(answer)
            assert terminal.end() == status
            assert all(secret in terminal.screen for secret in SECRETS) is (answer == "y")

    def test_without_an_answer_nothing_is_revealed(self, run, saved: list[Any]) -> None:
        """As in a script."""
        done = run("show", saved[0].get_id(), "--reveal")
        assert done.returncode == 1
        assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]

    def test_what_is_not_there(self, run) -> None:
        """An id that was never seen, and one that cannot be one."""
        assert (run("show", "never-seen").returncode, run("show", "a b").returncode) == (1, 2)

    def test_a_saved_value_does_not_steer_the_terminal(self, run, real_server: Server, namespace: str) -> None:
        """Whatever somebody has called a user."""
        token = make_token("ada\x1b[2J\n@example.com", refresh="rt")
        with RedisTokenStore.from_url(
            real_server.url, namespace, encryption_keys=[NEW], pointer_keys=[OLD, NEW]
        ) as store:
            store.save_token(token)
        shown = run("show", token.get_id())
        assert "\x1b" not in shown.stdout
        assert "ada?[2J?@example.com" in shown.stdout

    def test_it_changes_nothing(self, run, saved: list[Any], real_server: Server, namespace: str) -> None:
        """No lease, no event, no other revision."""
        keys = Keyspace(namespace)
        with real_server.client(decode_responses=True) as client:
            before = client.hgetall(keys.token(saved[0].get_id())), client.xlen(keys.events), client.keys("*lease*")
            run("show", saved[0].get_id())
            after = client.hgetall(keys.token(saved[0].get_id())), client.xlen(keys.events), client.keys("*lease*")
        assert before == after
