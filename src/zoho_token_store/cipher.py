"""Encryption at rest: what a cipher has to do, and AES-256-GCM.

A ciphertext is text: ``<key id>.<payload>``. It names its key, so that one key may follow another while workers run.
"""

from __future__ import annotations

import os
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:
    AESGCM = None  # type: ignore[assignment, misc]  # an extra

from zoho_token_store.errors import ConfigurationError
from zoho_token_store.keyring import read_keys

_NONCE_BYTES = 12


@runtime_checkable
class Cipher(Protocol):
    """Something that keeps a secret: keys in this process, a key management service, a vault.

    Any error but those named below means that it cannot be used at this moment; a save is then kept and tried again,
    as if Redis were away.
    """

    def encrypt(self, plaintext: bytes, context: bytes) -> str:
        """Return a ciphertext that only the same context opens.

        Args:
            plaintext: The secret.
            context: What it belongs to (schema, namespace, record, field). It is authenticated, and is not a secret.

        Returns:
            ``<key id>.<payload>``, printable ASCII without spaces; the key id, of 1 to 64 letters, digits, ``_`` and
            ``-``, is that of the newest key. Two calls never give the same text.
        """

    def decrypt(self, ciphertext: str, context: bytes) -> bytes:
        """Return what was encrypted in this context, under whichever key.

        Raises:
            LookupError: The key that it names is not there.
            ValueError: It was not made by :meth:`encrypt`, was changed, or belongs to another context.
        """


class AesGcmCipher:
    """AES-256-GCM with keys of this process: the first encrypts, all decrypt.

    One key is good for four thousand million encryptions, the limit for random nonces of 96 bits (NIST SP 800-38D,
    8.3).

    Args:
        keys: Of 32 bytes each, or their Base64 as ``zoho-tokens keygen`` prints it; newest first.

    Raises:
        ConfigurationError: A key cannot be used, or the package ``cryptography`` is missing.
    """

    def __init__(self, keys: Sequence[str | bytes] | str) -> None:
        if AESGCM is None:
            raise ConfigurationError(
                "encryption_keys", "need the package cryptography: pip install 'zoho-token-store[encryption]'"
            )
        ring = read_keys(keys, "encryption_keys")
        self._first = ring[0].id
        self._ciphers = {key.id: AESGCM(key.secret) for key in ring}

    def __repr__(self) -> str:
        return f"AesGcmCipher(keys={', '.join(self._ciphers)})"

    def encrypt(self, plaintext: bytes, context: bytes) -> str:
        """Return a ciphertext under the first key; see :class:`Cipher`."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._ciphers[self._first].encrypt(nonce, plaintext, context)
        return f"{self._first}.{b2a_base64(sealed, newline=False).decode()}"

    def decrypt(self, ciphertext: str, context: bytes) -> bytes:
        """Return the plaintext; see :class:`Cipher`."""
        key_id, _, payload = ciphertext.partition(".")
        cipher = self._ciphers[key_id]
        sealed = a2b_base64(payload)
        try:
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
        except InvalidTag:
            raise ValueError("was changed, or belongs to another context") from None
