"""Bad input gets a clear error that names the field and changes nothing, or works."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from contract.tokens import by_access, by_user, contents, make_token, user_of
from servers import Backend
from zoho_token_store import InvalidToken, RedisTokenStore

BAD_IDS = {
    "braces": "a{b}c",
    "a key of ours": "x}:token:y",
    "space": "a b",
    "newline": "a\nb",
    "newline at the end": "ab\n",
    "NUL": "a\0b",
    "slash": "a/b",
    "colon": "a:b",
    "pattern": "*",
    "quote": "a'b",
    "not ASCII": "żółć",
    "10 kB": "x" * 10_240,
    "129 characters": "x" * 129,
}
NAMES = {
    "Polish": "zażółć@gęślą.pl",
    "Chinese": "用户@例子.中国",
    "Arabic": "مستخدم@مثال.السعودية",
    "Hebrew": "משתמש@דוגמה.ישראל",
    "Hindi": "उपयोगकर्ता@उदाहरण.भारत",
    "emoji": "👩‍🚀@🪐",
    "composed": "e\u0301@x",
    "beyond the BMP": "\U0001d518\U0001d530\U0001d522\U0001d52f",
    "spaces": "  ada  lovelace  ",
    "NUL": "ada\0lovelace",
    "line ends": "ada\r\nlovelace",
    "braces": "{ada}:user:{grace}",
    "10 kB": "ü" * 5120,
}
VALUES = {
    "Lua": "\"]] redis.call('FLUSHALL') --[[",
    "a Lua comment": "--[[ x ]]",
    "RESP": "$-1\r\n*2\r\n$8\r\nFLUSHALL\r\n",
    "a RESP error": "-ERR no\r\n",
    "JSON": '{"refresh_token": null, "rev": 99}',
    "a JSON list": '["a", "b"]',
    "an access part": "0 0 token",
    "a tombstone": "deleted 1",
    "a redirect": "merged other",
    "None": "None",
    "nil": "(nil)",
    "a number": "-0",
    "an option": "KEEPTTL",
    "percent": "%s%d%%",
    "backslash": "\\x00\\",
    "NUL": "a\0b",
    "line ends": "\r\n",
    "space": " ",
    "64 kB": "x" * 65_536,
    "64 kB of Unicode": "ж" * 32_768,
}

FIELDS = ["client_id", "client_secret", "refresh_token", "grant_token", "access_token", "api_domain"]
NO_TEXT = {"number": 7, "bytes": b"bytes", "list": ["text"], "surrogate": "\ud800", "too long": "x" * ((1 << 20) + 1)}


def cases(table: Mapping[str, object]) -> list:
    return [pytest.param(value, id=name) for name, value in table.items()]


@pytest.mark.parametrize("id", [*cases(BAD_IDS), "", None, 7, b"bytes"])
def test_a_bad_id_is_refused(fake_store: RedisTokenStore, fake: Backend, id) -> None:
    """Every method that takes an id refuses one that cannot stand in a key, and nothing is written."""
    for call in (
        fake_store.find_token_by_id,
        fake_store.get,
        fake_store.delete_token,
        fake_store.invalidate_access_token,
    ):
        with pytest.raises(InvalidToken) as caught:
            call(id)
        assert caught.value.field == "id"
        assert len(str(caught.value)) < 200
    assert fake.client().keys("*") == []


@pytest.mark.parametrize("id", cases(BAD_IDS))
def test_a_token_with_a_bad_id_is_refused(fake_store: RedisTokenStore, id: str) -> None:
    """Neither find nor save takes a token with such an id, and the object is left as it was."""
    token = make_token("ada", id=id, refresh="rt", access="at")
    for call in (fake_store.find_token, fake_store.save_token):
        with pytest.raises(InvalidToken) as caught:
            call(token)
        assert caught.value.field == "id"
    assert token.get_id() == id
    assert fake_store.get_tokens() == []


@pytest.mark.parametrize("id", ["a", "x" * 128, "ada@example.com", "A-b_c.d+e=f", "..", "-", "0"])
def test_a_good_id_works(store: RedisTokenStore, id: str) -> None:
    """Ids that an application may choose are taken as they are, at the limits too."""
    store.save_token(make_token("ada", id=id, refresh="rt", access="at"))
    assert store.find_token_by_id(id).get_id() == id
    store.delete_token(id)
    assert store.get(id) is None


@pytest.mark.parametrize("name", cases(NAMES))
def test_user_names_in_any_script(store: RedisTokenStore, other: RedisTokenStore, raw, name: str) -> None:
    """A user is found by exactly the name that was saved; it stands in no key."""
    store.save_token(make_token(name, refresh="rt", access="at"))
    assert user_of(other.find_token(by_user(name))) == name
    assert other.find_token(by_user(name + "x")) is None
    assert not [key for key in raw.scan_iter("*") if name in key]


def test_names_are_not_normalised(store: RedisTokenStore) -> None:
    """Two names that look alike are two users: nobody gets another's token because of a font."""
    store.save_token(make_token("\u00e9", refresh="rt1", access="at1"))
    store.save_token(make_token("e\u0301", refresh="rt2", access="at2"))
    assert store.find_token(by_user("\u00e9")).get_access_token() == "at1"
    assert store.find_token(by_user("e\u0301")).get_access_token() == "at2"


@pytest.mark.parametrize("value", cases(VALUES))
def test_any_value_comes_back_as_it_was(store: RedisTokenStore, other: RedisTokenStore, value: str) -> None:
    """Whatever stands in the fields, all come back unchanged, and each selector finds the record by it."""
    fields = {name: f"{name}{value}" for name in ("refresh", "grant", "access", "redirect", "domain", "secret")}
    token = make_token(f"user{value}", client_id=f"client{value}", **fields)
    store.save_token(token)
    stored = contents(token)
    assert contents(other.find_token_by_id(token.get_id())) == stored
    for asked in (
        by_user(f"user{value}", f"client{value}"),
        by_access(fields["access"]),
        make_token(grant=fields["grant"], client_id=None, secret=None),
        make_token(refresh=fields["refresh"], client_id=None, secret=None),
    ):
        assert contents(other.find_token(asked)) == stored
    assert [contents(listed) for listed in other.get_tokens()] == [stored]


@pytest.mark.parametrize("value", cases(VALUES))
def test_a_bare_value_comes_back_as_it_was(store: RedisTokenStore, other: RedisTokenStore, value: str) -> None:
    """The same where the value is the whole field."""
    store.save_token(make_token("ada", refresh=value, access=value, redirect=value, secret=value))
    found = other.find_token(by_user("ada"))
    assert (found.get_refresh_token(), found.get_access_token(), found.get_redirect_url()) == (value, value, value)


def test_spare_tokens_of_any_value(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """Superseded credentials are remembered whatever they look like."""
    for number, value in enumerate(VALUES.values()):
        store.save_token(make_token("ada", refresh=f"{number}{value}", access=f"at{number}"))
        assert other.find_token(by_user("ada")).get_refresh_token() == f"{number}{value}"


@pytest.mark.parametrize(
    "field", ["client_id", "client_secret", "refresh_token", "grant_token", "access_token", "api_domain"]
)
@pytest.mark.parametrize(
    "value",
    [7, b"bytes", ["list"], "\ud800", "x" * (1 << 20) + "x"],
    ids=["number", "bytes", "list", "surrogate", "too long"],
)
def test_what_is_not_text_is_refused(fake_store: RedisTokenStore, field: str, value) -> None:
    """A field that cannot be stored is named, its value is not, and nothing is written."""
    token = make_token("ada", refresh="rt", access="at")
    getattr(token, f"set_{field}")(value)
    for call in (fake_store.save_token, fake_store.find_token):
        with pytest.raises(InvalidToken) as caught:
            call(token)
        assert caught.value.field == field
        assert len(str(caught.value)) < 200
    assert fake_store.get_tokens() == []


def test_no_secret_stands_in_a_key(fake_store: RedisTokenStore, raw) -> None:
    """Keys, events and pointers hold digests; a secret is only in the record and its access part."""
    token = make_token("ada", refresh="rt-secret", grant="gt-secret", access="at-secret")
    fake_store.save_token(token)
    fake_store.find_token(by_user("ada"))
    secrets = ("rt-secret", "gt-secret", "at-secret", "made-up-secret", "ada")
    for key in raw.scan_iter("*"):
        assert not any(secret in key for secret in secrets)
        kind = key.split(":")[2]
        if raw.type(key) == "string" and kind != "access":
            assert not any(secret in raw.get(key) for secret in secrets)
        if raw.type(key) == "stream":
            assert not any(secret in repr(raw.xrange(key)) for secret in secrets)
