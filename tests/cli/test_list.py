"""``list`` and ``find``: many tokens, without their secrets."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from cli.desk import Desk
from cli.program import PROGRAM
from servers import Server
from zoho_token_store.cli.listing import fitted
from zoho_token_store.keyspace import Keyspace

WILD = "eve\x1b]0;title\x07\x1b[2J\n@example.com"


@pytest.fixture
def filled(desk: Desk) -> Desk:
    """Save tokens in every state."""
    desk.save("ada", "grace", access="at-of-x")
    desk.save("soon", access="at-of-soon", left=200)
    desk.save("idle")
    desk.save("ada", client_id="1000.TWO", refresh="rt-of-ada-two")
    desk.save("fleeting", refresh=None, access="at-of-fleeting", left=7000)
    return desk


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return what was printed as JSON lines."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_all_are_listed_in_each_form(filled: Desk) -> None:
    """JSON lines, CSV and lines say the same, in order of id, and nothing goes to stderr."""
    told, table, lines = filled.run("list", "--json"), filled.run("list", "--csv"), filled.run("list")
    listed = objects(told)
    assert [each["id"] for each in listed] == sorted(filled.ids())
    states = {(each["user_name"], each["client_id"]): each["state"] for each in listed}
    assert states == {
        ("ada", "1000.ONE"): "fresh",
        ("ada", "1000.TWO"): "no-access",
        ("grace", "1000.ONE"): "fresh",
        ("soon", "1000.ONE"): "expiring",
        ("idle", "1000.ONE"): "no-access",
        ("fleeting", "1000.ONE"): "fresh",
    }
    assert {each["user_name"] for each in listed if not each["refreshable"]} == {"fleeting"}
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    assert rows == [{name: "" if value is None else str(value) for name, value in each.items()} for each in listed]
    assert [line.split()[:2] for line in lines.stdout.splitlines()] == [[each["id"], each["state"]] for each in listed]
    assert all(done.returncode == 0 and done.stderr == "" for done in (told, table, lines))


@pytest.mark.parametrize(
    ("conditions", "users"),
    [
        (["--user", "ada"], ["ada", "ada"]),
        (["--client", "1000.TWO"], ["ada"]),
        (["--user", "ada", "--client", "1000.ONE"], ["ada"]),
        (["--state", "expiring"], ["soon"]),
        (["--state", "expiring", "--state", "no-access"], ["ada", "idle", "soon"]),
        (["--state", "expired"], []),
        (["--expires-within", "5m"], ["soon"]),
        (["--expires-within", "2h"], ["ada", "fleeting", "grace", "soon"]),
        (["--state", "fresh", "--client", "1000.TWO"], []),
        (["--user", "nobody"], []),
    ],
)
def test_conditions_must_all_hold(filled: Desk, conditions: list[str], users: list[str]) -> None:
    """By user, client, state and expiry; a list without a token is no failure."""
    done = filled.run("--json", "list", *conditions)
    assert sorted(each["user_name"] for each in objects(done)) == users
    assert done.returncode == 0


def test_find_tells_the_tokens_of_a_user(filled: Desk) -> None:
    """One for each client; nobody's are status 1."""
    assert {each["client_id"] for each in objects(filled.run("find", "ada", "--json"))} == {"1000.ONE", "1000.TWO"}
    assert len(filled.run("find", "ada", "--client", "1000.ONE").stdout.splitlines()) == 1
    done = filled.run("find", "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no token of this user" in done.stderr


def test_looking_takes_no_lease(redis_desk: Desk, real_server: Server) -> None:
    """And writes no event."""
    redis_desk.save("idle", "soon", access="at-of-x", left=3)
    keys = Keyspace(redis_desk.namespace)
    with real_server.client() as client:
        before = client.xlen(keys.events)
        for command in (["list"], ["find", "idle"], ["list", "--user", "soon"]):
            assert redis_desk.run(*command).returncode == 0
        assert client.xlen(keys.events) == before
        assert not client.keys(keys.lease("*"))


def test_what_cannot_be_used(redis_desk: Desk) -> None:
    """Options that make no sense end it with status 2."""
    for options in (["--json", "--csv"], ["--state", "gone"], ["--expires-within", "soon"]):
        assert redis_desk.run("list", *options).returncode == 2


def test_a_record_that_cannot_be_read_does_not_end_the_list(redis_desk: Desk, real_server: Server) -> None:
    """It is named on stderr, and the status says so."""
    broken, _ = redis_desk.save("ada", "grace")
    with real_server.client() as client:
        client.hset(Keyspace(redis_desk.namespace).token(broken), "fence", "x")
    done = redis_desk.run("list", "--json")
    assert [each["user_name"] for each in objects(done)] == ["grace"]
    assert done.returncode == 1
    assert f"record {broken} cannot be read" in done.stderr


@pytest.mark.parametrize(
    "command", [["find", "ada"], ["find", "ada", "--client", "1000.TWO"], ["list", "--user", "ada"]], ids=" ".join
)
def test_one_of_a_users_that_cannot_be_read(redis_desk: Desk, real_server: Server, command: list[str]) -> None:
    """It is named on stderr, the others come, and the status says so."""
    [broken] = redis_desk.save("ada")
    [other] = redis_desk.save("ada", client_id="1000.TWO", refresh="rt-of-two")
    with real_server.client() as client:
        client.hset(Keyspace(redis_desk.namespace).token(broken), "fence", "x")
    done = redis_desk.run(*command, "--json")
    assert [each["id"] for each in objects(done)] == [other]
    assert done.returncode == 1
    assert f"record {broken} cannot be read" in done.stderr


def test_a_file_with_text_that_is_not_utf_8(tmp_path: Path) -> None:
    """Every command names the record alone, shows the others, and nothing of what stands there."""
    path = tmp_path / "tokens.db"
    desk = Desk(f"sqlite:///{path}", "default")
    broken, other = desk.save("ada", "grace", access="at-of-x")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        bad = "UPDATE records SET refresh_token = CAST(? AS TEXT), user_name = CAST(? AS TEXT) WHERE id = ?"
        connection.execute(bad, (b"rt-of-\xff", b"\xff", broken))
    for command in (["list"], ["list", "--user", "ada"], ["find", "ada"]):
        done = desk.run(*command)
        assert (done.returncode, broken in done.stderr, broken in done.stdout) == (1, True, False)
    assert other in desk.run("list").stdout
    assert json.loads(desk.run("stats", "--json").stdout)["tokens"]["unreadable"] == 1
    for name in ("show", "invalidate", "delete", "revoke"):
        done = desk.run(name, broken)
        assert (done.returncode, broken in done.stderr) == (1, True), done.stderr
    moved = desk.run("migrate", desk.url, f"sqlite:///{tmp_path}/other.db", "--apply", "--json")
    assert (json.loads(moved.stdout)["created"], json.loads(moved.stdout)["unreadable"]) == (1, 1)
    done = desk.run("purge", "--all", "--yes")
    assert (done.returncode, done.stdout) == (1, "1 token deleted\n")
    assert desk.run("delete", broken, "--unreadable", "--yes").returncode == 0
    assert desk.run("list").stdout == desk.run("list").stderr == ""


def test_csv_holds_no_formulas(redis_desk: Desk) -> None:
    """An apostrophe keeps a spreadsheet from taking a name for one; an id is as it is, and other forms are too."""
    names = ["=cmd|' /C calc'!A0", "+49 30", "-1", "@SUM(A1)", "\t=1", "\r=1", "ada=1"]
    redis_desk.save(*names, access="at-of-x")
    redis_desk.save("eve", id="-id", refresh="rt-of-eve")
    rows = list(csv.DictReader(io.StringIO(redis_desk.run("list", "--csv").stdout)))
    shown = {row["user_name"] for row in rows}
    assert shown == {*(f"'{name}" for name in names[:4]), "'?=1", "ada=1", "eve"}
    assert "-id" in {row["id"] for row in rows}
    assert {each["user_name"] for each in objects(redis_desk.run("list", "--json"))} == {*names, "eve"}


def test_a_saved_value_does_not_steer_the_terminal(redis_desk: Desk) -> None:
    """In no form, whatever somebody has called a user; only JSON tells it as it is."""
    redis_desk.save(WILD)
    for form in ([], ["--csv"]):
        assert "eve?]0;title??[2J?@example.com" in redis_desk.run("list", *form).stdout
    assert objects(redis_desk.run("list", "--json"))[0]["user_name"] == WILD
    terminal = redis_desk.terminal("list")
    assert terminal.end() == 0
    assert "eve?]0;title??[2J?@example.com" in terminal.screen


def test_a_reader_that_has_enough_ends_it_quietly(redis_desk: Desk) -> None:
    """As `| head` does."""
    redis_desk.save(*(f"user{number}" for number in range(1000)))
    for form in ([], ["--json"], ["--csv"]):
        with subprocess.Popen(
            [*PROGRAM, "list", *form], env=redis_desk.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout
            assert process.stderr
            process.stdout.readline()
            process.stdout.close()
            assert process.wait(30) == 1
            assert process.stderr.read() == b""


def test_a_long_list_needs_no_more_memory(redis_desk: Desk) -> None:
    """Six times the tokens, and the same memory but for their ids."""
    peaks = []
    # What Python hands out, since what the system calls a process's peak is also that of the one that started it.
    measured = """
import tracemalloc
from zoho_token_store.cli import main
tracemalloc.start()
try:
    main()
finally:
    print(tracemalloc.get_traced_memory()[1])
"""
    program = [PROGRAM[0], "-c", measured, "list"]
    for count in (500, 3_000):
        redis_desk.save(*(f"user{number}" for number in range(count)))
        done = subprocess.run(program, env=redis_desk.environment, capture_output=True, text=True, check=True)
        *listed, peak = done.stdout.splitlines()
        assert len(listed) == count
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < 1024 * 1024, peaks


class TestTerminal:
    """What it draws."""

    @pytest.mark.parametrize("columns", [40, 80, 200])
    def test_lines_fit_the_terminal(self, filled: Desk, columns: int) -> None:
        """Whatever its width, and with wide characters; there is a head, and the states have colours."""
        filled.save("日本語の長い名前のユーザー@example.com" * 2)
        terminal = filled.terminal("list", columns=columns)
        assert terminal.end() == 0
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in terminal.screen.splitlines()]
        assert len(lines) == 8
        assert lines[0].startswith("id")
        assert max(map(cell_len, lines)) <= columns
        assert "\x1b[32m" in terminal.screen

    def test_no_colour_if_none_is_wanted(self, filled: Desk) -> None:
        """NO_COLOR leaves the lines without."""
        terminal = filled.terminal("list", NO_COLOR="1")
        assert terminal.end() == 0
        assert not re.search(r"\x1b\[3\d", terminal.screen)


def test_columns_are_narrowed_from_the_widest() -> None:
    """Those that need little keep it."""
    assert fitted([20, 10, 5], 100) == [20, 10, 5]
    assert fitted([40, 20, 5], 49) == [20, 20, 5]
    assert fitted([40, 20, 5], 1) == [10, 10, 5]
