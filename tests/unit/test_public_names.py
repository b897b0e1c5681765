"""What the package offers by name: others build on it."""

from __future__ import annotations

import inspect

import zoho_token_store
from zoho_token_store import (
    CoordinatedTokenStore,
    MemoryTokenStore,
    PartitionedTokenStore,
    RedisTokenStore,
    SQLiteTokenStore,
    TokenStoreError,
    errors,
)
from zoho_token_store.options import Options
from zoho_token_store.zoho_sdk import TokenStore

NAMES = [
    "Adoption",
    "AesGcmCipher",
    "AmbiguousToken",
    "AuditProgress",
    "Cipher",
    "ConfigurationError",
    "CoordinatedTokenStore",
    "CorruptRecord",
    "DecryptionFailed",
    "Event",
    "EventReader",
    "Finding",
    "InvalidToken",
    "Memory",
    "MemoryTokenStore",
    "NearCache",
    "NotDurable",
    "PartitionedTokenStore",
    "RedactingFilter",
    "RedisTokenStore",
    "RefreshFailing",
    "RefreshRejected",
    "RefreshThrottled",
    "RefreshTimeout",
    "RevocationIncomplete",
    "RotationProgress",
    "SQLiteTokenStore",
    "StoreClosed",
    "StoreUnavailable",
    "TokenDeleted",
    "TokenNotFound",
    "TokenStoreError",
    "UnsupportedSchema",
    "install_redaction",
    "open_store",
]
NO_ERRORS = {
    "Adoption",
    "AesGcmCipher",
    "AuditProgress",
    "Cipher",
    "CoordinatedTokenStore",
    "Event",
    "EventReader",
    "Finding",
    "Memory",
    "MemoryTokenStore",
    "NearCache",
    "PartitionedTokenStore",
    "RedactingFilter",
    "RedisTokenStore",
    "RotationProgress",
    "SQLiteTokenStore",
    "install_redaction",
    "open_store",
}
METHODS = {
    "find_token": ["token"],
    "save_token": ["token"],
    "delete_token": ["id"],
    "get_tokens": [],
    "delete_tokens": [],
    "find_token_by_id": ["id"],
    "get": ["id"],
    "get_by_user": ["user_name", "on_unreadable"],
    "iter_tokens": ["batch", "on_unreadable"],
    "peek": ["token"],
    "adopt": ["tokens", "dry_run"],
    "rotate_keys": ["batch"],
    "invalidate_access_token": ["id", "access_token"],
    "revoke": ["id"],
    "delete_unreadable": ["id"],
    "call_crm": ["call"],
    "keep_fresh": ["ids"],
    "events": ["since"],
    "ping": [],
    "close": [],
    "stats": [],
}


def test_the_names_are_pinned() -> None:
    """Exactly these, sorted; each exists."""
    assert zoho_token_store.__all__ == sorted(NAMES)
    assert all(hasattr(zoho_token_store, name) for name in NAMES)


def test_every_public_error_is_exported() -> None:
    """The tree and the top level do not drift apart, and every leaf hangs on the base."""
    tree = {
        name
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, TokenStoreError) and not name.startswith("_")
    }
    assert tree == set(NAMES) - NO_ERRORS


def test_the_tree_in_the_docstring_is_complete() -> None:
    """Each error stands in the drawing at the head of the module."""
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in NAMES if name not in NO_ERRORS)


def test_the_methods_are_pinned() -> None:
    """Each public method has the parameters that its callers give by name."""
    for name, parameters in METHODS.items():
        signature = inspect.signature(getattr(RedisTokenStore, name))
        assert list(signature.parameters)[1:] == parameters, name


def test_all_stores_have_the_same_methods() -> None:
    """Those that are not in Redis lack the event stream, and ways to make a Redis store, and nothing else."""
    ours = {name for name in dir(RedisTokenStore) if not name.startswith("_")}
    for kind in (MemoryTokenStore, SQLiteTokenStore):
        assert issubclass(kind, CoordinatedTokenStore)
        assert ours - set(dir(kind)) == {"audit", "events", "from_env", "from_url"}


def test_partitions_have_the_same_methods_too() -> None:
    """With the same parameters; events and audits are of one namespace, and asked of its partition."""
    ours = {name for name in dir(RedisTokenStore) if not name.startswith("_")}
    assert ours - set(dir(PartitionedTokenStore)) == {"audit", "events", "from_env"}
    for name in METHODS.keys() - {"events"}:
        parameters = inspect.signature(getattr(PartitionedTokenStore, name)).parameters
        assert list(parameters)[1:] == METHODS[name], name


def test_the_six_methods_of_the_sdk_are_there() -> None:
    """Every abstract method of the SDK's store is ours, under the SDK's parameter names."""
    assert issubclass(RedisTokenStore, TokenStore)
    assert not getattr(RedisTokenStore, "__abstractmethods__", None)
    for name in ("find_token", "save_token", "delete_token", "get_tokens", "delete_tokens", "find_token_by_id"):
        assert getattr(RedisTokenStore, name) is not getattr(TokenStore, name, None)
        theirs = inspect.signature(getattr(TokenStore, name)).parameters
        assert list(inspect.signature(getattr(RedisTokenStore, name)).parameters) == list(theirs)


def test_the_defaults_are_pinned() -> None:
    """The option list with its defaults is part of the interface."""
    assert vars(Options()) == {
        "freshness_margin": 30.0,
        "lease_ttl": 8.0,
        "wait_timeout": 20.0,
        "operation_timeout": 2.0,
        "min_replicas": 0,
        "retention": None,
        "default_access_ttl": 3600.0,
        "tombstone_ttl": 86400.0,
        "on_missing_id": "raise",
        "refresh": "sdk",
        "refresh_ahead": 300.0,
        "request_timeout": 10.0,
        "refresh_budget": 9,
        "refresh_window": 600.0,
        "environment": None,
        "cipher": None,
        "encrypt_identity": False,
        "migrate_plaintext": False,
        "pointer_keys": (),
        "near_cache": False,
        "label": None,
        "redact_sdk_log": True,
        "hooks": (),
        "fallback": None,
    }
