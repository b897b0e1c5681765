"""``zoho-tokens migrate``: through pipes and in a terminal."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.program import run_here
from cli.terminal import Terminal
from servers import Server
from zoho_token_store import RedisTokenStore, SQLiteTokenStore

GOLDEN = Path(__file__).parents[1] / "migration" / "golden"
SECRETS = ("secret-", "refresh-", "access-", "grant-ada", "ada@", "bob@", "example.com/")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(namespace: str, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a command, with no settings but those of the test."""
    unset = {name: value for name, value in os.environ.items() if not name.startswith("ZOHO_TOKEN_STORE")}
    return unset | {"ZOHO_TOKEN_STORE_NAMESPACE": namespace, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}


@pytest.fixture
def run(environment: dict[str, str], real_server: Server) -> Run:
    """Run the command through pipes in this process, to the real server."""

    def run(
        source: str, *arguments: str, target: str = real_server.url, before: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        done = run_here([*before, "migrate", source, target, *arguments], environment)
        assert "Traceback" not in done.stderr
        assert not any(secret in done.stdout + done.stderr for secret in SECRETS)
        return done

    return run


def golden(name: str) -> str:
    """Return what names a golden file."""
    return f"csv:{GOLDEN}/{name}.csv"


def test_it_says_first_and_does_it_when_told(run: Run, real_server: Server, namespace: str) -> None:
    """The counts add up, nothing is written without --apply, and the second run finds all of it there."""
    with RedisTokenStore.from_url(real_server.url, namespace) as store:
        dry = run(golden("ten-columns"))
        assert store.get_tokens() == []
        done, again = run(golden("ten-columns"), "--apply"), run(golden("ten-columns"), "--apply", "--json")
        assert len(store.get_tokens()) == 3
        assert store.get("1").get_refresh_token() == "refresh-ada"
    assert (dry.returncode, done.returncode, again.returncode) == (0, 0, 0)
    assert dry.stdout.splitlines() == [
        "        3 rows read",
        "        3 would be created",
        "        0 would be updated",
        "        0 would be left alone",
        "        0 are in conflict",
        "        0 cannot be read",
        "nothing was changed; --apply does it",
    ]
    assert done.stdout.splitlines()[1] == "        3 created"
    assert json.loads(again.stdout) == {
        "applied": True, "read": 3, "created": 0, "updated": 0, "left": 3, "conflicts": 0, "unreadable": 0, "flaws": 0,
        "rows": [],
    }  # fmt: skip


def test_what_needs_a_look_is_listed(run: Run) -> None:
    """By its line and masked, and the exit status says so; --list lists everything."""
    done, listed = run(golden("duplicate-user")), run(golden("widths"), "--list", "--json")
    assert (done.returncode, listed.returncode) == (1, 1)
    assert done.stdout.startswith(
        "conflict   line 2 (id 1, user a***@example.com): line 3 is of the same user and client, or has one of"
    )
    told = json.loads(listed.stdout)
    assert len(told["rows"]) == told["read"] == 12
    assert {"outcome": "unreadable", "where": "line 7", "id": None, "user": None,
            "reason": "its quotation marks do not close"} in told["rows"]  # fmt: skip


def test_an_encoding_is_named(run: Run) -> None:
    """Without it one row cannot be read."""
    assert run(golden("cp1252")).returncode == 1
    assert run(golden("cp1252"), "--encoding", "cp1252").returncode == 0


@pytest.mark.parametrize(
    ("source", "arguments", "said"),
    [
        ("nowhere:x", [], "names nothing that is known"),
        (golden("no-such"), [], "no such file"),
        ("jsonl:x", [], "ZOHO_TOKEN_STORE_KEYS"),
        (golden("cp1252"), ["--encoding", "no-such"], "encoding"),
        (golden("ten-columns"), ["--batch", "0"], "--batch"),
        (golden("ten-columns"), ["--encoding", "idna"], "the file cannot be read in 'idna'"),
        (golden("ten-columns"), ["--namespace", "no such"], "namespace"),
    ],
)
def test_what_cannot_be_used(run: Run, source: str, arguments: list[str], said: str) -> None:
    """Places and options that cannot be used end it with status 2."""
    done = run(source, *arguments)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_what_is_away(run: Run) -> None:
    """As a source or a target it ends it with status 4, as of every command."""
    assert run(golden("ten-columns"), target="unix:///nowhere?operation_timeout=0.1").returncode == 4
    assert run("unix:///nowhere?operation_timeout=0.1", target="memory://").returncode == 4


def test_what_goes_for_every_command(
    run: Run, environment: dict[str, str], tmp_path: Path, namespace: str, real_server: Server
) -> None:
    """Options before its name, and the configuration file: the namespace is that of all, and of a file too."""
    del environment["ZOHO_TOKEN_STORE_NAMESPACE"]
    missing = run(golden("ten-columns"))
    assert (missing.returncode, "namespace: must be given" in missing.stderr) == (2, True)
    before = ("--namespace", namespace, "--json", "--quiet")
    assert json.loads(run(golden("ten-columns"), "--apply", before=before).stdout)["created"] == 3
    with RedisTokenStore.from_url(real_server.url, namespace) as store:
        assert len(store.get_tokens()) == 3
    config = tmp_path / "xdg" / "zoho-token-store" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('namespace = "crm"\nquiet = true\n')
    url = f"sqlite:///{tmp_path}/tokens.db"
    assert "nothing was changed" not in run(golden("ten-columns"), target=url).stdout
    assert run(golden("ten-columns"), "--apply", target=url).returncode == 0
    for name, number in (("crm", 3), ("default", 0)):
        with SQLiteTokenStore(tmp_path / "tokens.db", name) as file:
            assert len(file.get_tokens()) == number


def test_an_export_that_was_cut_is_not_clean(run: Run, environment: dict[str, str], tmp_path: Path) -> None:
    """All of its rows are read, and yet the status says that some may be missing."""
    environment["ZOHO_TOKEN_STORE_KEYS"] = urlsafe_b64encode(bytes(32)).decode()
    lines = (GOLDEN / "export.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:-1]))
    done = run(f"jsonl:{tmp_path}/cut.jsonl", target="memory://")
    assert done.returncode == 1
    assert done.stdout.startswith("flaw       line 5: the file ends without its last line")
    assert "        3 rows read" in done.stdout


def test_rows_without_their_beginning_are_left(run: Run, tmp_path: Path, namespace: str) -> None:
    """Named by their lines; no client secret is stored where a client id belongs."""
    for name, created in (("line-breaks", 2), ("lost-ids", 3)):
        assert run(golden(name), "--apply", target=f"sqlite:///{tmp_path}/{name}.db").returncode == 1
        with SQLiteTokenStore(tmp_path / f"{name}.db", namespace) as store:
            tokens = store.get_tokens()
        assert len(tokens) == created
        assert all(token.get_client_id().startswith("1000.") for token in tokens)


def test_a_place_is_not_moved_to_itself(run: Run) -> None:
    """Nor memory to memory."""
    assert run("memory://", target="memory://").returncode == 2


def test_between_namespaces(run: Run, real_server: Server, namespace: str) -> None:
    """Source and target may be one server."""
    assert run(golden("ten-columns"), "--apply", "--namespace", f"{namespace}-old").returncode == 0
    done = run(real_server.url, "--apply", "--source-namespace", f"{namespace}-old", "--list")
    assert done.returncode == 0
    assert done.stdout.count("created    record") == 3


def test_it_draws_its_progress_in_a_terminal(environment: dict[str, str], real_server: Server) -> None:
    """A bar for each of the two walks."""
    terminal = Terminal(["migrate", golden("ten-columns"), real_server.url, "--apply"], environment)
    assert terminal.end() == 0
    assert "reading rows" in terminal.screen
    assert "moving rows" in terminal.screen
    assert "3 created" in terminal.screen
