"""What goes for every command: where it may be said, and which word counts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from contract.tokens import make_token
from zoho_token_store import SQLiteTokenStore, __version__
from zoho_token_store.cli.command import command
from zoho_token_store.cli.settings import URL_HELP

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command in this process, with no settings but those of the test."""
    unset = {f"ZOHO_TOKEN_STORE_{name}": None for name in ("URL", "NAMESPACE", "CONFIG", "KEYS", "POINTER_KEYS")}

    def run(*arguments: str, **variables: str) -> Result:
        environ = unset | {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path)} | variables
        return CliRunner(env=environ).invoke(command, arguments, catch_exceptions=False)

    return run


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Save a token under the id "it" in several namespaces of a file; each user is called like its namespace."""
    for namespace in ("default", "behind", "before", "variable", "filed"):
        with SQLiteTokenStore(tmp_path / "tokens.db", namespace) as store:
            store.save_token(make_token(namespace, refresh=f"rt-{namespace}", id="it"))
    return f"sqlite:///{tmp_path}/tokens.db"


def write(path: Path, text: str, mode: int = 0o600) -> str:
    """Write a configuration file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def user(result: Result) -> Any:
    """Return whose token was shown as JSON."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["user_name"]


def test_the_nearest_word_counts(run: Run, url: str, tmp_path: Path) -> None:
    """Behind the command's name, before it, in the environment, in the file, and at last what is usual."""
    told: dict[str, Any] = {"ZOHO_TOKEN_STORE_URL": url}
    assert user(run("show", "it", "--json", **told)) == "default"
    told["ZOHO_TOKEN_STORE_CONFIG"] = write(tmp_path / "c.toml", 'namespace = "filed"\njson = true\n')
    assert user(run("show", "it", **told)) == "filed"
    told["ZOHO_TOKEN_STORE_NAMESPACE"] = "variable"
    assert user(run("show", "it", **told)) == "variable"
    assert user(run("--namespace", "before", "show", "it", **told)) == "before"
    assert user(run("--namespace", "before", "show", "it", "--namespace", "behind", **told)) == "behind"
    assert "default" in run("--no-json", "--namespace", "default", "show", "it", **told).stdout.splitlines()[1]


def test_the_usual_file_is_found(run: Run, url: str, tmp_path: Path) -> None:
    """Where XDG has it, else in ~/.config; a folder that is not absolute is none."""
    text = f'url = "{url}"\nnamespace = "{{}}"\n'
    write(tmp_path / "xdg" / "zoho-token-store" / "config.toml", text.format("before"))
    write(tmp_path / ".config" / "zoho-token-store" / "config.toml", text.format("behind"))
    assert user(run("--json", "show", "it")) == "before"
    assert user(run("--json", "show", "it", XDG_CONFIG_HOME="")) == "behind"
    assert user(run("--json", "show", "it", XDG_CONFIG_HOME="xdg")) == "behind"


BAD = {
    "colour = true": "colour: no such field; url, namespace, json, quiet are known",
    "url = 7": "url: must be text in quotes",
    'namespace = ""': "namespace: must not be empty",
    'json = "yes"': "json: must be true or false",
    "quiet = 1": "quiet: must be true or false",
    "url = SECRET": "is not TOML: ",
    "[url]\nx = 1": "url: must be text in quotes",
}


@pytest.mark.parametrize(("text", "said"), BAD.items(), ids=BAD.values())
def test_a_file_that_cannot_be_used_is_refused(run: Run, tmp_path: Path, text: str, said: str) -> None:
    """By the name of the field, with status 2, and without a word of what stands there."""
    path = write(tmp_path / "c.toml", text)
    result = run("--config", path, "show", "it")
    assert result.exit_code == 2
    assert f"{path}: {said}" in result.output
    assert "SECRET" not in result.output


def test_a_file_that_is_not_there(run: Run, url: str, tmp_path: Path) -> None:
    """One that was named must be; the usual one need not. A folder and bytes that are no text are no file."""
    assert "there is no such file" in run("--config", str(tmp_path / "none"), "show", "it").output
    assert run("--url", url, "show", "it").exit_code == 0
    assert "cannot be read" in run("--config", str(tmp_path), "show", "it").output
    (tmp_path / "c.toml").write_bytes(b"url = '\xff'")
    assert "is not UTF-8" in run("--config", str(tmp_path / "c.toml"), "show", "it").output


def test_a_broken_file_is_in_nobodys_way_who_needs_none(run: Run, tmp_path: Path) -> None:
    """Help and keys are to be had all the same."""
    path = write(tmp_path / "c.toml", "broken")
    for arguments in (["--help"], ["keygen"], ["show", "--help"], ["acl", "worker", "--namespace", "crm"]):
        assert run("--config", path, *arguments).exit_code == 0


@pytest.mark.parametrize(
    ("url", "mode", "refused"),
    [
        ("redis://user:SECRET@localhost/0", 0o640, True),
        ("redis://localhost/0?password=SECRET", 0o604, True),
        ("redis://user:SECRET@localhost/0", 0o600, False),
        ("redis://user:SECRET@localhost/0", 0o400, False),
        ("redis://localhost/0", 0o644, False),
    ],
)
def test_a_password_that_others_may_read_is_refused(
    run: Run, tmp_path: Path, url: str, mode: int, refused: bool
) -> None:
    """With what to do about it; without a password anybody may read the file."""
    result = run("--config", write(tmp_path / "c.toml", f'url = "{url}"', mode), "show", "it")
    assert result.exit_code == 2
    assert ("chmod 600" in result.output) is refused
    assert "SECRET" not in result.output


def test_what_is_missing_is_named(run: Run) -> None:
    """With everything that can say it."""
    said = run("show", "it").output
    assert all(word in said for word in ("--url", "ZOHO_TOKEN_STORE_URL", "configuration file"))
    said = run("--url", "redis://localhost", "show", "it").output
    assert all(word in said for word in ("--namespace", "ZOHO_TOKEN_STORE_NAMESPACE"))


def test_a_store_that_a_command_cannot_use(run: Run, url: str, tmp_path: Path) -> None:
    """Memory is nobody's, a file that is not there is not made, and a file has no events and no keys to look at."""
    assert "memory:// is empty" in run("--url", "memory://", "show", "it").output
    assert "there is no such file" in run("--url", f"sqlite:///{tmp_path}/none.db", "show", "it").output
    assert not (tmp_path / "none.db").exists()
    assert "names no store" in run("--url", "mongodb://x", "--namespace", "crm", "show", "it").output
    for name in ("audit", "doctor", "watch"):
        result = run("--url", url, name)
        assert (result.exit_code, f"{name} is about what only Redis has" in result.output) == (2, True)


def test_keys_are_rotated_and_tokens_shown_in_a_file_too(run: Run, url: str) -> None:
    """These are the same for every store."""
    assert json.loads(run("--url", url, "--json", "rotate-keys").stdout)["seen"] == 1


def test_a_store_that_is_away_has_a_status_of_its_own(run: Run, tmp_path: Path) -> None:
    """4, as against a token that is not there."""
    url = f"unix://{tmp_path}/none.sock?operation_timeout=0.1"
    for name, *more in (["show", "it"], ["audit"], ["doctor"]):
        assert run("--url", url, "--namespace", "crm", name, *more).exit_code == 4


def test_which_commands_are_about_redis_alone(run: Run, url: str) -> None:
    """What --url says of itself: these refuse a file, and no other does."""
    arguments = {"show": ["it"], "find": ["x"], "delete": ["no"], "invalidate": ["it"], "revoke": ["no"],
                 "purge": ["--user", "no", "--yes"], "login": ["--client-id", "x"], "refresher": ["--once"],
                 "top": ["--once"]}  # fmt: skip
    with_url = {
        name for name, each in command.commands.items() if any("--url" in option.opts for option in each.params)
    }
    refusing = {
        name
        for name in with_url
        if "only Redis has" in run(name, "--url", url, "--namespace", "default", *arguments.get(name, [])).output
    }
    assert refusing == {"audit", "doctor", "top", "watch"}
    named, quoted = (
        f"{', '.join(names[:-1])} and {names[-1]}"
        for names in (sorted(refusing), [f"`{name}`" for name in sorted(refusing)])
    )
    assert f"for all but {named} also sqlite:///" in URL_HELP
    assert f"but for {quoted}, on a file" in (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_it_is_a_module_too() -> None:
    """``python -m`` does what the command does."""
    done = subprocess.run(
        [sys.executable, "-m", "zoho_token_store.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"zoho-tokens, version {__version__}\n"
