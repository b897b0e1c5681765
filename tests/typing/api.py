"""The public API as a typed application uses it. Never run: ``mypy`` checks it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import redis
from typing_extensions import assert_type

from zoho_token_store import (
    Adoption,
    AesGcmCipher,
    AmbiguousToken,
    Cipher,
    ConfigurationError,
    CoordinatedTokenStore,
    CorruptRecord,
    Event,
    EventReader,
    InvalidToken,
    Memory,
    MemoryTokenStore,
    PartitionedTokenStore,
    RedactingFilter,
    RedisTokenStore,
    RefreshFailing,
    RefreshTimeout,
    RevocationIncomplete,
    RotationProgress,
    SQLiteTokenStore,
    StoreClosed,
    StoreUnavailable,
    TokenDeleted,
    TokenNotFound,
    TokenStoreError,
    UnsupportedSchema,
    install_redaction,
    open_store,
)
from zoho_token_store.instrumentation import (
    CountingHook,
    Details,
    FoundDetails,
    Hook,
    LoggingHook,
    Operation,
    RefreshFailedDetails,
    SpanHook,
)
from zoho_token_store.instrumentation.opentelemetry import OpenTelemetryHook
from zoho_token_store.instrumentation.prometheus import PrometheusHook


def construct(client: redis.Redis, environ: Mapping[str, str]) -> None:
    """Make stores in every documented way."""
    assert_type(RedisTokenStore(client, namespace="crm"), RedisTokenStore)
    assert_type(RedisTokenStore(client, "crm", freshness_margin=60, retention=None), RedisTokenStore)
    assert_type(RedisTokenStore.from_url("redis://localhost:6379/0", namespace="crm"), RedisTokenStore)
    assert_type(RedisTokenStore.from_url("unix:///run/redis.sock", "crm", on_missing_id="none"), RedisTokenStore)
    cipher: Cipher = AesGcmCipher(["newest", b"older"])
    assert_type(RedisTokenStore(client, "crm", cipher=cipher, encrypt_identity=True), RedisTokenStore)
    assert_type(RedisTokenStore.from_url("redis://localhost", "crm", encryption_keys=["key"]), RedisTokenStore)
    assert_type(RedisTokenStore.from_url("redis://localhost", "crm", pointer_keys=["plain", b"key"]), RedisTokenStore)
    RedisTokenStore.from_url("redis://localhost", "crm", encryption_keys=7)  # type: ignore[arg-type]
    assert_type(RedisTokenStore.from_env(), RedisTokenStore)
    assert_type(RedisTokenStore.from_env(environ, lease_ttl=4.0), RedisTokenStore)
    assert_type(SQLiteTokenStore(Path("tokens.db")), SQLiteTokenStore)
    assert_type(SQLiteTokenStore("tokens.db", "crm", encryption_keys=["key"], lease_ttl=4.0), SQLiteTokenStore)
    assert_type(MemoryTokenStore(), MemoryTokenStore)
    assert_type(MemoryTokenStore(Memory(), namespace="crm", refresh="managed"), MemoryTokenStore)
    assert_type(MemoryTokenStore(fallback=SQLiteTokenStore("old.db")), MemoryTokenStore)
    assert_type(open_store(), CoordinatedTokenStore)
    assert_type(open_store("sqlite:///tokens.db", "crm", retention=None), CoordinatedTokenStore)
    assert_type(PartitionedTokenStore.from_url("redis://one", "crm", partitions=16), PartitionedTokenStore)
    partitions = [MemoryTokenStore(None, f"crm.{number}", retention=None) for number in range(4)]
    with PartitionedTokenStore(partitions, key=lambda token: str(token.get_client_id())) as partitioned:
        assert_type(partitioned, PartitionedTokenStore)
        assert_type(partitioned.home("tenant"), CoordinatedTokenStore)
        assert_type(partitioned.stores, tuple[CoordinatedTokenStore, ...])
        assert_type(partitioned.keep_fresh(["id"]), float)
        assert_type(partitioned.call_crm(lambda: 1), int)
    PartitionedTokenStore(partitions, "tenant")  # type: ignore[arg-type]  # a key is made by a function
    SQLiteTokenStore(7)  # type: ignore[arg-type]  # a path is text, or something like it
    RedisTokenStore(client)  # type: ignore[call-arg]  # a namespace is required
    RedisTokenStore.from_url(7, namespace="crm")  # type: ignore[arg-type]  # a URL is text


def use(store: RedisTokenStore, token: Any) -> None:
    """Call every method."""
    found: Any = store.find_token(token)
    store.save_token(found)
    store.delete_token("id")
    tokens: list[Any] = store.get_tokens()
    store.delete_tokens()
    by_id: Any = store.find_token_by_id("id")
    looked_at: Any = store.get("id")
    users: list[Any] = store.get_by_user("ada@example.com")
    assert_type(store.get_by_user("ada@example.com", on_unreadable=print), list[Any])
    assert_type(store.adopt([token], dry_run=True), list[Adoption])
    assert_type(store.adopt(iter([token]))[0].record_id, str | None)
    assert_type(store.peek(token), Any)
    assert_type(store.iter_tokens(100, on_unreadable=print), Iterator[Any])
    assert_type(store.iter_tokens(batch=100), Iterator[Any])
    store.iter_tokens(on_unreadable=print)
    assert_type(store.rotate_keys(batch=100), Iterator[RotationProgress])
    store.invalidate_access_token("id")
    store.invalidate_access_token("id", "access token")
    store.invalidate_access_token("id", access_token=None)
    assert_type(store.revoke("id"), bool)
    assert_type(store.delete_unreadable("id"), bool)
    with store.events(since=600.0) as events:
        assert_type(events, EventReader)
        assert_type(events.read(wait=1.0).events, list[Event])
        assert_type(events.read().gap, Literal["missed", "lost"] | None)
    assert_type(
        [(event.at_ms, event.by) for event in store.events("1700000000000-0").read().events], list[tuple[int, str]]
    )
    assert_type(store.stats(), dict[str, int])
    store.ping()
    store.close()
    store.delete_token(7)  # type: ignore[arg-type]  # ids are text
    store.iter_tokens(batch="many")  # type: ignore[arg-type]
    with store as same:
        assert_type(same, RedisTokenStore)
    del tokens, by_id, looked_at, users


def catch(store: RedisTokenStore) -> None:
    """Read what the errors carry."""
    try:
        store.ping()
    except RefreshFailing as error:
        assert_type(error.retry_at, float)
        assert_type(error.record_id, str | None)
    except RevocationIncomplete as error:
        assert_type((error.deleted, error.revoked), tuple[bool, bool])
        assert_type(error.record_id, str | None)
    except RefreshTimeout as error:
        assert_type(error.waited, float)
    except (TokenNotFound, TokenDeleted, CorruptRecord) as error:
        assert_type(error.record_id, str | None)
    except AmbiguousToken as error:
        assert_type(error.clients, int)
    except InvalidToken as error:
        assert_type(error.field, str)
    except ConfigurationError as error:
        assert_type(error.option, str)
    except UnsupportedSchema as error:
        assert_type(error.schema, str)
    except (StoreUnavailable, StoreClosed) as error:
        raise TokenStoreError("stop", cause=error) from error


def watch(client: redis.Redis, operation: Operation) -> None:
    """Be told of what a store does."""

    def alert(details: Details) -> None:
        assert_type(details.event, str)
        if isinstance(details, RefreshFailedDetails):
            assert_type((details.record_id, details.outcome, details.seconds), tuple[str | None, str, float])
            details.outcome = "changed"  # type: ignore[misc]  # they are frozen

    counting: CountingHook = PrometheusHook()
    tracing: SpanHook = OpenTelemetryHook()
    hooks: list[Hook] = [alert, LoggingHook("mine"), counting, tracing]
    assert_type(RedisTokenStore(client, "crm", hooks=hooks), RedisTokenStore)
    alert(FoundDetails("crm", None, "missing", 0.001))
    assert_type((operation.namespace, operation.name, operation.record_id), tuple[str, str, str | None])
    wrong: Hook = print_twice  # type: ignore[assignment]  # a hook takes details, and nothing else
    del wrong


def print_twice(first: str, second: str) -> None:
    """Take two texts: no hook."""


def log(handler: logging.Handler) -> None:
    """Keep secrets out of logs."""
    install_redaction()
    install_redaction("urllib3.connectionpool", "some.other")
    handler.addFilter(RedactingFilter())
    install_redaction(7)  # type: ignore[arg-type]  # loggers are named
