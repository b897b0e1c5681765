"""Between ``OAuthToken`` and records."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from contract.tokens import contents, make_token
from zoho_token_store import sdk
from zoho_token_store.clock import ServerClock, SystemClock
from zoho_token_store.errors import InvalidToken
from zoho_token_store.record import Access, TokenRecord
from zoho_token_store.zoho_sdk import OAuthToken, UserSignature

pytestmark = pytest.mark.sdk_matrix

FULL = TokenRecord(
    "some-id",
    user_name="ada",
    client_id="c",
    client_secret="s",
    refresh_token="r",
    grant_token="g",
    redirect_url="u",
    api_domain="d",
    access=Access("a", 1_700_000_000_000, 3_600_000),
)


@pytest.fixture
def clock() -> ServerClock:
    return ServerClock(SystemClock())


def test_every_field_is_read() -> None:
    """What the SDK's token says is taken over field by field."""
    token = make_token("ada", refresh="r", grant="g", access="a", left=None, id="i", redirect="u", domain="d")
    token.set_expires_in("123")
    data = sdk.read_token(token)
    assert data._asdict() == {
        "id": "i", "user_name": "ada", "client_id": "1000.ONE", "client_secret": "made-up-secret", "refresh_token": "r",
        "grant_token": "g", "redirect_url": "u", "api_domain": "d", "access_token": "a", "expires_in": "123",
    }  # fmt: skip


def test_empty_text_is_none() -> None:
    """The SDK's empty strings are no values."""
    token = make_token("", client_id="", secret="", refresh="", grant="", access="", id="", redirect="", domain="")
    assert set(sdk.read_token(token)._replace(expires_in=None)) == {None}


def test_a_subclass_will_do_and_a_lookalike_will_not() -> None:
    """Applications may subclass the SDK's token; anything else is refused by its type's name."""

    class Ours(OAuthToken):  # type: ignore[misc]
        pass

    assert sdk.read_token(Ours(client_id="c", client_secret="s", refresh_token="r")).refresh_token == "r"
    with pytest.raises(InvalidToken, match="dict"):
        sdk.read_token({"refresh_token": "r"})


@pytest.mark.parametrize("name", [7, b"ada", ["ada"]])
def test_a_user_name_that_is_not_text_is_refused(name: object) -> None:
    """The field is named, the value is not."""
    token = make_token(refresh="r")
    token.set_user_signature(UserSignature.__new__(UserSignature))
    token.get_user_signature().get_name = lambda: name
    with pytest.raises(InvalidToken) as caught:
        sdk.read_token(token)
    assert caught.value.field == "user_signature"


def test_a_token_is_made_of_every_field(clock: ServerClock) -> None:
    """By the constructor, so that nothing that ``switch_user`` needs is missing."""
    token = sdk.make_token(FULL, clock, usable=True)
    assert sdk.read_token(token) == (
        *("some-id", "ada", "c", "s", "r", "g", "u", "d"),
        *("a", "1700000000000"),
    )
    assert vars(token).keys() == vars(OAuthToken(client_id="c", client_secret="s", refresh_token="r")).keys()


@pytest.mark.parametrize(
    ("record", "usable"), [(FULL, False), (FULL._replace(access=None), True)], ids=["with the lease", "expired"]
)
def test_without_a_usable_access_token_there_is_none(clock: ServerClock, record: TokenRecord, usable: bool) -> None:
    """That is what makes the SDK refresh."""
    token = sdk.make_token(record, clock, usable=usable)
    assert (token.get_access_token(), token.get_expires_in(), token.get_refresh_token()) == (None, None, "r")


def test_an_unknown_expiry_is_none(clock: ServerClock) -> None:
    """A token whose expiry nobody said has none."""
    assert sdk.make_token(FULL._replace(access=Access("a", 0, 1)), clock, usable=True).get_expires_in() is None


def test_a_record_of_almost_nothing_makes_a_token(clock: ServerClock) -> None:
    """The SDK's constructor is strict; a record with nothing but an access token passes it all the same."""
    token = sdk.make_token(TokenRecord("some-id", access=Access("a", 0, 1)), clock, usable=True)
    assert (token.get_id(), token.get_access_token(), token.get_user_signature()) == ("some-id", "a", None)


def test_filling_takes_nothing_away(clock: ServerClock) -> None:
    """A caller's token without a stored access token to replace it keeps its own: 32 threads may share it."""
    mine = make_token("me", access="mine", left=None, redirect="my redirect")
    sdk.fill_token(mine, sdk.make_token(FULL, clock, usable=False))
    assert contents(mine) == {
        "id": "some-id", "user": "me", "client_id": "1000.ONE", "client_secret": "made-up-secret", "refresh_token": "r",
        "grant_token": "g", "redirect_url": "my redirect", "api_domain": "d", "access_token": "mine",
    }  # fmt: skip


def pickled(token: Any) -> Any:
    return pickle.loads(pickle.dumps(token))  # noqa: S301 - pickled the line before


class TestCarrying:
    """What a token that was handed out brings back."""

    def test_to_the_store_that_handed_it_out(self) -> None:
        """Another store is not given it, and a plain token brings nothing."""
        token, ours, theirs = make_token(refresh="r"), object(), object()
        assert sdk.carried(token, ours) is None
        brought = sdk.Carried(ours, FULL, None)
        sdk.carry(token, brought)
        assert sdk.carried(token, ours) is brought
        assert sdk.carried(token, theirs) is None

    @pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
    def test_a_copy_carries_nothing(self, copied) -> None:
        """A lease is one worker's; a copy that travels to another process does not have it."""
        token, ours = make_token(refresh="r"), object()
        sdk.carry(token, sdk.Carried(ours, FULL, None))
        twin = copied(token)
        assert twin.get_refresh_token() == "r"
        assert sdk.carried(twin, ours) is None

    def test_the_sdks_merge_leaves_it_alone(self) -> None:
        """``merge_objects`` copies attributes by parts of their names, and this one is not among them."""
        found, mine, ours = make_token(refresh="r", id="i"), make_token(), object()
        sdk.carry(found, sdk.Carried(ours, FULL, None))
        mine.merge_objects(mine, found)
        assert mine.get_id() == "i"
        assert sdk.carried(mine, ours) is None
