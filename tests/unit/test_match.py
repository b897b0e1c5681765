"""Which record is a caller's: selectors, their order, and contradictions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_token_store.errors import AmbiguousToken
from zoho_token_store.keyspace import client_digest, read_user_pointer, write_user_pointer
from zoho_token_store.match import NOTHING, Match, TokenData, named_record, resolve, selectors

ONE, TWO = "client one", "client two"


def ask(data: TokenData, *, dead: tuple[str, ...] = (), foreign: tuple[str, ...] = (), **leads_to: str) -> Match:
    """Resolve a caller's token against pointers that are given by selector."""
    wanted = selectors(data)
    pointers = {getattr(wanted, kind): value for kind, value in leads_to.items()}
    return resolve(data, wanted, pointers, dead, foreign)


def test_an_access_token_counts_without_client_credentials_only() -> None:
    """As in the SDK's stores, a caller with a client id or secret is not looked up by its access token."""
    assert selectors(TokenData(access_token="a")).access
    assert not selectors(TokenData(access_token="a", client_id="c")).access
    assert not selectors(TokenData(access_token="a", client_secret="s")).access


def test_selectors_are_digests() -> None:
    """No user name and no secret stands in a pointer's name, and equal texts of two kinds differ."""
    names = selectors(
        TokenData(user_name="same", access_token="same", grant_token="same", refresh_token="same")
    ).names()
    assert len(set(names)) == 4
    assert not any("same" in name for name in names)
    assert len({name.split(":")[1] for name in names}) == 4


def test_nothing_given_is_nothing_found() -> None:
    """A token without selectors matches nothing."""
    assert not selectors(TokenData(redirect_url="u")).names()
    assert ask(TokenData(redirect_url="u")) == NOTHING


def test_ones_own_credential_goes_first() -> None:
    """The grant code's record, then the refresh token's, then the user's, then the access token's."""
    data = TokenData(user_name="u", grant_token="g", refresh_token="r", access_token="a")
    everything = {"grant": "of-grant", "refresh": "of-refresh", "user": write_user_pointer({"-": "of-user"})}
    assert ask(data, **everything).record_id == "of-grant"
    assert ask(data, **{**everything, "grant": ""}).record_id == "of-refresh"
    named = TokenData(user_name="u", access_token="a")
    assert ask(named, user=everything["user"], access="of-access").record_id == "of-user"
    assert ask(named, access="of-access").record_id == "of-access"


def test_an_unseen_credential_is_claimed_grant_code_first() -> None:
    """It will be spent, so the lease is on it, whatever other selectors the caller has."""
    data = TokenData(user_name="u", grant_token="g", refresh_token="r")
    wanted = selectors(data)
    assert ask(data, user=write_user_pointer({"-": "of-user"})) == Match(claim=wanted.grant)
    assert ask(data._replace(grant_token=None)) == Match(claim=wanted.refresh)


@pytest.mark.parametrize("selector", ["grant", "refresh"])
def test_another_clients_credential_is_neither_found_nor_claimed(selector: str) -> None:
    """Its record is foreign: the caller would spend what belongs to another."""
    data = TokenData(client_id=TWO, **{f"{selector}_token": "x"})  # type: ignore[arg-type]
    assert ask(data, foreign=("theirs",), **{selector: "theirs"}) == NOTHING


def test_a_pointer_to_nothing_is_as_none() -> None:
    """A record that has ended by itself leaves its credential free to be spent again."""
    data = TokenData(refresh_token="r")
    assert ask(data, dead=("ended",), refresh="ended") == Match(claim=selectors(data).refresh)


def texts(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(pattern, fullmatch=True)


class TestNames:
    """One user name, a record for each client."""

    both = write_user_pointer({client_digest(ONE): "of-one", client_digest(TWO): "of-two"})

    @pytest.mark.parametrize(("client", "expected"), [(ONE, "of-one"), (TWO, "of-two"), ("another", None)])
    def test_within_a_client(self, client: str, expected: str | None) -> None:
        """A client id leads to that client's record and to no other."""
        assert named_record(self.both, client) == expected

    def test_without_a_client_it_is_ambiguous(self) -> None:
        """Two clients and no client id: no guess."""
        with pytest.raises(AmbiguousToken) as caught:
            named_record(self.both, None)
        assert caught.value.clients == 2

    def test_what_is_not_the_callers_does_not_count(self) -> None:
        """With one of the two excluded, the other is meant."""
        assert named_record(self.both, None, ["of-two"]) == "of-one"

    def test_a_record_without_client_is_anybodys(self) -> None:
        """A client that has no record of its own takes the one that has no client, and only then."""
        stored = write_user_pointer({"-": "of-nobody", client_digest(ONE): "of-one"})
        assert named_record(stored, TWO) == "of-nobody"
        assert named_record(stored, ONE) == "of-one"

    @given(
        st.dictionaries(
            st.from_regex(r"[A-Za-z0-9+/]{22}", fullmatch=True),
            st.from_regex(r"[A-Za-z0-9_.@+=-]{1,9}", fullmatch=True),
        )
    )
    def test_a_pointer_comes_back(self, entries: dict[str, str]) -> None:
        """What is written is read back."""
        assert read_user_pointer(write_user_pointer(entries)) == entries


def test_tokens_are_not_shown() -> None:
    """A caller's data prints its id and nothing else."""
    assert repr(TokenData(id="i", user_name="hidden", refresh_token="hidden")) == "TokenData(id='i', ...)"
