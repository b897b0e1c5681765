"""The ACLs of docs/security.md: each user can do its work, and nothing else. The contract suite runs under one too."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import redis
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from cli.program import PROGRAM, run_here
from integration.desk import make_token
from scripts.test_declared_keys import everything
from servers import Binary, Server, client_for, find_binaries, newest_binary
from zoho_token_store import ConfigurationError, NotDurable, RedisTokenStore, acl, commit
from zoho_token_store.cli.command import command
from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import OAuthToken

SECURITY = Path(__file__).parents[2] / "docs" / "security.md"
ROLES = {"worker": acl.worker, "operator": acl.operator}
PASSWORD = "pa55word-of-an-acl-user"
BINARIES = list(find_binaries().values())

by_role = pytest.mark.parametrize("role", list(ROLES))


class Place(NamedTuple):
    """A server with a user for each role, who may enter the namespace ``crm``."""

    server: Server

    def url(self, role: str, database: int = 0) -> str:
        """Return the URL of one of the users."""
        return f"redis://{role}:{PASSWORD}@127.0.0.1:{self.server.port}/{database}"

    def connection(self, role: str) -> Any:
        """Return a bare connection of one of the users."""
        return client_for(self.url(role)).connection_pool.get_connection()

    def rules(self, role: str) -> list[str]:
        """Return the rules that one of the users has: all that the server knows."""
        return ROLES[role]("crm", waitaof=self.server.binary.version >= (7, 2))

    def allowed(self, role: str) -> set[str]:
        """Return the commands of these rules."""
        return {rule[1:] for rule in self.rules(role) if rule.startswith("+")}


@pytest.fixture(params=BINARIES, ids=lambda binary: binary.name)
def place(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Iterator[Place]:
    """Start each server, with nothing forbidden that only a setting of the server forbids."""
    binary: Binary = request.param
    switches = ("--enable-debug-command", "local", "--enable-module-command", "local")
    place = Place(start_server(binary, switches if binary.version >= (7, 0) else (), tcp=True))
    with place.server.client() as admin:
        for role in ROLES:
            admin.execute_command("ACL", "SETUSER", role, *place.rules(role), f">{PASSWORD}")
    return place


@by_role
def test_the_document_has_the_rules(role: str) -> None:
    """What docs/security.md says is what `zoho-tokens acl` prints; when this fails, put it there."""
    line = " ".join(["user", role, *ROLES[role]("crm"), ">password"])
    assert f"    {line}\n" in SECURITY.read_text("utf-8"), line


def test_what_the_code_names_is_allowed() -> None:
    """The commands that are sent by themselves, and those that commit-1.lua gets by name, are in the rules' tables."""
    package = Path(commit.__file__).parent
    sources = "".join(path.read_text("utf-8") for path in package.glob("*.py"))
    asked = r"(?:\.ask|\._retried|\._told|\bask|\.send_command)\((?:deadline, |connection, )?\"([A-Z]+)\""
    sent = set(re.findall(asked, sources)) | set(re.findall(r"question: tuple[^=]*= \(\"([A-Z]+)\"", sources))
    of_operators = {command.partition("|")[0] for command in acl.OPERATOR}
    allowed = {command.partition("|")[0] for command in (*acl.SENT, *acl.ON_CLUSTERS)}
    assert sent - of_operators == allowed | {"WAITAOF"}
    writes = (package / "commands.py").read_text("utf-8")
    planned = set(re.findall(r"self\._(?:add|write_string)\([^\n]*?, \"([A-Z]+)\"", writes))
    assert planned - {"RELEASE", "BURY"} == set(acl.PLANNED)


def test_no_command_is_missing_and_none_is_idle(place: Place, zoho: FakeZoho, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doing all that a store can takes every command of the worker's rules, as the server has counted them."""
    monkeypatch.setattr(Initializer, "initializer", None)
    monkeypatch.setattr(Initializer.LOCAL, "init", None, raising=False)
    with place.server.client() as admin:
        admin.config_resetstat()
        options: dict[str, Any] = {"client_name": "app"}
        stores: list[RedisTokenStore] = []

        def make_store(**more: Any) -> RedisTokenStore:
            client = client_for(place.url("worker", database=1), **options)
            stores.append(RedisTokenStore(client, "crm", **more))
            return stores[-1]

        everything(make_store)
        come_and_go(make_store())
        keep_near(make_store, zoho)
        decline(make_store)
        with pytest.raises(NotDurable):  # after both ways to count replicas, if the server has both
            make_store(min_replicas=1, operation_timeout=1.0).save_token(make_token(user="ada", refresh_token="alone"))
        for store in stores:
            store.close()
        counted = {name.removeprefix("cmdstat_") for name in admin.info("commandstats")}
        assert admin.acl_log() == []
    # What only a cluster is sent, tests/topology/test_access.py needs.
    allowed = place.allowed("worker") - {command.lower() for command in acl.ON_CLUSTERS}
    if place.server.binary.version < (7, 0):  # which counts no subcommands
        allowed = {command.partition("|")[0] for command in allowed}
    assert counted - {"auth", "config", "config|resetstat"} == allowed


def come_and_go(store: RedisTokenStore) -> None:
    """Keep a record that would have ended by itself, merge it, claim a code, list, move to other keys, delete."""
    store.ping()
    store.save_token(OAuthToken("client", "secret", refresh_token="r", access_token="a"))
    fleeting = OAuthToken(access_token="b")
    store.save_token(fleeting)
    for refresh_token, access_token in (("s", "b"), ("r", "c")):
        store.save_token(OAuthToken("client", "secret", None, refresh_token, None, fleeting.get_id(), access_token))
    assert len(store.get_tokens()) == 1
    assert [progress.seen for progress in store.rotate_keys()][-1] == 1
    assert store.find_token(OAuthToken("client", "secret", grant_token="g")) is None
    store.delete_tokens()


def keep_near(make_store: Callable[..., RedisTokenStore], zoho: FakeZoho) -> None:
    """Look up what the near cache has, while the feed reads and compares, and what is refreshed meanwhile."""
    environment = SimpleNamespace(url=zoho.url, accounts_url=f"{zoho.url}/oauth/v2/token")
    store = make_store(refresh="managed", near_cache=True, environment=environment)
    token = OAuthToken(zoho.client_id, zoho.client_secret, refresh_token=zoho.issue_refresh_token())
    token_id = store.find_token(token).get_id()
    began = time.monotonic()
    while store.stats()["near_hits"] == 0 or time.monotonic() < began + 2:
        assert store.find_token_by_id(token_id).get_access_token()
        assert time.monotonic() < began + 30, "the event feed does not get its answers"
        time.sleep(0.01)


def decline(make_store: Callable[..., RedisTokenStore]) -> None:
    """Be elected without knowing where to ask Zoho, and give the lease back."""
    token = make_token(refresh_token="r", client_id="client", client_secret="secret")
    make_store().save_token(token)
    with pytest.raises(ConfigurationError):
        make_store(refresh="managed").find_token_by_id(token.get_id())


def words_of(command: str, arity: int) -> list[str]:
    """Return a command with as many arguments as it wants at least."""
    words = command.split("|")
    return words + ["zts:{crm}:x"] * (abs(arity) - len(words))


def commands_of(admin: redis.Redis) -> Iterator[tuple[str, list[str]]]:
    """Yield every command of a server that a user may be kept from, subcommands too, and how it can be called."""
    for name, about in admin.command().items():
        if "no_auth" in about["flags"]:
            continue
        subcommands = about.get("subcommands") or ()
        for each in subcommands:
            subcommand = each[0].decode() if isinstance(each[0], bytes) else each[0]
            yield subcommand, words_of(subcommand, each[1])
        if not subcommands:
            yield name, words_of(name, about["arity"])


@by_role
def test_every_other_command_is_refused(place: Place, role: str) -> None:
    """Of all that the server knows: FLUSHALL, KEYS, CONFIG, MONITOR, DEBUG, SCRIPT FLUSH, ACL and two hundred more."""
    allowed = place.allowed(role)
    with place.server.client(decode_responses=True) as admin:
        commands = dict(commands_of(admin))
    if place.server.binary.version < (7, 0):  # which names no subcommands
        parents = ("client", "cluster", "command", "xinfo", "memory")
        commands |= {f"{name}|x": [name, "x", "x"] for name in parents}
        for name in parents:
            del commands[name]
    assert len(commands) > 200
    connection = place.connection(role)
    for name in sorted(commands.keys() - allowed):
        connection.send_command(*commands[name])
        with pytest.raises(redis.ResponseError, match=r"(?i)no permission"):
            pytest.fail(f"{name}: {connection.read_response()}")
    assert {"flushall", "flushdb", "keys", "monitor", "debug", "eval_ro", "publish"} & allowed == set()


FOREIGN = [
    "zts:{other}:ids",
    "zts:{crm}x:ids",
    "zts:{crm.b}:ids",
    "zts:{crm}",
    "other:{crm}:ids",
    "x:zts:{crm}:ids",
    "ZTS:{crm}:ids",
    "zts:{CRM}:ids",
    "zts:crm:ids",
    "zts:{crm}\0:ids",
    "{crm}",
    "",
]


@by_role
def test_every_other_key_is_refused(place: Place, role: str) -> None:
    """Those of other namespaces, other prefixes, and names that look alike; to read or to write, by a script too."""
    connection = place.connection(role)

    def refuses(*words: str) -> None:
        connection.send_command(*words)
        with pytest.raises(redis.ResponseError, match=r"(?i)permission|ACL failure|can't access"):
            pytest.fail(f"{words}: {connection.read_response()}")

    for key in FOREIGN:
        refuses("GET", key)
        refuses("SET", key, "1")
        refuses("DEL", "zts:{crm}:mine", key)
        refuses("XREAD", "STREAMS", key, "0")
        refuses("EVAL", "return redis.call('GET', KEYS[1])", "1", key)
        refuses("EVAL", "return redis.call('GET', ARGV[1])", "0", key)
    connection.send_command("SET", "zts:{crm}:mine", "1")
    assert connection.read_response() == b"OK"


@by_role
def test_a_script_may_do_no_more(place: Place, role: str) -> None:
    """What the user may not do it may not do by EVAL either."""
    connection = place.connection(role)
    for call in (
        "'FLUSHALL'",
        "'KEYS', '*'",
        "'CONFIG', 'GET', '*'",
        "'PUBLISH', 'a', 'b'",
        "'HGETALL', 'zts:{crm}:a'",
    ):
        connection.send_command("EVAL", f"return redis.call({call})", "0")
        with pytest.raises(redis.ResponseError, match=r"(?i)permission|ACL failure|can't run|not allowed from script"):
            pytest.fail(f"{call}: {connection.read_response()}")


def test_an_operator_sees_names_and_no_more(place: Place) -> None:
    """SCAN tells the names of all keys, as the document says; other namespaces' contents are out of reach."""
    with place.server.client() as admin:
        admin.set("zts:{other}:token:1", "secret")
    with client_for(place.url("operator"), decode_responses=True) as client:
        assert list(client.scan_iter("zts:{other}:*")) == ["zts:{other}:token:1"]
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.memory_usage("zts:{other}:token:1")
        client.set("zts:{crm}:token:1", "ours")
        assert client.memory_usage("zts:{crm}:token:1")


SIGNALLED = ("refresher", "watch")
"""Commands that change what this process does on signals."""


def run_apart(arguments: list[str], environment: dict[str, str], answer: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own, which takes a second or two."""
    return subprocess.run(
        [*PROGRAM, *arguments], env=environment, input=answer, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("place", [newest_binary()], ids=lambda binary: binary.name, indirect=True)
def test_an_operator_can_run_every_command(place: Place, zoho: FakeZoho) -> None:
    """Each command of `zoho-tokens` that needs the store's Redis works, and nothing that it asks for is refused."""
    refresh_token = zoho.issue_refresh_token()
    client = {"client_id": zoho.client_id, "client_secret": zoho.client_secret}
    token = make_token(user="ada", refresh_token=refresh_token, **client)
    with RedisTokenStore.from_url(place.url("operator"), "crm") as store:
        store.save_token(token)
        for number in range(1, 4):
            spare = zoho.issue_refresh_token()
            store.save_token(make_token(id=f"spare-{number}", refresh_token=spare, **client))
    with place.server.client() as admin:
        admin.hset("zts:{crm}:token:spare-1", "spares", "no list")
    calls = {
        "delete": ["spare-1", "--unreadable", "--yes"],
        "audit": ["--repair"],
        "find": ["ada"],
        "invalidate": ["spare-3"],
        "list": ["--json"],
        "login": ["--client-id", zoho.client_id, "--accounts-url", zoho.url, "--crm-url", zoho.url],
        "purge": ["--user", "nobody", "--yes"],
        "doctor": ["--json"],
        "migrate": [place.url("operator"), "memory://", "--apply"],
        "refresher": ["--once", "--accounts-url", zoho.url, "--crm-url", zoho.url],
        "revoke": ["spare-2", "--accounts-url", zoho.url, "--crm-url", zoho.url],
        "rotate-keys": ["--json"],
        "show": [token.get_id()],
        "stats": ["--json"],
        "top": ["--once"],
        "watch": ["--no-follow"],
    }
    assert command.commands.keys() - {"acl", "completion", "demo", "keygen"} == calls.keys(), (
        "another command: try it here too"
    )
    named = {"ZOHO_TOKEN_STORE_URL": place.url("operator"), "ZOHO_TOKEN_STORE_NAMESPACE": "crm"}
    environment = os.environ | named | {"NO_PROXY": "127.0.0.1"}
    for name, arguments in calls.items():
        answers = f"{zoho.client_secret}\n{zoho.issue_grant_code()}\n" if name == "login" else ""
        done = (run_apart if name in SIGNALLED else run_here)([name, *arguments], environment, answers)
        # The server of this test keeps nothing on disk and lets everybody in, and the doctor says so.
        assert done.returncode == (3 if name == "doctor" else 0), done.stderr
    with place.server.client() as admin:
        assert admin.acl_log() == []
