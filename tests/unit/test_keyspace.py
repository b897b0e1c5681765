"""Key names: one slot for a namespace, digests in place of secrets, ids that cannot break out."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_token_store.errors import ConfigurationError, InvalidToken
from zoho_token_store.keyspace import Keyspace, check_id, client_digest, digest, pointer, tombstone

LETTERS = string.ascii_letters + string.digits
names = st.text(st.sampled_from(LETTERS + "_.-"), min_size=1, max_size=64)
ids = st.text(st.sampled_from(LETTERS + "_.@+=-"), min_size=1, max_size=128)


@given(names, ids)
def test_every_key_is_in_the_slot_of_its_namespace(namespace: str, record_id: str) -> None:
    """All keys carry the namespace as their hash tag, and only that."""
    keys = Keyspace(namespace)
    made = [keys.ids, keys.expiring, keys.events, keys.nothing, keys.token(record_id), keys.access(record_id)]
    made += [
        keys.lease(record_id),
        keys.wake(record_id),
        keys.key(tombstone(record_id)),
        keys.key(pointer("user", "x")),
    ]
    made += keys.found_by(record_id, record_id, record_id)
    for key in made:
        assert key.startswith(f"zts:{{{namespace}}}:")
        assert key.count("{") == key.count("}") == 1


def test_the_five_keys_of_a_look_up() -> None:
    """They are the record, its access part, a tombstone, a lease and that lease's stream."""
    keys = Keyspace("crm")
    assert keys.found_by("id", "lease", "gone") == [
        keys.token("id"),
        keys.access("id"),
        keys.key(tombstone("gone")),
        keys.lease("lease"),
        keys.wake("lease"),
    ]


@pytest.mark.parametrize("namespace", ["", "a b", "a{b", "a}", "ü", "x" * 65, "a:b", "a\n", "*", None, 7, b"crm"])
def test_a_bad_namespace_is_refused(namespace: object) -> None:
    """The message says what is allowed."""
    with pytest.raises(ConfigurationError, match="1 to 64 characters") as caught:
        Keyspace(namespace)  # type: ignore[arg-type]
    assert caught.value.option == "namespace"


@given(ids)
def test_a_good_id_is_returned(record_id: str) -> None:
    """Ids of allowed characters pass as they are."""
    assert check_id(record_id) == record_id


@given(st.text().filter(lambda text: not set(text) <= set(LETTERS + "_.@+=-") or not text))
def test_a_bad_id_is_refused(record_id: str) -> None:
    """Any other character, or none at all, is refused by name."""
    with pytest.raises(InvalidToken) as caught:
        check_id(record_id)
    assert caught.value.field == "id"


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_digests_tell_values_apart(one: str, other: str) -> None:
    """Equal values have equal digests, different ones do not, and all are of base64's letters."""
    assert (digest("user", one) == digest("user", other)) is (one == other)
    assert digest("user", one) != digest("grant", one)
    assert set(digest("user", one)) <= set(LETTERS + "+/")
    assert len(digest("user", one)) == 22


def test_kind_and_value_do_not_run_together() -> None:
    """A kind and a value that share a text otherwise divided have another digest."""
    assert digest("a", "bc") != digest("ab", "c")


def test_digests_are_pinned() -> None:
    """They stand in key names: another digest would lose every stored token."""
    assert pointer("user", "ada@example.com") == "user:+76ocmOBwJMA7GTS1UcVPQ"
    assert client_digest(None) == "-"
