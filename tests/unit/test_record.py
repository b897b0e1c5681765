"""What is stored of a record: packed, read back, and shown without a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_token_store.codec import Codec
from zoho_token_store.errors import CorruptRecord
from zoho_token_store.record import REMEMBERED, Access, Bookkeeping, TokenRecord

texts = st.text(st.characters(codec="utf-8"), min_size=1)
digests = st.lists(st.from_regex(r"[A-Za-z0-9_-]{22}", fullmatch=True), max_size=4).map(tuple)


@given(token=texts, expires_ms=st.integers(0, 10**14 - 1), life_ms=st.integers(0, 10**14 - 1))
def test_an_access_part_comes_back(token: str, expires_ms: int, life_ms: int) -> None:
    """Whatever the access token holds, spaces included, the packed form is read back as it was."""
    access = Access(token, expires_ms, life_ms)
    assert Codec().read_access("id", Codec().access("id", access)) == access


def test_no_access_part() -> None:
    """An empty string is no access part."""
    assert Codec().read_access("id", "") is None


@pytest.mark.parametrize("stored", ["x", "1 2", "one 2 token", "1 two token", " "])
def test_a_foreign_access_part_is_an_error(stored: str) -> None:
    """What this package has not written is named, with the record, and not shown."""
    with pytest.raises(CorruptRecord) as caught:
        Codec().read_access("some-id", stored)
    assert caught.value.record_id == "some-id"
    assert "token" not in str(caught.value).replace("token store", "")


@given(
    created_ms=st.integers(0, 2**53),
    refresh_fence=st.integers(0, 2**62),
    old_refresh=digests,
    old_grant=digests,
    absorbed=digests,
    unknown=st.dictionaries(st.from_regex(r"new_[a-z]{1,5}", fullmatch=True), st.integers() | texts, max_size=3),
)
def test_bookkeeping_comes_back(**fields) -> None:
    """All that a record remembers is read back, with what a newer release of this schema has added."""
    book = Bookkeeping(**fields)
    assert TokenRecord("id", meta=book.pack()).bookkeeping() == book


@pytest.mark.parametrize("meta", ["{", "[]", "7", '{"created_ms": "x"}', '{"old_refresh": 7}', '{"created_ms": []}'])
def test_foreign_bookkeeping_is_an_error(meta: str) -> None:
    """Anything else in its place is an error that names the record."""
    with pytest.raises(CorruptRecord) as caught:
        TokenRecord("some-id", meta=meta).bookkeeping()
    assert caught.value.record_id == "some-id"


@pytest.mark.parametrize("spares", ["{", "{}", "[7]", '"text"'])
def test_foreign_spares_are_an_error(spares: str) -> None:
    """So is a list of spare refresh tokens that is none."""
    with pytest.raises(CorruptRecord):
        TokenRecord("id", spares=spares).spare_tokens()


def test_operations_are_remembered_up_to_a_number() -> None:
    """Of more operations than that the last ones are kept, in order, with the time of the last."""
    record = TokenRecord("id")
    for number in range(REMEMBERED + 3):
        record = record._replace(ops=record.next_ops(1000 + number, f"n{number}"))
    assert record.nonces() == [f"n{number}" for number in range(3, REMEMBERED + 3)]
    assert record.ops is not None
    assert record.ops.startswith(f"{1000 + REMEMBERED + 2} ")


def test_a_revision_is_never_the_same_again() -> None:
    """Each write makes another revision."""
    assert TokenRecord("id", rev="41").next_rev() == "42"


@pytest.mark.parametrize(
    ("fields", "expected"), [({}, False), ({"refresh_token": "r"}, True), ({"grant_token": "g"}, True)]
)
def test_refreshable(fields: dict[str, str], expected: bool) -> None:
    """A record with a refresh or grant token can be refreshed without the user."""
    assert TokenRecord("id", **fields).refreshable is expected  # type: ignore[arg-type]


def test_no_secret_is_shown() -> None:
    """Neither the record nor its access part shows a secret or a user name when it is printed."""
    secrets = {
        name: f"hidden-{name}" for name in ("user_name", "client_secret", "refresh_token", "grant_token", "spares")
    }
    shown = repr(TokenRecord("some-id", access=Access("hidden-access", 1, 2), **secrets))  # type: ignore[arg-type]
    assert "some-id" in shown
    assert "hidden" not in shown
