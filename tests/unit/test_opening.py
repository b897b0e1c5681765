"""`open_store`: the store that a URL names, and no other in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.tokens import make_token
from servers import Server
from zoho_token_store import (
    ConfigurationError,
    MemoryTokenStore,
    RedisTokenStore,
    SQLiteTokenStore,
    StoreUnavailable,
    open_store,
)
from zoho_token_store.keyring import new_key

PASSWORD = "pa55word-in-a-url"


def test_redis(real_server: Server, namespace: str) -> None:
    """A Redis URL is a Redis store."""
    with open_store(real_server.url, namespace, lease_ttl=4) as store:
        assert type(store) is RedisTokenStore
        store.ping()


def test_an_absolute_file(tmp_path: Path) -> None:
    """Four slashes."""
    with open_store(f"sqlite:///{tmp_path}/tokens.db") as store:
        assert type(store) is SQLiteTokenStore
        store.save_token(make_token("ada", refresh="rt"))
    assert (tmp_path / "tokens.db").exists()


def test_a_relative_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes: beside the working directory."""
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite:///tokens.db", "crm") as store:
        store.ping()
    assert (tmp_path / "tokens.db").exists()


def test_memory() -> None:
    """Each call is a memory of its own."""
    with open_store("memory://") as one, open_store("memory://") as other:
        assert type(one) is MemoryTokenStore
        one.save_token(make_token("ada", refresh="rt"))
        assert other.get_tokens() == []


def test_the_environment(tmp_path: Path) -> None:
    """URL, namespace and keys come from there; options from the call."""
    key = new_key()
    environ = {
        "ZOHO_TOKEN_STORE_URL": f"sqlite:///{tmp_path}/tokens.db",
        "ZOHO_TOKEN_STORE_NAMESPACE": "crm",
        "ZOHO_TOKEN_STORE_KEYS": key,
        "ZOHO_TOKEN_STORE_POINTER_KEYS": new_key(),
    }
    with open_store(environ=environ, tombstone_ttl=60) as store:
        store.save_token(make_token("ada", refresh="rt-secret"))
    stored = (tmp_path / "tokens.db").read_bytes()
    assert b"crm" in stored
    assert b"rt-secret" not in stored


def test_keys_of_the_environment_do_not_keep_one_from_memory() -> None:
    """They say nothing about a store that has nothing to seal."""
    with open_store(environ={"ZOHO_TOKEN_STORE_URL": "memory://", "ZOHO_TOKEN_STORE_KEYS": new_key()}) as store:
        assert type(store) is MemoryTokenStore


def test_without_a_url() -> None:
    """The error names the variable."""
    with pytest.raises(ConfigurationError, match="ZOHO_TOKEN_STORE_URL"):
        open_store(environ={})


def test_redis_needs_a_namespace() -> None:
    """A server is shared: there is no default."""
    with pytest.raises(ConfigurationError) as caught:
        open_store("redis://localhost", environ={})
    assert caught.value.option == "namespace"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{PASSWORD}@localhost/db",
        f"mysql://user:{PASSWORD}@localhost/db",
        "localhost:6379",
        "tokens.db",
        "://",
        "",
        "sqlite+pysqlite",
        f"sqlite://{PASSWORD}/tokens.db",
        "sqlite:///",
        "sqlite://",
        "sqlite:///tokens.db?mode=ro",
        "memory://here",
        7,
        b"memory://",
    ],
)
def test_what_names_no_store_is_refused(url: object) -> None:
    """The message says what is known, and does not repeat a URL that may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(url, "crm", environ={})  # type: ignore[arg-type]
    assert caught.value.option in ("url", "ZOHO_TOKEN_STORE_URL")
    assert PASSWORD not in str(caught.value)
    if isinstance(url, str) and "sqlite" not in url and "memory" not in url:
        assert all(known in str(caught.value) for known in ("redis://", "sqlite:///", "memory://"))


def test_nothing_stands_in_for_a_redis_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error, and no file is made."""
    monkeypatch.chdir(tmp_path)
    with open_store(f"unix://{tmp_path}/none", "crm", operation_timeout=0.1) as store:
        with pytest.raises(StoreUnavailable):
            store.get_tokens()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["near_cache", "cipher", "encrypt_identity", "migrate_plaintext", "pointer_keys"])
def test_memory_refuses_what_it_does_not_have(option: str) -> None:
    """By name, and says why."""
    with pytest.raises(ConfigurationError, match="does not have it") as caught:
        MemoryTokenStore(**{option: True})
    assert caught.value.option == option
    with pytest.raises(ConfigurationError, match="Memory"):
        MemoryTokenStore("memory://")  # type: ignore[arg-type]
