"""The options of a store, checked once when it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from zoho_token_store.cipher import AesGcmCipher, Cipher
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.hooks import Hook
from zoho_token_store.keyring import read_pointer_keys
from zoho_token_store.label import is_label, process_label
from zoho_token_store.zoho_sdk import TokenStore

SDK_LEAST = 5.0
"""The SDK refreshes by itself when fewer seconds than this are left (``OAuthToken.get_token``)."""

USABLE = 6.0
"""Seconds that a token must have left to be handed out: the SDK's five and one to get there."""


MANAGED_LEASE = 3.0
"""Default life of a lease that the store itself renews while it is needed: the dead are replaced sooner."""


@dataclass(frozen=True)
class NearCache:
    """How much a process keeps for itself, and for how long.

    Attributes:
        entries: How many look-ups it remembers the answers of.
        max_age: How old an answer may grow before Redis is asked again, seconds.
        outage_ttl: How long tokens are handed out while Redis is away, seconds: a deletion elsewhere cannot be seen
            meanwhile.
    """

    entries: int = 10_000
    max_age: float = 300.0
    outage_ttl: float = 300.0

    def __post_init__(self) -> None:
        check_count("near_cache.entries", self.entries, 1, 10_000_000)
        check_seconds("near_cache.max_age", self.max_age, 0.001, 86400)
        check_seconds("near_cache.outage_ttl", self.outage_ttl, 0, 86400)


@dataclass(frozen=True)
class Options:
    """How a store behaves; all times in seconds.

    Attributes:
        freshness_margin: How long before its expiry an access token is due for refresh. Never more than half of the
            life that the token had when it was saved, and never less than 6.
        lease_ttl: How long a worker may take to refresh before another is elected. With ``refresh="managed"`` 3 by
            default, and renewed while the refresh goes on.
        wait_timeout: How long a call waits for another worker's refresh; at least twice ``lease_ttl``.
        operation_timeout: The budget of one exchange with Redis, its retries included.
        min_replicas: How many replicas must have a save that holds a new refresh token before it counts; 0 for none.
        retention: Life of a refreshable record since it was last saved; None keeps it until it is deleted.
        default_access_ttl: How long an access token is kept whose expiry is not known.
        tombstone_ttl: How long a deleted record is remembered as deleted.
        on_missing_id: ``"raise"`` or ``"none"``: what ``find_token_by_id`` does for an id that was never seen. With
            ``"none"`` the first caller is expected to make that record, and others wait for it.
        refresh: Who asks Zoho for access tokens: ``"sdk"``, which the store elects a worker for, or ``"managed"``: the
            store itself, ahead of time and in the background, so that the SDK never does.
        refresh_ahead: How long before its expiry a token is refreshed in the background, at most; never more than a
            tenth of its life, and never less than 10 (with ``refresh="managed"``, as all below).
        request_timeout: How long one refresh may take, its calls to Zoho and their repetition together; and Zoho's half
            of a revocation, however the store refreshes.
        refresh_budget: How many calls to Zoho the whole fleet makes with one refresh token in ``refresh_window``.
        refresh_window: See there. Zoho gives 10 access tokens in 600 seconds.
        environment: The ``DataCenter.Environment`` of tokens with an API domain that the SDK does not know, in a
            process without an ``Initializer``; for revocations, however the store refreshes.
        cipher: Seals secrets before they go to Redis, such as an ``AesGcmCipher``; None leaves them readable there.
        encrypt_identity: Whether user name, client id and redirect URL are sealed too.
        migrate_plaintext: Whether a store with a cipher takes what lies in Redis in the clear, and seals it when it
            sees it. Otherwise it refuses it.
        pointer_keys: Keys under which the digests in key names are made, so that nobody without them can check a guess:
            the first leads, all are written (:class:`zoho_token_store.keyspace.Keyspace`). ``"plain"`` stands for
            digests without a key.
        near_cache: True, or a :class:`NearCache`: keep tokens in the process, so that look-ups need no Redis.
        label: What this process is called in the events that it leaves behind; None for ``<host name>:<process id>``,
            made anew after a fork.
        redact_sdk_log: Whether secrets are removed from what the SDK logs, for the whole process
            (:func:`zoho_token_store.install_redaction`).
        hooks: Who is told of what the store does (:mod:`zoho_token_store.instrumentation`), in this order.
        fallback: The ``TokenStore`` that came before this one: look-ups that find nothing here go on there, and what
            they find is taken over. Deletions happen there, too.
    """

    freshness_margin: float = 30.0
    lease_ttl: float = 8.0
    wait_timeout: float = 20.0
    operation_timeout: float = 2.0
    min_replicas: int = 0
    retention: float | None = None
    default_access_ttl: float = 3600.0
    tombstone_ttl: float = 86400.0
    on_missing_id: str = "raise"
    refresh: str = "sdk"
    refresh_ahead: float = 300.0
    request_timeout: float = 10.0
    refresh_budget: int = 9
    refresh_window: float = 600.0
    environment: object = None
    cipher: Cipher | None = field(default=None, repr=False)
    encrypt_identity: bool = False
    migrate_plaintext: bool = False
    pointer_keys: Sequence[str | bytes] | str = field(default=(), repr=False)
    near_cache: bool | NearCache = False
    label: str | None = None
    redact_sdk_log: bool = True
    hooks: Sequence[Hook] = field(default=(), repr=False)
    fallback: TokenStore | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._check_range("freshness_margin", 0, 86400)
        self._check_range("lease_ttl", 0.1, 3600)
        self._check_range("wait_timeout", 2 * self.lease_ttl, 86400, "at least twice lease_ttl")
        self._check_range("operation_timeout", 0.05, 600)
        check_count("min_replicas", self.min_replicas, 0, 100)
        self._check_range("default_access_ttl", 1, 10 * 365 * 86400)
        self._check_range("tombstone_ttl", self.wait_timeout, 10 * 365 * 86400, "at least wait_timeout")
        if self.retention is not None:
            self._check_range("retention", self.default_access_ttl, 10 * 365 * 86400, "at least default_access_ttl")
        if self.on_missing_id not in ("raise", "none"):
            raise ConfigurationError("on_missing_id", 'must be "raise" or "none"')
        if self.refresh not in ("sdk", "managed"):
            raise ConfigurationError("refresh", 'must be "sdk" or "managed"')
        self._check_range("refresh_ahead", 10, 86400)
        self._check_range("request_timeout", 0.1, 3600)
        if self.refresh == "managed":  # else nobody waits for it
            self._check_range("request_timeout", 0.1, self.wait_timeout, "at most wait_timeout")
        check_count("refresh_budget", self.refresh_budget, 1, 1000)
        self._check_range("refresh_window", 1, 86400)
        if self.environment is not None and not isinstance(getattr(self.environment, "accounts_url", None), str):
            raise ConfigurationError("environment", "must be a DataCenter.Environment of the Zoho CRM SDK")
        self._check_encryption()
        if not isinstance(self.near_cache, (bool, NearCache)):
            raise ConfigurationError("near_cache", "must be True, False or a NearCache")
        if self.label is not None and not is_label(self.label):
            raise ConfigurationError("label", "must be 1 to 64 printable ASCII characters, or None")
        if not isinstance(self.redact_sdk_log, bool):
            raise ConfigurationError("redact_sdk_log", "must be True or False")
        if not isinstance(self.hooks, (list, tuple)) or not all(map(callable, self.hooks)):
            raise ConfigurationError("hooks", "must be a list of hooks, which are called with details")
        if any(isinstance(hook, type) for hook in self.hooks):
            raise ConfigurationError("hooks", "must be a list of hooks that are made, such as LoggingHook()")
        if self.fallback is not None and not isinstance(self.fallback, TokenStore):
            raise ConfigurationError("fallback", "must be a TokenStore of the Zoho CRM SDK, or one of ours")

    def author(self) -> str:
        """Return by whom this process's events are."""
        return self.label or process_label()

    def _check_encryption(self) -> None:
        if self.cipher is not None and not isinstance(self.cipher, Cipher):
            raise ConfigurationError("cipher", "must be a Cipher, such as AesGcmCipher([key])")
        for name in ("encrypt_identity", "migrate_plaintext"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(name, "must be True or False")
            if getattr(self, name) and self.cipher is None:
                raise ConfigurationError(name, "needs a cipher, or encryption_keys")
        read_pointer_keys(self.pointer_keys)

    def _check_range(self, name: str, least: float, most: float, why: str = "") -> None:
        check_seconds(name, getattr(self, name), least, most, why)


def check_seconds(name: str, value: object, least: float, most: float, why: str = "") -> None:
    """Raise ConfigurationError unless a value is a number of seconds within limits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigurationError(name, "must be a number of seconds")
    if not least <= value <= most:
        raise ConfigurationError(name, f"must be {least:g} to {most:g} seconds{why and f' ({why})'}")


def check_count(name: str, value: object, least: int, most: int) -> None:
    """Raise ConfigurationError unless a value is a whole number within limits."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigurationError(name, f"must be a whole number from {least} to {most}")


OPTION_NAMES = tuple(option.name for option in fields(Options))


def make_options(given: dict[str, object], senseless: Mapping[str, str] = MappingProxyType({})) -> Options:
    """Return checked options.

    Args:
        given: Keyword arguments of a store.
        senseless: Options that this kind of store does not have, and why.

    Raises:
        ConfigurationError: A name is not an option, or a value is not allowed.
    """
    for name, value in given.items():
        if name not in OPTION_NAMES:
            raise ConfigurationError(name, f"unknown option; there are {', '.join(OPTION_NAMES)}")
        if name in senseless and value:
            raise ConfigurationError(name, f"this store does not have it: {senseless[name]}")
    if given.get("refresh") == "managed":
        given = {"lease_ttl": MANAGED_LEASE, **given}
    return Options(**given)  # type: ignore[arg-type]  # checked by __post_init__


def with_keys(given: Mapping[str, object], encryption_keys: Sequence[str | bytes] | str | None) -> dict[str, object]:
    """Return keyword arguments of a store with a cipher for the keys, if there are any.

    Raises:
        ConfigurationError: A key cannot be used, or there is a cipher already.
    """
    if encryption_keys is None:
        return dict(given)
    if given.get("cipher") is not None:
        raise ConfigurationError("encryption_keys", "cannot be given beside a cipher")
    return {**given, "cipher": AesGcmCipher(encryption_keys)}
