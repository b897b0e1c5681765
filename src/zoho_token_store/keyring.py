"""Secret keys as an operator writes them: 32 bytes, given as such or in Base64."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from zoho_token_store.errors import ConfigurationError

KEY_BYTES = 32

PLAIN = "plain"
"""Stands among pointer keys for digests that are made without a key."""


class Key(NamedTuple):
    """A secret key and the name by which it may be spoken of.

    Attributes:
        id: 8 characters of Base64 that say nothing of the secret.
        secret: 32 bytes.
    """

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key(id={self.id!r}, secret=<secret>)"


def new_key() -> str:
    """Return a new random key in the form in which an operator keeps it: 44 characters of URL-safe Base64."""
    return urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def read_key(given: object, option: str) -> Key:
    """Return a key.

    Args:
        given: 32 bytes, or their Base64 in either alphabet.
        option: Where it stands, for the error.

    Raises:
        ConfigurationError: It is neither. The message does not repeat it.
    """
    secret = given if isinstance(given, bytes) else _decoded(given)
    if len(secret) != KEY_BYTES:
        raise ConfigurationError(option, f"a key must be {KEY_BYTES} bytes, or their Base64 (zoho-tokens keygen)")
    # Of a hash with a word of its own, so that it is no digest of the key for any other purpose.
    name = sha256(b"zoho-token-store key id\0" + secret).digest()
    return Key(urlsafe_b64encode(name[:6]).decode(), secret)


def read_keys(given: object, option: str) -> tuple[Key, ...]:
    """Return several keys, in their order.

    Args:
        given: A sequence of keys, or one text with commas or spaces between them, as in an environment variable.
        option: Where they stand, for the error.

    Raises:
        ConfigurationError: There is none, one is not a key, or one is there twice.
    """
    keys = tuple(read_key(each, option) for each in _each(given, option))
    if not keys:
        raise ConfigurationError(option, "must hold at least one key")
    _check_once([key.id for key in keys], option)
    return keys


def read_pointer_keys(given: object) -> tuple[Key | None, ...]:
    """Return the pointer keys of a store, None for :data:`PLAIN`.

    Args:
        given: Like :func:`read_keys`; there may be none.

    Raises:
        ConfigurationError: One is not a key, or one is there twice.
    """
    option = "pointer_keys"
    keys = tuple(None if each == PLAIN else read_key(each, option) for each in _each(given, option))
    _check_once([key.id if key else PLAIN for key in keys], option)
    return keys


def _each(given: object, option: str) -> Sequence[object]:
    if isinstance(given, str):
        return given.replace(",", " ").split()
    if isinstance(given, (list, tuple)):
        return given
    raise ConfigurationError(option, "must be a list of keys")


def _check_once(ids: Sequence[str], option: str) -> None:
    if len({*ids}) < len(ids):
        raise ConfigurationError(option, "holds one key twice")


def _decoded(given: object) -> bytes:
    if not isinstance(given, str) or not given.isascii():
        return b""
    try:
        return urlsafe_b64decode(given.strip().replace("+", "-").replace("/", "_").encode())
    except ValueError:
        return b""
