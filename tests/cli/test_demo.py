"""``zoho-tokens demo`` from outside: real processes, a real Redis, and a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from servers import Server
from zoho_token_store.cli.command import command
from zoho_token_store.cli.demo import command as demo_command
from zoho_token_store.cli.demo.fleet import Fleet
from zoho_token_store.cli.demo.local_redis import RedisPlace
from zoho_token_store.cli.demo.outcome import Outcome

PROGRAM = [sys.executable, "-c", "from zoho_token_store.cli import main; main()", "demo"]
GOOD = Outcome("redis", 2, 2, 2, 1, 0, (1, 1), 0, 0, 0, 40, 0.3, 0.5)


class Traces:
    """Tells whether a program has left anything behind: files in its own TMPDIR, processes with its mark."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = f"ZTS_DEMO_TEST={uuid.uuid4().hex}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the program."""
        name, _, value = self.mark.partition("=")
        return {**os.environ, "TMPDIR": str(self.folder), "TERM": "xterm", name: value}

    def processes(self) -> list[str]:
        """Return the command lines of processes with the mark; none where there is no /proc to look at."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_text())
            except OSError:
                continue  # gone meanwhile, or not ours
        return found

    def assert_none(self) -> None:
        """Fail if anything is left."""
        assert list(self.folder.iterdir()) == []
        assert self.processes() == []


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    """Give a program a TMPDIR and a mark of its own."""
    folder = tmp_path / "t"
    folder.mkdir()
    return Traces(folder)


def test_both_stores_as_json(traces: Traces, real_server: Server) -> None:
    """One JSON document and nothing else; ours keeps its promise, and FileStore's figures are what was counted."""
    arguments = ["--workers", "4", "--seconds", "9", "--json", "--redis-url", real_server.url]
    done = subprocess.run(
        [*PROGRAM, *arguments], env=traces.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr == ""
    document = json.loads(done.stdout)
    file, ours = document["runs"]
    assert done.returncode == 0, document
    assert document["broken_promises"] == []
    assert (ours["store"], ours["up_at_once"], ours["exchanges"], ours["refreshes_per_expiry"]) == ("redis", 4, 1, 1.0)
    assert ours["expiries"] >= 1
    assert ours["statistics"]["leases"] == ours["exchanges"] + sum(ours["refresh_calls"])
    assert ours["calls"] > 4
    assert file["store"] == "file"
    assert file["exchanges"] - file["exchanges_refused"] == 1  # Zoho takes a code once, whatever the store does
    assert file["errors"] == sum(file["error_messages"].values()) >= file["exchanges_refused"]
    assert 1 <= file["up_at_once"] <= file["up"] <= 4
    with real_server.client() as client:
        assert client.keys("*") == []
    traces.assert_none()


def test_lines_without_a_terminal(traces: Traces) -> None:
    """Into a pipe it prints which Redis it uses, plain lines and the table, without control characters."""
    arguments = ["--workers", "2", "--seconds", "8", "--store", "redis"]
    done = subprocess.run(
        [*PROGRAM, *arguments], env=traces.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("Redis: ")
    assert "RedisTokenStore: starting 2 workers" in done.stdout
    assert done.stdout.count("slowest call") >= 3  # two lines at the least, and the table
    assert "RedisTokenStore kept its promise." in done.stdout
    assert "\x1b" not in done.stdout
    traces.assert_none()


@contextmanager
def on_a_terminal(arguments: list[str], environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the program on a terminal of its own, in a session of its own as a shell would."""
    ours, theirs = pty.openpty()
    start = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", start, *PROGRAM, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=environment,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, wanted: str | None, at_most: float = 60.0) -> str:
    """Read from a terminal until a text has come, or to its end."""
    deadline, text = time.monotonic() + at_most, ""
    while time.monotonic() < deadline and (wanted is None or wanted not in text):
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # Linux's way to say that nobody holds the other end any more
                break
            if not part:
                break
            text += part.decode()
    return text


@pytest.mark.parametrize("key", ["interrupt", "terminate"])
def test_interrupted_on_a_terminal(key: str, traces: Traces) -> None:
    """The live view is drawn, and Ctrl-C as well as SIGTERM end it at once, with nothing left behind."""
    with on_a_terminal(["--workers", "3", "--seconds", "60"], traces.environment) as (process, terminal):
        text = read_until(terminal, "working")
        assert "3 workers on the SDK's FileStore" in text
        assert "refreshes" in text
        if key == "interrupt":
            os.write(terminal, b"\x03")
        else:
            process.send_signal(signal.SIGTERM)
        rest = read_until(terminal, None)
        assert process.wait(20) == 130
        assert "Interrupted" in rest
        assert "Traceback" not in text + rest
    traces.assert_none()


def test_a_worker_that_dies_is_an_error(tmp_path: Path) -> None:
    """A worker killed from outside, and one that cannot start, are counted and named."""
    with Fleet(2, tmp_path) as fleet:
        fleet.start()
        fleet._processes[0].kill()
        fleet.end()
        assert sum("the worker died" in error for error in fleet.tally.errors) == 1
        assert fleet.tally.failed() == 1
        assert fleet.ready()


@pytest.mark.parametrize(
    ("outcomes", "arguments", "status"),
    [
        ([GOOD], ["--store", "redis"], 0),
        ([replace(GOOD, throttled=1)], ["--store", "redis"], 1),
        ([replace(GOOD, store="file", errors=9)], ["--store", "file"], 0),
        ([replace(GOOD, store="file", errors=9), GOOD], [], 0),
        ([replace(GOOD, store="file"), replace(GOOD, errors=1)], ["--json"], 1),
    ],
)
def test_the_exit_status_is_our_stores(
    outcomes: list[Outcome], arguments: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is 1 when our store broke a promise, whatever FileStore did, and 0 otherwise."""

    @contextmanager
    def no_redis(url: str | None) -> Iterator[RedisPlace]:
        yield RedisPlace("redis://unused", "none", "demo")

    remaining = iter(outcomes)
    monkeypatch.setattr(demo_command, "open_redis", no_redis)
    monkeypatch.setattr(demo_command, "run_store", lambda *arguments: next(remaining))
    result = CliRunner().invoke(command, ["demo", *arguments])
    assert result.exit_code == status, result.output
    assert ("broke its promise" in result.output) == (status == 1 and "--json" not in arguments)
    assert next(remaining, None) is None


@pytest.mark.parametrize("arguments", [["--workers", "0"], ["--seconds", "1"], ["--store", "mysql"], ["--nothing"]])
def test_bad_arguments_are_refused(arguments: list[str]) -> None:
    """An option out of range is named before anything is started."""
    result: Any = CliRunner().invoke(command, ["demo", *arguments])
    assert result.exit_code == 2
    assert arguments[0] in result.output


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_the_extra(package: str) -> None:
    """Without a package of the extra the command says what to install, in one line."""
    program = f"import sys; sys.modules[{package!r}] = None; from zoho_token_store.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "zoho-token-store[cli]" in done.stderr
    assert len(done.stderr.splitlines()) == 1
