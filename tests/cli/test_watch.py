"""``zoho-tokens watch`` as a process of its own, on a real Redis."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cli.program import PROGRAM, Program, until
from contract.tokens import make_token, refreshed
from servers import Server
from zoho_token_store import RedisTokenStore
from zoho_token_store.commit import EVENTS_KEPT
from zoho_token_store.keyspace import Keyspace

Start = Callable[..., Program]
SECRETS = ("made-up-secret", "rt-of-ada", "at-of-ada", "ada@example.com", "password-of-redis")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def store(real_server: Server, namespace: str) -> Iterator[RedisTokenStore]:
    """Give the store of a worker."""
    with RedisTokenStore(real_server.client(), namespace, label="web 1") as store:
        yield store


@pytest.fixture
def start(real_server: Server, namespace: str, tmp_path: Path) -> Iterator[Start]:
    """Start watchers; none of them may print a secret, a user name or anything but plain text."""
    programs: list[Program] = []

    def start(*arguments: str, url: str = real_server.url) -> Program:
        environment = os.environ | {"ZOHO_TOKEN_STORE_URL": url, "ZOHO_TOKEN_STORE_NAMESPACE": namespace}
        programs.append(Program(["watch", *arguments], environment, tmp_path / f"{len(programs)}.log"))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()
        assert not [secret for secret in SECRETS if secret in program.output], program.output
        assert program.output.replace("\n", "").isprintable()
        assert program.output.isascii()


def a_token(number: int = 0) -> Any:
    return make_token("ada@example.com", refresh=f"rt-of-ada-{number}", access=f"at-of-ada-{number}")


def live_through(store: RedisTokenStore) -> str:
    """Save, refresh and delete a token; return its id."""
    token = a_token()
    store.save_token(token)
    store.invalidate_access_token(token.get_id())
    store.save_token(refreshed(store.find_token_by_id(token.get_id()), "at-of-ada-2"))
    store.delete_token(token.get_id())
    return str(token.get_id())


def write(server: Server, namespace: str, count: int, **fields: Any) -> None:
    """Write so many events into a namespace."""
    with server.client() as client:
        pipeline = client.pipeline(transaction=False)
        for _ in range(count):
            told = {"event": "saved", "id": "x", **fields}
            pipeline.xadd(Keyspace(namespace).events, told, maxlen=EVENTS_KEPT, approximate=True)
        pipeline.execute()


def objects(program: Program) -> list[dict[str, Any]]:
    """Return what was printed as JSON."""
    return [json.loads(line) for line in program.output.splitlines() if line.startswith("{")]


def test_what_is_kept(store: RedisTokenStore, start: Start) -> None:
    """Without following it prints all: one line for an event, with time, event, record and label."""
    record_id = live_through(store)
    program = start("--no-follow")
    assert program.wait() == 0, program.output
    lines = program.output.splitlines()
    for line, name in zip(lines, ("saved", "invalidated", "refreshed", "deleted"), strict=True):
        assert re.fullmatch(rf"{TIME}  {name} +{record_id}  web 1", line)
    at = datetime.fromisoformat(lines[0].split("  ")[0].replace("Z", "+00:00")).timestamp()
    assert abs(at - time.time()) < 60


def test_json(store: RedisTokenStore, start: Start) -> None:
    """One object a line; its id is where another run goes on."""
    record_id = live_through(store)
    program = start("--no-follow", "--json")
    assert program.wait() == 0, program.output
    told = objects(program)
    assert [(each["event"], each["record"], each["by"]) for each in told] == [
        (name, record_id, "web 1") for name in ("saved", "invalidated", "refreshed", "deleted")
    ]
    assert all(re.fullmatch(TIME, each["time"]) for each in told)
    program = start("--no-follow", "--json", "--since", told[1]["id"])
    assert program.wait() == 0, program.output
    assert objects(program) == told[2:]


def test_all_at_once(store: RedisTokenStore, start: Start) -> None:
    """Of records that were deleted together there is a line for each."""
    tokens = [a_token(number) for number in range(3)]
    for number, token in enumerate(tokens):
        token.set_client_id(f"client-{number}")
        store.save_token(token)
    store.delete_tokens()
    program = start("--no-follow", "--json")
    assert program.wait() == 0, program.output
    cleared = {each["record"] for each in objects(program) if each["event"] == "cleared"}
    assert cleared == {token.get_id() for token in tokens}


def test_it_follows(store: RedisTokenStore, start: Start) -> None:
    """From now on: an event is printed as it happens, and none of those before."""
    live_through(store)
    program = start("--json")
    probe = a_token(1)
    until(lambda: store.save_token(probe) or objects(program), lambda: program.output)
    first = objects(program)[0]
    assert (first["event"], first["record"]) == ("saved", probe.get_id())
    store.delete_token(probe.get_id())
    program.wait_for(r'"deleted"')
    assert program.end()[0] == 0


def test_since(store: RedisTokenStore, real_server: Server, namespace: str, start: Start) -> None:
    """The last so many minutes, by Redis's clock; and what comes."""
    with real_server.client() as client:
        now_ms = int(client.time()[0]) * 1000
        for minutes in (200, 20, 2):
            at = f"{now_ms - minutes * 60_000}-0"
            client.xadd(Keyspace(namespace).events, {"event": "saved", "id": f"m{minutes}"}, id=at)
    for since, expected in (("10m", ["m2"]), ("1h", ["m20", "m2"]), ("all", ["m200", "m20", "m2"]), ("30s", [])):
        program = start("--no-follow", "--json", "--since", since)
        assert program.wait() == 0, program.output
        assert [each["record"] for each in objects(program)] == expected
    program = start("--json", "--since", "10m")
    program.wait_for('"m2"')
    store.save_token(a_token())
    until(lambda: len(objects(program)) == 2, lambda: program.output)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_signal_ends_it(store: RedisTokenStore, start: Start, number: int) -> None:
    """Status 0, at once and without a word."""
    store.save_token(a_token())
    program = start("--since", "all")
    program.wait_for("saved")
    status, seconds = program.end(number)
    assert status == 0
    assert seconds < 10
    assert len(program.output.splitlines()) == 1


def test_a_reader_that_goes(store: RedisTokenStore, real_server: Server, namespace: str) -> None:
    """``| head -1``: it ends by itself, without a traceback."""
    write(real_server, namespace, 3000)
    environment = os.environ | {"ZOHO_TOKEN_STORE_URL": real_server.url, "ZOHO_TOKEN_STORE_NAMESPACE": namespace}
    with subprocess.Popen(
        [*PROGRAM, "watch", "--since", "all"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert "saved" in process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 1
        assert process.stderr.read() == ""


def test_redis_away_and_back(namespace: str, start: Start, start_server: Callable[..., Server]) -> None:
    """It says so once, and goes on after the last event that it has printed: none twice, none left out."""
    server = start_server(arguments=("--appendonly", "yes", "--appendfsync", "always"))
    write(server, namespace, 2, by="before")
    program = start("--json", "--since", "all", url=server.url)
    until(lambda: len(objects(program)) == 2, lambda: program.output)
    server.kill()
    program.wait_for("Redis cannot be used")
    server.start()
    program.wait_for("Redis can be used again; going on after " + objects(program)[-1]["id"])
    write(server, namespace, 2, by="after")
    until(lambda: len(objects(program)) == 4, lambda: program.output)
    assert [each["by"] for each in objects(program)] == ["before"] * 2 + ["after"] * 2
    assert program.said("Redis cannot be used") == program.said("Redis can be used again") == 1
    assert program.end()[0] == 0
    assert "Traceback" not in program.output


def test_redis_back_without_its_data(namespace: str, start: Start, start_server: Callable[..., Server]) -> None:
    """It says that events may be missing, and shows those that come."""
    server = start_server()
    write(server, namespace, 2)
    program = start("--json", "--since", "all", url=server.url)
    until(lambda: len(objects(program)) == 2, lambda: program.output)
    server.restart()
    program.wait_for("Redis has lost data")
    write(server, namespace, 1, by="new")
    program.wait_for('"new"')
    assert program.said("Redis has lost data") == 1


def test_events_that_were_cut_away(real_server: Server, namespace: str, start: Start) -> None:
    """A beginning that is not kept any more: it says so, and prints the rest."""
    write(real_server, namespace, 1)
    with real_server.client() as client:
        ((first, _),) = client.xrange(Keyspace(namespace).events)
    write(real_server, namespace, EVENTS_KEPT + 500)
    program = start("--no-follow", "--json", "--since", first.decode())
    assert program.wait() == 0
    assert program.said("older events were cut away") == 1
    assert EVENTS_KEPT <= len(objects(program)) < EVENTS_KEPT + 500


def test_it_may_start_before_redis(namespace: str, start: Start, start_server: Callable[..., Server]) -> None:
    """Redis is waited for, and a signal ends the waiting; without following it is an error."""
    server = start_server()
    server.kill()
    program = start(url=server.url)
    program.wait_for("Redis cannot be used")
    server.start()
    program.wait_for("Redis can be used again")
    server.kill()
    program.wait_for("Redis cannot be used", times=2)
    status, seconds = program.end()
    assert (status, seconds < 10) == (0, True)
    program = start("--no-follow", url=server.url)
    assert program.wait() == 4
    assert program.said("^Error: ") == 1
    assert "Traceback" not in program.output


def test_forged_and_broken_events(real_server: Server, namespace: str, start: Start) -> None:
    """Each has its line, in which nothing is left of what a terminal would act upon; those after it follow."""
    hostile = [
        b"\x1b]0;title\x07\x1b[2J",
        b"\xff\xfe\x00\x80",
        "\u202e\u2066".encode(),
        b"a\r\nb",
        b"x" * 1_000_000,
        b"",
    ]
    with real_server.client() as client:
        for value in hostile:
            client.xadd(Keyspace(namespace).events, {b"event": value, b"id": value, b"by": value, b"into": value})
        client.xadd(Keyspace(namespace).events, {"forged": "yes"})
        client.xadd(Keyspace(namespace).events, {"event": "saved", "id": "in the future"}, id=f"{10**18}-1")
        client.xadd(Keyspace(namespace).events, {"event": "deleted", "id": "last"})
    for arguments in (["--no-follow"], ["--no-follow", "--json"]):
        program = start(*arguments)
        assert program.wait() == 0, program.output
        lines = program.output.splitlines()
        assert len(lines) == len(hostile) + 3
        assert "last" in lines[-1]
        assert r"\x1b" in lines[0]
        assert max(map(len, lines)) < 1000
    assert objects(program)[-1] == {
        "id": f"{10**18}-2", "time": None, "event": "deleted", "record": "last", "by": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--namespace", "no namespace"], "namespace"),
        (["--url", "http://:password-of-redis@localhost"], "redis://"),
        (["--url", "redis://:password-of-redis@localhost:port"], "url"),
        (["--since", "yesterday"], "--since"),
        (["--since", "10"], "--since"),
        (["--since", "-10m"], "--since"),
    ],
)
def test_what_cannot_be_used(start: Start, arguments: list[str], message: str) -> None:
    """Status 2 and a message that says what it is."""
    program = start(*arguments)
    assert program.wait() == 2, program.output
    assert message in program.output.partition("Error: ")[2]
    assert "Traceback" not in program.output


def test_what_asking_again_does_not_mend(start: Start, start_server: Callable[..., Server]) -> None:
    """A wrong password ends it, with status 4 and no traceback."""
    server = start_server(password="right")
    program = start(url=server.url.replace("right", "password-of-redis"))
    assert program.wait() == 4, program.output
    assert program.said("^Error: ") == 1
    assert "Traceback" not in program.output
