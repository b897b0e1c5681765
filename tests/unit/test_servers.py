"""The table of real servers, and what a test may do to one."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

import servers
from servers import Backend, Server, ServerPool, client_for, find_binaries, identify, newest_binary

TESTS = Path(servers.__file__).parent

ORPHAN = """
import os, signal
from servers import Server
server = Server().start()
print(server._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

FORKED = """
import os, sys
from servers import Server
server = Server().start()
if os.fork() == 0:
    sys.exit()  # runs the exit handlers that the parent registered
os.wait()
print(server.client().ping())
"""


def script(path: Path, text: str) -> str:
    """Write an executable shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent's look does not."""
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() not in ("", "Z")


def becomes(condition: Callable[[], bool], at_most: float = 30.0) -> bool:
    """Wait for a condition."""
    deadline = time.monotonic() + at_most
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_at_least_one_server_is_found() -> None:
    """The names are made of what the binaries say, and none is older than what the store supports."""
    assert find_binaries()
    for name, binary in find_binaries().items():
        assert name == binary.name == f"{binary.family}-{binary.version[0]}.{binary.version[1]}"
        assert binary.version >= (6, 2)
        assert identify(binary.path) == binary


def test_the_newest_is_a_redis_when_there_is_one() -> None:
    """Expensive tests run on the newest Redis; a Valkey has numbers of its own."""
    newest = newest_binary()
    redises = [binary.version for binary in find_binaries().values() if binary.family == "redis"]
    assert not redises or (newest.family, newest.version) == ("redis", max(redises))


@pytest.mark.parametrize(
    ("banner", "name"),
    [
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0", "redis-7.0"),
        ("Valkey server v=8.1.8 sha=00000000:1 malloc=libc bits=64 build=7eb4ebc9d7e91f4e", "valkey-8.1"),
    ],
)
def test_identify_reads_the_banner(tmp_path: Path, banner: str, name: str) -> None:
    """Family, major and minor number come from ``--version``."""
    binary = identify(script(tmp_path / "server", f"echo '{banner}'"))
    assert binary is not None
    assert binary.name == name


def test_identify_refuses_what_is_no_server(tmp_path: Path) -> None:
    """Other programs, missing ones and those for another machine are left out, not reported as errors."""
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x7fELF")
    garbage.chmod(0o700)
    assert identify(script(tmp_path / "other", "echo hello")) is None
    assert identify(str(tmp_path / "missing")) is None
    assert identify(str(garbage)) is None


def test_override_replaces_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the only servers to use; of one name the first counts, and too old ones do not."""
    paths = [
        script(tmp_path / name, f"echo '{banner}'")
        for name, banner in (
            ("a", "Redis server v=9.1.0"),
            ("b", "Redis server v=9.1.4"),
            ("c", "Redis server v=6.0.9"),
        )
    ]
    monkeypatch.setenv(servers.OVERRIDE, os.pathsep.join(paths))
    found = find_binaries.__wrapped__()
    assert {name: binary.path for name, binary in found.items()} == {"redis-9.1": paths[0]}


def test_a_session_without_a_server_fails() -> None:
    """No server is a failure with advice, not a heap of skipped tests."""
    environment = {**os.environ, servers.OVERRIDE: "/nowhere/redis-server"}
    arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(arguments, cwd=TESTS.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert all(wheel in done.stdout + done.stderr for wheel in servers.WHEELS)


def test_each_server_answers(server: Backend) -> None:
    """Every server, by both protocols, is empty, is what its name says, and speaks the protocol asked for."""
    client = server.client(decode_responses=True)
    info = client.info("server")
    version = info.get("valkey_version", info["redis_version"])
    assert client.dbsize() == 0
    assert server.name.startswith(f"{'valkey' if 'valkey_version' in info else 'redis'}-{version.rpartition('.')[0]}-")
    hello = client.execute_command("HELLO")
    reply = hello if isinstance(hello, dict) else dict(zip(hello[::2], hello[1::2], strict=True))
    assert int(reply["proto"]) == server.protocol
    client.set("left", "over")
    assert client_for(server.url).get("left") == b"over"


def test_backends_keep_their_data_together(backend: Backend, namespace: str) -> None:
    """Two clients of one back end see each other's writes, and so does a look underneath; scripts run there."""
    key = f"zts:{{{namespace}}}:a"
    backend.client().set(key, 1)
    assert backend.client().eval("return redis.call('GET', KEYS[1])", 1, key) == b"1"
    assert backend.admin().get(key) == b"1"


def test_a_limited_back_end_says_what_was_refused(server_pool: ServerPool) -> None:
    """Its clients reach the namespaces that they are let into and no other; what else they try fails the test."""
    context = server_pool.backend(newest_binary().name + servers.WITH_ACL, 2, "crm")
    limited = context.__enter__()
    limited.client().set("zts:{crm}:a", 1)
    limited.admit("hr")
    limited.client().set("zts:{hr}:a", 1)
    client_for(limited.url).set("zts:{crm}:a", 2)
    assert limited.admin().get("zts:{crm}:a") == b"2"
    with pytest.raises(redis.exceptions.NoPermissionError):
        limited.client().flushall()
    with pytest.raises(AssertionError, match="flushall"):
        context.__exit__(None, None, None)


def test_fakeredis_is_of_one_test(fake: Backend) -> None:
    """A fakeredis starts empty, has no URL, and no server to kill."""
    assert fake.client().dbsize() == 0
    assert fake.server is None
    with pytest.raises(LookupError):
        _ = fake.url


def test_pause_and_resume(real_server: Server) -> None:
    """A paused server is silent and goes on as if nothing had been."""
    real_server.client().set("a", 1)
    with real_server.paused(), pytest.raises(redis.TimeoutError):
        real_server.client(socket_timeout=0.05).get("a")
    assert real_server.client().get("a") == b"1"


def test_restart_keeps_address_and_append_only_file(start_server: Callable[..., Server]) -> None:
    """A server that crashed comes back on its socket and port, with what it has on disk."""
    server = start_server(arguments=["--appendonly", "yes", "--appendfsync", "always"], tcp=True)
    server.client().set("a", 1)
    server.kill()
    assert not server.running
    with pytest.raises(redis.ConnectionError):
        server.client().ping()
    server.start()
    assert server.client().get("a") == b"1"
    assert client_for(server.tcp_url).get("a") == b"1"


def test_reset_mends_what_a_test_broke(start_server: Callable[..., Server]) -> None:
    """The next test gets a running, empty server, after a pause and after a kill."""
    server = start_server()
    server.client().set("a", 1)
    server.pause()
    server.reset()
    assert server.client().dbsize() == 0
    server.kill()
    server.reset()
    assert server.client().ping()


def test_password(start_server: Callable[..., Server]) -> None:
    """A password is asked for, and stands in the URLs."""
    server = start_server(password="open-sesame", tcp=True)
    assert client_for(server.tcp_url).ping()
    with pytest.raises(redis.AuthenticationError):
        client_for(f"unix://{server.socket_path}").ping()


def test_extra_arguments(start_server: Callable[..., Server]) -> None:
    """Arguments reach the server: this one is full at once."""
    server = start_server(arguments=["--maxmemory", "1mb", "--maxmemory-policy", "noeviction"])
    with pytest.raises(redis.ResponseError, match="used memory > 'maxmemory'"):
        server.client().set("a", "x" * 1_000_000)
    assert server.client().config_get("maxmemory") == {"maxmemory": "1048576"}


def test_a_server_that_cannot_start_says_why() -> None:
    """The error holds what the server printed."""
    server = Server(arguments=["--no-such-option", "1"])
    try:
        with pytest.raises(RuntimeError, match="no-such-option"):
            server.start()
    finally:
        server.stop()


def test_stop_leaves_nothing(start_server: Callable[..., Server]) -> None:
    """Neither process nor directory outlives a server; stopping it again does no harm."""
    server = start_server()
    server.stop()
    server.stop()
    assert not server.running
    assert not server.directory.exists()


def test_a_server_dies_with_a_killed_test_run() -> None:
    """Not even a SIGKILL of the test run leaves a server behind."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run([sys.executable, "-c", ORPHAN], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    assert becomes(lambda: not alive(pid))


def test_a_forked_child_leaves_the_server_alone() -> None:
    """The exit handlers of a forked worker must not stop what belongs to its parent."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run([sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
