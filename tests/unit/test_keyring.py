"""Keys as an operator writes them: both forms, both alphabets, and clear errors that show nothing of them."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_token_store.errors import ConfigurationError
from zoho_token_store.keyring import KEY_BYTES, new_key, read_key, read_keys, read_pointer_keys

secrets = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)


@given(secrets)
def test_every_form_is_the_same_key(secret: bytes) -> None:
    """Bytes, Base64 and its URL-safe alphabet, with white space around it, give one key of one name."""
    forms = (secret, b64encode(secret).decode(), urlsafe_b64encode(secret).decode(), f" {b64encode(secret).decode()}\n")
    assert {read_key(form, "keys") for form in forms} == {read_key(secret, "keys")}
    assert read_key(secret, "keys").secret == secret


def test_a_new_key_is_a_key_and_new() -> None:
    """It can be used as it is printed, and never comes twice."""
    keys = {new_key() for _ in range(100)}
    assert len({read_key(key, "keys").id for key in keys}) == 100


@given(st.binary(max_size=80) | st.text(max_size=80) | st.none() | st.integers() | st.lists(secrets, max_size=1))
def test_what_is_no_key_is_refused_and_not_shown(given: object) -> None:
    """Whatever is given, it is a key of 32 bytes or an error that names the option alone."""
    try:
        key = read_key(given, "encryption_keys")
    except ConfigurationError as error:
        refusal = error
    else:
        assert len(key.secret) == KEY_BYTES
        return
    assert refusal.option == "encryption_keys"
    if isinstance(given, str) and len(given) > 12:
        assert given not in str(refusal)


def test_a_key_does_not_print_itself() -> None:
    """Neither the secret nor its Base64 stands in the repr; the name does."""
    text = new_key()
    key = read_key(text, "keys")
    assert repr(key) == f"Key(id='{key.id}', secret=<secret>)"
    assert key.id not in text


@pytest.mark.parametrize("joint", [",", " ", ", ", "\n"])
def test_several_in_one_text(joint: str) -> None:
    """As in an environment variable: the order stays."""
    keys = [new_key() for _ in range(3)]
    assert read_keys(joint.join(keys), "keys") == read_keys(keys, "keys")


@pytest.mark.parametrize("given", [[], "", " , ", None, 7, {}, {"a"}])
def test_no_keys_at_all_are_an_error(given: object) -> None:
    """Whoever asks for encryption and gives no key must not go on without."""
    with pytest.raises(ConfigurationError):
        read_keys(given, "encryption_keys")


def test_a_key_may_not_be_there_twice() -> None:
    """One of them is a slip, and which one cannot be told; in whichever form it comes."""
    secret = b"k" * KEY_BYTES
    with pytest.raises(ConfigurationError, match="twice"):
        read_keys([secret, b64encode(secret).decode()], "keys")
    with pytest.raises(ConfigurationError, match="twice"):
        read_pointer_keys(["plain", secret, "plain"])


def test_pointer_keys_may_be_plain_or_none() -> None:
    """``plain`` stands for a digest without a key; no keys at all is allowed."""
    key = new_key()
    assert read_pointer_keys([key, "plain"]) == (read_key(key, "pointer_keys"), None)
    assert read_pointer_keys(f"plain,{key}") == (None, read_key(key, "pointer_keys"))
    assert read_pointer_keys(()) == ()
