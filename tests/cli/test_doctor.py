"""``zoho-tokens doctor``: each check on a server, or in a process, that is really set up so; and where it is quiet."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from certificates import Authority
from cli.program import PROGRAM, run_here, until
from contract.tokens import make_token
from integration.fleet import wait_until
from servers import Binary, Server, find_binaries, newest_binary
from topologies import SERVICE, Watcher
from zoho_token_store import RedisTokenStore, acl
from zoho_token_store.cli.doctor.checks import CHECKS, findings
from zoho_token_store.cli.doctor.facts import Facts, Keys, Way
from zoho_token_store.cli.doctor.gather import TRIED, without_credentials
from zoho_token_store.keyring import new_key
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.script import FOR_WORKERS

KEY, OTHER_KEY, POINTER_KEY = new_key(), new_key(), new_key()
PASSWORD = "pa55word-of-redis"
SOUND = ("--appendonly", "yes", "--maxmemory-policy", "noeviction", "--maxmemory", "200mb")
KEYS = {"ZOHO_TOKEN_STORE_KEYS": KEY, "ZOHO_TOKEN_STORE_POINTER_KEYS": POINTER_KEY}

Found = dict[str, dict[str, str]]


def _run_apart(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=60)


class Patient:
    """A server, and how the command is run on it.

    Args:
        server: The server.
        folder: Where modules may be put that the command finds before others.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self._folder = folder
        self.url = server.url
        self.variables = {"ZOHO_TOKEN_STORE_NAMESPACE": "crm"}
        self._run = run_here

    def put(self, name: str, text: str) -> None:
        """Put a file where the command's Python finds it first."""
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        self._run = _run_apart

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command; it says nothing that is secret."""
        path = os.pathsep.join([str(self._folder), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"ZOHO_TOKEN_STORE_URL": self.url, "PYTHONPATH": path} | self.variables
        done = self._run(["doctor", *arguments], environment)
        assert "Traceback" not in done.stderr
        assert not [secret for secret in (KEY, POINTER_KEY, PASSWORD) if secret in done.stdout + done.stderr]
        return done

    def found(self, *arguments: str) -> Found:
        """Return what was found, by the name of the check; the exit status is as it should be."""
        done = self.run("--json", *arguments)
        found = {each["check"]: each for each in json.loads(done.stdout)}
        gravest = {each["severity"] for each in found.values()}
        assert done.returncode == (3 if "danger" in gravest else 1 if "warning" in gravest else 0)
        return found

    def severity(self, check: str) -> str:
        """Return how grave a check finds it."""
        return self.found()[check]["severity"]


@pytest.fixture
def start(start_server: Callable[..., Server], tmp_path: Path) -> Callable[..., Patient]:
    """Start a server with some options, by default one with which all is well."""

    def start(*more: str, password: str = PASSWORD, tcp: bool = False) -> Patient:
        server = start_server(None, (*SOUND, *more), password=password, tcp=tcp)
        return Patient(server, tmp_path)

    return start


@pytest.fixture
def sound(start: Callable[..., Patient]) -> Patient:
    """Give a server with which all is well, and a worker with keys."""
    patient = start()
    patient.variables |= KEYS
    with RedisTokenStore.from_url(patient.url, "crm", encryption_keys=[KEY], pointer_keys=[POINTER_KEY]) as store:
        store.save_token(make_token("ada", refresh="rt", access="at"))
    return patient


def test_nothing_is_found_where_all_is_well(sound: Patient) -> None:
    """Each check keeps quiet, and the exit status is 0; nothing is written."""
    with sound.server.client() as client:
        before = sorted(client.scan_iter())
    assert sound.found() == {}
    assert sound.run().stdout == f"{len(CHECKS)} checks, nothing found\n"
    with sound.server.client() as client:
        assert sorted(client.scan_iter()) == before


def test_what_has_ended_is_left_where_it_is(sound: Patient) -> None:
    """Ids of records that have ended by themselves stay listed, and records behind them are seen all the same."""
    keys = Keyspace("crm")
    with sound.server.client(decode_responses=True) as client:
        (listed,) = client.zrange(keys.ids, 0, -1)
        ended = {f"-{number:03}": 0 for number in range(300)}
        client.zadd(keys.ids, ended)
        client.zadd(keys.expiring, dict.fromkeys(ended, 1))
        assert sound.found() == {}
        assert client.zrange(keys.ids, 0, -1) == [*ended, listed]
        assert client.zcard(keys.expiring) == len(ended)
    del sound.variables["ZOHO_TOKEN_STORE_KEYS"]
    assert sound.severity("missing-keys") == "danger"


@pytest.mark.parametrize(
    ("options", "check", "severity"),
    [
        (["--maxmemory-policy", "allkeys-lru"], "eviction", "danger"),
        (["--maxmemory-policy", "volatile-ttl"], "eviction", "warning"),
        (["--maxmemory-policy", "allkeys-lru", "--maxmemory", "0"], "eviction", "warning"),
        (["--maxmemory-policy", "volatile-ttl", "--maxmemory", "0"], "eviction", "hint"),
        (["--appendonly", "no"], "persistence", "danger"),
        (["--maxmemory", "40mb"], "memory", ""),
        (["--rename-command", "XREAD", ""], "commands", "danger"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_of_the_server(start: Callable[..., Patient], options: list[str], check: str, severity: str) -> None:
    """What is set so on a server is found."""
    patient = start(*options)
    if check == "memory":
        fill(patient.server, 0.8)
        assert patient.severity(check) == "warning"
        fill(patient.server, 0.95)
        severity = "danger"
    found = patient.found()
    assert found.keys() == {check}
    assert found[check]["severity"] == severity


def fill(server: Server, share: float) -> None:
    """Use up a share of the memory that a server may use."""
    with server.client() as client:
        while client.info("memory")["used_memory"] < share * client.info("memory")["maxmemory"]:
            client.append("zts:{crm}:events-of-old", b"x" * 200_000)


def test_replicas(start: Callable[..., Patient]) -> None:
    """Fewer than saves wait for are a danger, just as many a hint; where none is waited for there is nothing to say."""
    patient = start(tcp=True, password="")
    with patient.server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "default", f">{PASSWORD}")
    patient.url = f"unix://:{PASSWORD}@{patient.server.socket_path}"
    replica = start("--replicaof", f"127.0.0.1 {patient.server.port}", "--masterauth", PASSWORD).server
    with replica.client() as client:
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the replica follows")
    severities = [
        patient.found("--min-replicas", str(number)).get("replicas", {}).get("severity") for number in (0, 1, 2)
    ]
    assert severities == [None, "hint", "danger"]


@pytest.fixture
def follow(start_server: Callable[..., Server]) -> Callable[..., None]:
    """Start a replica of a server."""

    def follow(master: Server, *options: str) -> None:
        where = ("--replicaof", "127.0.0.1", str(master.port), "--masterauth", PASSWORD)
        replica = start_server(master.binary, (*options, *where), password=PASSWORD)
        with replica.client() as client:
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the replica follows")
        with master.client() as client:
            wait_until(lambda: client.execute_command("WAIT", 1, 100), "the master knows")

    return follow


@pytest.mark.parametrize(
    ("options", "replica", "said"),
    [
        ((), ("--appendonly", "yes"), ""),
        (("--appendfsync", "no"), ("--appendonly", "yes"), "the server has not confirmed"),
        ((), (), "0 of 1 replicas have confirmed"),
    ],
    ids=["all is well", "appendfsync no", "a replica without a file"],
)
def test_what_never_is_on_disk(
    start: Callable[..., Patient],
    follow: Callable[..., None],
    options: tuple[str, ...],
    replica: tuple[str, ...],
    said: str,
) -> None:
    """A save would wait for that in vain; who waits for no replicas has nothing to fear."""
    patient = start("--repl-diskless-sync-delay", "0", *options, tcp=True)
    follow(patient.server, *replica)
    assert patient.found() == {}
    found = patient.found("--min-replicas", "1")
    assert found.keys() - {"on-disk"} == {"replicas"}
    assert found.get("on-disk", {}).get("severity") == ("danger" if said else None)
    assert said in found.get("on-disk", {}).get("what", "")


def test_an_older_server_is_not_asked_what_is_on_disk(
    start_server: Callable[..., Server], follow: Callable[..., None], tmp_path: Path
) -> None:
    """Before Redis 7.2 replicas count that have a save in memory, and `appendfsync no` does not matter to them."""
    binary = next(iter(find_binaries().values()))
    if binary.version >= (7, 2):
        pytest.skip("there is no server older than Redis 7.2")
    options = ("--appendfsync", "no", "--repl-diskless-sync-delay", "0")
    patient = Patient(start_server(binary, (*SOUND, *options), password=PASSWORD, tcp=True), tmp_path)
    follow(patient.server)
    assert patient.found("--min-replicas", "1").keys() == {"replicas"}


def test_credentials_are_left_out() -> None:
    """Of whatever URL, in whatever place."""
    for url, bare in (
        ("redis://ada:pw@host:1/0?protocol=3&password=x", "redis://host:1/0?protocol=3"),
        ("unix://:pw@/a/b?username=x&db=1", "unix:///a/b?db=1"),
        ("redis+cluster://:pw@a:1,b:2", "redis+cluster://a:1,b:2"),
        ("redis://host", "redis://host"),
    ):
        assert without_credentials(url) == bare


def test_snapshots_alone(start: Callable[..., Patient]) -> None:
    """They are better than nothing, and less than an append-only file."""
    patient = start("--appendonly", "no")
    with patient.server.client() as client:
        info = client.info()
        assert patient.severity("persistence") == "danger"
        until(lambda: client.info()["uptime_in_seconds"] >= 4)
        client.save()
        assert client.info()["rdb_last_save_time"] > info["rdb_last_save_time"]
    assert patient.severity("persistence") == "warning"


def test_the_way_there(start: Callable[..., Patient]) -> None:
    """An address that is not this machine's own, for all that is known, needs TLS; a loopback address does not."""
    patient = start(tcp=True)
    for host, expected in (("127.0.0.1", set()), ("localhost", set()), ("0.0.0.0", {"encryption"})):
        patient.url = f"redis://:{PASSWORD}@{host}:{patient.server.port}/0"
        assert patient.found().keys() == expected, host


def test_the_way_behind_a_sentinel(start: Callable[..., Patient]) -> None:
    """A Sentinel on this machine may name a master that is elsewhere, for all that is known: that way counts too."""
    patient = start(tcp=True)
    for host, expected in (("127.0.0.1", set()), ("0.0.0.0", {"encryption"})):
        watcher = Watcher(newest_binary(), patient.server)
        config = watcher.directory / "sentinel.conf"
        text = config.read_text("utf-8").replace(f"{SERVICE} 127.0.0.1", f"{SERVICE} {host}")
        config.write_text(f"{text}sentinel auth-pass {SERVICE} {PASSWORD}\n", "utf-8")
        with watcher:
            patient.url = f"redis+sentinel://:{PASSWORD}@127.0.0.1:{watcher.port}/{SERVICE}"
            assert patient.found().keys() == expected, host


def test_tls(start_server: Callable[..., Server], tls_binary: Binary, authority: Authority, tmp_path: Path) -> None:
    """With it all is well; not if nothing is verified."""
    server = start_server(tls_binary, (*authority.server_options(authority.issue("server")), *SOUND), tls=True)
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "worker", *acl.worker("crm"), "+scan", f">{PASSWORD}")
        admin.execute_command("ACL", "SETUSER", "default", "reset", "on", "nopass", "+ping")
    patient = Patient(server, tmp_path)
    url = f"rediss://worker:{PASSWORD}@127.0.0.1:{server.port}/0"
    patient.url = f"{url}?ssl_ca_certs={authority.path}"
    assert patient.found() == {}
    patient.url = f"{url}?ssl_cert_reqs=none"
    assert patient.severity("encryption") == "warning"


@pytest.mark.parametrize(("host", "severity"), [("127.0.0.1", "warning"), ("0.0.0.0", "danger")])
def test_a_default_user_without_password(start: Callable[..., Patient], host: str, severity: str) -> None:
    """It is found by a worker without a password, and by one that has a user of its own."""
    patient = start("--protected-mode", "no", password="", tcp=True)
    with patient.server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "worker", *acl.worker("crm"), "+scan", f">{PASSWORD}")
    for user in ("", f"worker:{PASSWORD}@"):
        patient.url = f"redis://{user}{host}:{patient.server.port}/0"
        assert patient.severity("default-user") == severity
    with patient.server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "default", "resetkeys", "-@all", "+ping")
    assert "default-user" not in patient.found()


@pytest.mark.parametrize(("ahead", "side"), [(5, "ahead of"), (-5, "behind")])
def test_a_clock_that_is_wrong(sound: Patient, ahead: float, side: str) -> None:
    """Either way; half a second is none."""
    shift = "import time\nreal = time.time\ntime.time = lambda: real() + {}\n"
    sound.put("sitecustomize.py", shift.format(0.5))
    assert sound.found() == {}
    sound.put("sitecustomize.py", shift.format(ahead))
    found = sound.found()["clock"]
    assert found["severity"] == "warning"
    assert f"s {side} that of Redis" in found["what"]


def test_records_in_the_clear(sound: Patient) -> None:
    """A store with keys refuses them; with `migrate_plaintext` it seals them."""
    with RedisTokenStore.from_url(sound.url, "crm") as store:
        store.save_token(make_token("bob", refresh="rt-bob"))
    assert sound.severity("plain-records") == "danger"
    sound.variables["ZOHO_TOKEN_STORE_MIGRATE_PLAINTEXT"] = "1"
    assert sound.severity("plain-records") == "warning"


def test_keys_that_are_not_there(sound: Patient) -> None:
    """None, or others; with both all is well."""
    del sound.variables["ZOHO_TOKEN_STORE_KEYS"]
    assert sound.severity("missing-keys") == "danger"
    sound.variables["ZOHO_TOKEN_STORE_KEYS"] = OTHER_KEY
    assert sound.severity("missing-keys") == "danger"
    sound.variables["ZOHO_TOKEN_STORE_KEYS"] = f"{OTHER_KEY},{KEY}"
    assert sound.found() == {}


@pytest.mark.parametrize("given", ["", "plain", f"{POINTER_KEY},plain"], ids=["none", "plain", "plain beside a key"])
def test_pointers_without_a_key(sound: Patient, given: str) -> None:
    """Also beside others: whoever can list keys needs only one of them."""
    sound.variables["ZOHO_TOKEN_STORE_POINTER_KEYS"] = given
    assert sound.severity("plain-pointers") == "warning"


def test_neighbours(sound: Patient) -> None:
    """Other namespaces are a hint, keys of something else a warning; another database is nobody's business."""
    with sound.server.client(db=1) as client:
        client.set("session:1", "x")
    assert sound.found() == {}
    with sound.server.client() as client:
        client.set("zts:{other}:calls:x", "1")
        assert sound.severity("neighbours") == "hint"
        client.set("session:1", "x")
    assert sound.severity("neighbours") == "warning"


@pytest.mark.parametrize("command", ["hset", "zadd", "del", "xadd", "get", "time", "eval", "xread", "zcard"])
def test_rights_that_are_missing(sound: Patient, command: str) -> None:
    """Each command that the worker's rules have and a user does not, inside of scripts and outside."""
    with sound.server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "worker", *acl.worker("crm"), "+scan", f">{PASSWORD}")
        sound.url = f"unix://worker:{PASSWORD}@{sound.server.socket_path}"
        assert sound.found() == {}
        admin.execute_command("ACL", "SETUSER", "worker", f"-{command}")
        found = sound.found()["rights"]
        assert found["severity"] == "danger"
        assert f" {command.upper()}" in found["what"]
        assert not admin.exists("zts:{crm}:nothing")


def test_the_right_to_wait_for_replicas(sound: Patient) -> None:
    """It is tried if saves wait for them: without WAIT they all fail, without WAITAOF they count what is in memory."""
    sound.url = f"unix://worker:{PASSWORD}@{sound.server.socket_path}"
    for rules, expected in (
        (["+waitaof"], {}),
        ([], {"on-disk": "warning"}),
        (["+waitaof", "-wait"], {"rights": "danger"}),
    ):
        with sound.server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "worker", *acl.worker("crm"), "+scan", f">{PASSWORD}", *rules)
        assert sound.found() == {}
        found = {name: each["severity"] for name, each in sound.found("--min-replicas", "1").items()}
        del found["replicas"]
        assert found == expected, rules


def test_what_a_worker_may_not_ask(sound: Patient) -> None:
    """Is said to be unknown, and is no warning."""
    with sound.server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "worker", *acl.worker("crm"), "-info", f">{PASSWORD}")
    sound.url = f"unix://worker:{PASSWORD}@{sound.server.socket_path}"
    found = sound.found()
    assert found.keys() == {"unknown"}
    assert "what INFO says; what else is in the database" in found["unknown"]["what"]


def test_every_command_of_the_scripts_is_tried() -> None:
    """The table of trials has what scripts run."""
    scripts = acl._needed(FOR_WORKERS) - {*acl.SENT, *acl.ON_CLUSTERS, *acl.GREETING}
    assert TRIED.keys() - {"TIME"} == scripts - {"TIME"}


@pytest.mark.parametrize(("package", "severity"), [("hiredis", "hint"), ("cryptography", "danger")])
def test_packages_that_are_missing(sound: Patient, package: str, severity: str) -> None:
    """The one that is faster is a hint, the one that opens records is not."""
    hide = "import sys, importlib.util as u\nreal = u.find_spec\nsys.modules[{0!r}] = None\n"
    hide += "u.find_spec = lambda name, *rest: None if name == {0!r} else real(name, *rest)\n"
    sound.put("sitecustomize.py", hide.format(package))
    assert {name: each["severity"] for name, each in sound.found().items()} == {package: severity}


@pytest.mark.parametrize("name", ["zohocrmsdk2-0", "zcrmsdk", "zohocrmsdk7-0"])
def test_other_sdks(sound: Patient, name: str) -> None:
    """One with another store interface, or a second one of ours, is a warning beside the one that is used."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    sound.put(f"{name.replace('-', '_')}-1.0.dist-info/METADATA", metadata)
    found = sound.found()
    assert {name: each["severity"] for name, each in found.items()} == {"sdk": "warning"}
    assert name in found["sdk"]["what"]


def test_a_server_that_is_too_old() -> None:
    """There is none to try it on: by what it would say."""
    base = Facts(Way(local=True), keys=Keys(plain_pointers=False), packages=frozenset({"hiredis"}))
    for version, checks in (("6.0.16", ["version"]), ("6.2.0", []), ("7.0", []), ("8.2.3", []), ("", [])):
        facts = replace(base, info={"redis_version": version})
        assert [finding.check for finding in findings(facts)] == checks


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ZOHO_TOKEN_STORE_URL": "http://nowhere"}, "url: must start with"),
        ({"ZOHO_TOKEN_STORE_KEYS": "short"}, "encryption_keys: a key must be"),
        ({"ZOHO_TOKEN_STORE_NAMESPACE": "a b"}, "namespace: must be"),
    ],
)
def test_what_cannot_be_used(sound: Patient, variables: dict[str, str], said: str) -> None:
    """Ends with status 2."""
    sound.url = variables.pop("ZOHO_TOKEN_STORE_URL", sound.url)
    sound.variables |= variables
    done = sound.run()
    assert done.returncode == 2
    assert said in done.stderr


def test_a_redis_that_is_not_there(sound: Patient) -> None:
    """Ends with a status of its own."""
    sound.url = "unix:///nowhere"
    done = sound.run()
    assert (done.returncode, done.stdout) == (4, "")
    assert "does not answer" in done.stderr


def test_a_password_that_is_wrong(sound: Patient) -> None:
    """Is said, and not shown."""
    sound.url = f"unix://:{PASSWORD}-not@{sound.server.socket_path}"
    done = sound.run()
    assert (done.returncode, done.stdout) == (4, "")
    assert "does not accept the user name or the password" in done.stderr


def test_what_it_prints(start: Callable[..., Patient]) -> None:
    """The gravest first, with a remedy each."""
    patient = start("--maxmemory-policy", "allkeys-lru")
    done = patient.run()
    assert done.returncode == 3
    assert done.stdout.startswith("DANGER   eviction: with maxmemory-policy allkeys-lru a Redis that is full throws")
    assert "\n         -> CONFIG SET maxmemory-policy noeviction" in done.stdout
    assert done.stdout.endswith(f"{len(CHECKS)} checks, 1 found\n")
