"""AES-256-GCM: what it opens, and everything that it does not."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoho_token_store.cipher
from zoho_token_store.cipher import AesGcmCipher, Cipher
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.keyring import new_key, read_key

NEW, OLD = new_key(), new_key()
CIPHER = AesGcmCipher([NEW, OLD])


def test_it_is_a_cipher() -> None:
    """It has the two methods that the store asks for."""
    assert isinstance(CIPHER, Cipher)
    assert not isinstance(object(), Cipher)


@given(plaintext=st.binary(), context=st.binary())
def test_what_was_sealed_comes_back(plaintext: bytes, context: bytes) -> None:
    """In its context, and as printable text without spaces that names its key."""
    sealed = CIPHER.encrypt(plaintext, context)
    assert CIPHER.decrypt(sealed, context) == plaintext
    assert re.fullmatch(r"[A-Za-z0-9_-]{8}\.[A-Za-z0-9+/]+=*", sealed)
    assert sealed.startswith(read_key(NEW, "keys").id)


@given(plaintext=st.binary(), context=st.binary(), other=st.binary())
def test_another_context_does_not_open_it(plaintext: bytes, context: bytes, other: bytes) -> None:
    """A ciphertext that was moved is an error, not another plaintext."""
    if other == context:
        return
    with pytest.raises(ValueError, match="another context"):
        CIPHER.decrypt(CIPHER.encrypt(plaintext, context), other)


@given(bit=st.integers(min_value=0, max_value=8 * (12 + 5 + 16) - 1))
def test_not_one_bit_may_change(bit: int) -> None:
    """Nonce, text and tag are all authenticated."""
    key_id, payload = CIPHER.encrypt(b"token", b"context").split(".")
    raw = bytearray(b64decode(payload))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match="changed"):
        CIPHER.decrypt(f"{key_id}.{b64encode(raw).decode()}", b"context")


def test_nonces_are_fresh() -> None:
    """The same text is never sealed the same way."""
    sealed = sorted(CIPHER.encrypt(b"token", b"") for _ in range(1000))
    assert all(one != next for one, next in pairwise(sealed))


def test_the_first_key_seals_and_all_open() -> None:
    """That is how one key follows another."""
    before = AesGcmCipher([OLD]).encrypt(b"token", b"")
    assert CIPHER.decrypt(before, b"") == b"token"
    with pytest.raises(LookupError):
        AesGcmCipher([OLD]).decrypt(CIPHER.encrypt(b"token", b""), b"")


@given(st.text() | st.from_regex(r"[\w-]{8}\.[\w+/-]*", fullmatch=True))
def test_junk_is_a_value_error_or_a_missing_key(junk: str) -> None:
    """Whatever stands in Redis, there is no other error."""
    for ciphertext in (junk, f"{read_key(NEW, 'keys').id}.{junk}"):
        with pytest.raises((ValueError, LookupError)):
            CIPHER.decrypt(ciphertext, b"")


def test_it_does_not_print_its_keys() -> None:
    """Their names, yes."""
    assert repr(CIPHER) == f"AesGcmCipher(keys={read_key(NEW, '').id}, {read_key(OLD, '').id})"


def test_without_the_package_it_says_which_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encryption that cannot be had is an error, never left out."""
    monkeypatch.setattr(zoho_token_store.cipher, "AESGCM", None)
    with pytest.raises(ConfigurationError, match=r"zoho-token-store\[encryption\]"):
        AesGcmCipher([NEW])
