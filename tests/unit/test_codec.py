"""How records lie in Redis: what comes back, what is bound to what, and what is written when something changes."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_token_store.cipher import AesGcmCipher
from zoho_token_store.codec import IDENTITY, MARK, SECRET, Codec, SealedCodec
from zoho_token_store.errors import CorruptRecord, DecryptionFailed, StoreUnavailable
from zoho_token_store.keyring import new_key, read_key
from zoho_token_store.record import Access, Bookkeeping, TokenRecord

NEW, OLD = new_key(), new_key()
FIELDS = (*TokenRecord._fields[1:15], "refresh_token+", "grant_token+", "client")
"""The fields of a hash in the order in which the scripts read them."""

RECORD = TokenRecord(
    "ada-1",
    user_name="ada@example.com",
    client_id="client",
    client_secret="secret",
    refresh_token="1000." + "r" * 65,
    grant_token="1000." + "g" * 65,
    redirect_url="https://app.example.com/back",
    api_domain="https://www.zohoapis.eu",
    spares='["1000.spare"]',
    rev="7",
    fence="9",
    ops="1 a b",
    meta=Bookkeeping(created_ms=1, absorbed=("ada-0",)).pack(),
)
ACCESS = Access("1000.access", 1_800_000_000_000, 3_600_000)


def codec(*keys: str, hides: bool = False, takes: bool = False, namespace: str = "crm") -> SealedCodec:
    return SealedCodec(AesGcmCipher(keys or (NEW,)), namespace, hides_identity=hides, takes_readable=takes)


CODECS = [Codec(), codec(), codec(hides=True), codec(takes=True)]
every = pytest.mark.parametrize("how", CODECS, ids=["readable", "sealed", "hidden", "migrating"])


def stored(how: Codec, record: TokenRecord = RECORD) -> dict[str, str]:
    """Return the hash of a record that is written for the first time."""
    return how.changes(None, record).values


def read(how: Codec, fields: dict[str, str], record_id: str = RECORD.id, access: str = "") -> TokenRecord:
    return how.read(record_id, access, [fields.get(name) for name in FIELDS])


def same(one: TokenRecord, other: TokenRecord) -> bool:
    """Return whether two records say the same, however they lie in Redis."""
    return one._replace(schema="", stale=False) == other._replace(schema="", stale=False)


@every
def test_a_record_comes_back(how: Codec) -> None:
    """With everything in it, and not stale."""
    back = read(how, stored(how), access=how.access(RECORD.id, ACCESS))
    assert same(back, RECORD._replace(access=ACCESS))
    assert not back.stale


@every
@given(texts=st.lists(st.none() | st.text(st.characters(codec="utf-8"), min_size=1), min_size=7, max_size=7))
def test_any_text_comes_back(how: Codec, texts: list[str | None]) -> None:
    """In whatever script, of whatever length, and fields that are not there stay so."""
    record = TokenRecord("x", *texts, fence="1", meta="{}")
    assert same(read(how, stored(how, record), "x"), record)


def test_secrets_are_sealed_and_the_rest_is_readable() -> None:
    """The fields of the issue, the spare refresh tokens with them; the identity only where that is asked for."""
    for how, sealed in ((codec(), {*SECRET}), (codec(hides=True), {*SECRET, *IDENTITY})):
        assert {name for name, value in stored(how).items() if value.startswith(MARK)} == sealed
        assert stored(how)["schema"] == "2"
        assert " sealed." in how.access("ada-1", ACCESS)
    assert not any(value.startswith(MARK) for value in stored(Codec()).values())


@pytest.mark.parametrize("name", [*SECRET, *IDENTITY])
def test_a_ciphertext_opens_in_its_own_field_alone(name: str) -> None:
    """Moved to another field, record or namespace, it does not."""
    how = codec(hides=True)
    fields = stored(how)
    for other in (*SECRET, *IDENTITY):
        if other != name:
            with pytest.raises(DecryptionFailed, match="changed") as caught:
                read(how, {**fields, other: fields[name]})
            assert (caught.value.record_id, caught.value.key_id) == ("ada-1", read_key(NEW, "").id)
    theirs = stored(how, RECORD._replace(id="eve-1"))
    with pytest.raises(DecryptionFailed, match="another record"):
        read(how, {**fields, name: theirs[name]})
    with pytest.raises(DecryptionFailed, match="another record"):
        read(codec(hides=True, namespace="other"), fields)


@pytest.mark.parametrize("name", ["user_name", "client_id", "redirect_url", "api_domain"])
@pytest.mark.parametrize("value", ["another", None])
def test_a_readable_identity_cannot_be_changed(name: str, value: str | None) -> None:
    """Whose record it is, and where its tokens are sent, is vouched for."""
    fields: dict[str, Any] = {**stored(codec()), name: value}
    with pytest.raises(DecryptionFailed, match="meta was changed"):
        read(codec(), fields)


@pytest.mark.parametrize("number", [0, 1])
def test_an_expiry_cannot_be_changed(number: int) -> None:
    """Nor the life that an access token is said to have had."""
    parts = codec().access("ada-1", Access("token", 1_000, 2_000)).split(" ")
    parts[number] = "9999999999999"
    with pytest.raises(DecryptionFailed, match="access_token was changed"):
        codec().read_access("ada-1", " ".join(parts))


@pytest.mark.parametrize("name", SECRET)
def test_the_clear_is_refused(name: str) -> None:
    """One field that was put in the clear, or all of them, are an error in a store with keys; the error is silent."""
    mixed = [{**stored(codec()), name: "1000.planted"}] if name != "meta" else []
    for fields in (*mixed, {**stored(Codec()), name: "1000.planted"}):
        with pytest.raises(DecryptionFailed, match="clear") as caught:
            read(codec(), fields)
        assert caught.value.key_id is None
        assert "planted" not in str(caught.value)
    with pytest.raises(DecryptionFailed, match="clear"):
        codec().read_access("ada-1", Codec().access("ada-1", Access("planted", 1, 1)))


def test_a_missing_seal_is_not_a_record_in_the_clear() -> None:
    """Also a store that takes the clear does not take a sealed record whose bookkeeping was removed or replaced."""
    for meta in ({}, {"meta": "{}"}):
        fields = {name: value for name, value in stored(codec()).items() if name != "meta"} | meta
        for how in (codec(), codec(takes=True)):
            with pytest.raises(DecryptionFailed, match="vouches"):
                read(how, fields)


def test_a_missing_key_is_named() -> None:
    """With record and key, in a store with other keys and in one without any."""
    fields = stored(codec(OLD))
    access = codec(OLD).access("ada-1", Access("token", 1, 1))
    for how in (codec(NEW), Codec()):
        for attempt in (lambda: read(how, fields), lambda: how.read_access("ada-1", access)):  # noqa: B023
            with pytest.raises(DecryptionFailed) as caught:
                attempt()
            assert (caught.value.record_id, caught.value.key_id) == ("ada-1", read_key(OLD, "").id)


class TestStale:
    """Records that lie otherwise than they would be written now."""

    @pytest.mark.parametrize(
        ("then", "now"),
        [
            (codec(OLD), codec(NEW, OLD)),
            (codec(), codec(hides=True)),
            (codec(hides=True), codec()),
            (Codec(), codec(takes=True)),
        ],
        ids=["older key", "now hidden", "hidden no more", "clear"],
    )
    def test_they_are_written_as_a_whole(self, then: Codec, now: SealedCodec) -> None:
        """By the next change, however small, and by `whole`; afterwards nothing of the old is left."""
        old = stored(then)
        found = read(now, old)
        assert found.stale
        assert same(found, RECORD)
        for rewrite in (now.changes(found, found._replace(rev="8")), now.whole(found)):
            fields = {name: value for name, value in old.items() if name not in rewrite.gone} | rewrite.values
            back = read(now, fields)
            assert not back.stale
            assert same(back._replace(rev="7"), RECORD)
            assert fields.keys() == stored(now).keys()

    def test_a_key_service_that_turns_its_key_is_followed(self) -> None:
        """What a cipher seals with is read off what it seals, not asked once."""

        class Turning:
            cipher = AesGcmCipher([OLD])

            def encrypt(self, plaintext: bytes, context: bytes) -> str:
                return self.cipher.encrypt(plaintext, context)

            def decrypt(self, ciphertext: str, context: bytes) -> bytes:
                return AesGcmCipher([NEW, OLD]).decrypt(ciphertext, context)

        cipher = Turning()
        how = SealedCodec(cipher, "crm", hides_identity=False, takes_readable=False)
        fields = stored(how)
        assert not read(how, fields).stale
        cipher.cipher = AesGcmCipher([NEW])
        stored(how, RECORD._replace(id="another"))
        assert read(how, fields).stale


class TestChanges:
    """What is written of a record that was there before."""

    @every
    def test_only_what_differs(self, how: Codec) -> None:
        """An unchanged secret is not sealed again; what is gone is removed."""
        rewrite = how.changes(RECORD._replace(schema="2"), RECORD._replace(schema="2", rev="8", spares=None))
        assert rewrite.gone == ["spares"]
        assert rewrite.values == {"rev": "8"}

    @pytest.mark.parametrize("name", ["user_name", "client_id", "redirect_url", "api_domain"])
    def test_a_new_identity_is_vouched_for(self, name: str) -> None:
        """The bookkeeping is sealed anew beside it."""
        after = RECORD._replace(**{name: "new", "schema": "2"})
        assert {name, "meta"} <= codec().changes(RECORD, after).values.keys()
        assert same(read(codec(), {**stored(codec()), **codec().changes(RECORD, after).values}), after)


def test_a_cipher_that_is_out_of_order_is_like_a_redis_that_is_away() -> None:
    """Nothing is handed out and nothing is lost: a save is kept, and what the cipher says is not repeated."""

    class Broken:
        def encrypt(self, plaintext: bytes, context: bytes) -> str:
            raise OSError(f"cannot encrypt {plaintext!r}")

        def decrypt(self, ciphertext: str, context: bytes) -> bytes:
            raise OSError("cannot decrypt")

    how = SealedCodec(Broken(), "crm", hides_identity=False, takes_readable=False)
    for attempt in (lambda: stored(how), lambda: read(how, stored(codec()))):
        with pytest.raises(StoreUnavailable, match="OSError") as caught:
            attempt()
        assert "1000." not in str(caught.value)
        assert caught.value.passing


def test_a_key_id_of_unknown_form_is_not_repeated() -> None:
    """An error must not carry terminal escapes from Redis into a log."""
    fields = {**stored(codec()), "meta": f"{MARK}\x1b[2J.x"}
    with pytest.raises(DecryptionFailed) as caught:
        read(codec(), fields)
    assert caught.value.key_id == "?"
    assert "\x1b" not in str(caught.value)


@every
@given(
    fields=st.dictionaries(
        st.sampled_from(FIELDS),
        st.text() | st.from_regex(rf"sealed\.({read_key(NEW, '').id}|\w+)\.[\w-]*", fullmatch=True) | st.just("1"),
    ),
    access=st.text() | st.from_regex(r"\d{1,15} \d{1,9} (sealed\.)?[\w.-]*", fullmatch=True),
)
def test_whatever_stands_there_is_a_record_or_an_error_of_ours(how: Codec, fields: dict[str, str], access: str) -> None:
    """No input from Redis crashes a worker with anything else."""
    with contextlib.suppress(CorruptRecord, DecryptionFailed):
        record = read(how, {"schema": "1", "rev": "1", "fence": "1"} | fields, access=access)
        record.bookkeeping(), record.spare_tokens(), record.written_ms()
