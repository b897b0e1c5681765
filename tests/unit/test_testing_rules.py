"""The stand-in's rules without HTTP: Zoho's limits, one by one, on a clock that tests move."""

from __future__ import annotations

import re

import pytest

from zoho_token_store.testing import Accounts, Client, Limits, Refused, Throttled, fingerprint

CLIENT, SECRET, URI = "1000.CLIENT", "a-client-secret", "https://app.example/callback"
ADA = "ada@example.com"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that tests move."""
    return Clock()


@pytest.fixture
def accounts(clock: Clock) -> Accounts:
    """Give rules with Zoho's own limits and one client."""
    rules = Accounts(Limits(), clock, seed=1)
    rules.register_client(CLIENT, SECRET, [URI])
    return rules


def refresh_token_of(accounts: Accounts, user: str = ADA) -> str:
    """Give a refresh token of a user."""
    return accounts.issue_refresh_token(CLIENT, user, "ZohoCRM.modules.ALL")


def test_tokens_look_like_zohos(accounts: Accounts) -> None:
    """Codes and tokens have Zoho's form, 70 characters."""
    issued = accounts.exchange(CLIENT, SECRET, accounts.issue_grant_code(CLIENT, ADA, "s"), None)
    assert issued.refresh_token is not None
    for token in (issued.access_token, issued.refresh_token):
        assert re.fullmatch(r"1000\.[0-9a-f]{32}\.[0-9a-f]{32}", token)
        assert len(token) == 70


def test_a_seed_makes_tokens_the_same_in_each_run(clock: Clock) -> None:
    """Two stand-ins of one seed issue the same strings, two without a seed do not."""

    def first_code(seed: int | None) -> str:
        rules = Accounts(Limits(), clock, seed)
        rules.register_client(CLIENT, SECRET)
        return rules.issue_grant_code(CLIENT, ADA, "s")

    assert first_code(7) == first_code(7)
    assert first_code(None) != first_code(None)


def test_a_code_is_good_once(accounts: Accounts) -> None:
    """The second exchange of a code is invalid_code."""
    code = accounts.issue_grant_code(CLIENT, ADA, "s")
    accounts.exchange(CLIENT, SECRET, code, URI)
    with pytest.raises(Refused, match=r"^invalid_code$"):
        accounts.exchange(CLIENT, SECRET, code, URI)


def test_a_code_grows_too_old(accounts: Accounts, clock: Clock) -> None:
    """A code is refused from its life's end on."""
    code = accounts.issue_grant_code(CLIENT, ADA, "s")
    clock.now += 120
    with pytest.raises(Refused, match=r"^invalid_code$"):
        accounts.exchange(CLIENT, SECRET, code, URI)


@pytest.mark.parametrize(
    ("client_id", "secret", "uri", "word"),
    [
        ("1000.NOBODY", SECRET, URI, "invalid_client"),
        (CLIENT, "wrong", URI, "invalid_client_secret"),
        (CLIENT, SECRET, "https://elsewhere.example", "invalid_redirect_uri"),
        (CLIENT, SECRET, None, "invalid_redirect_uri"),
    ],
)
def test_an_exchange_is_checked_and_costs_no_code(
    accounts: Accounts, client_id: str, secret: str, uri: str | None, word: str
) -> None:
    """Each wrong field has its own error word, and the code is still good afterwards."""
    code = accounts.issue_grant_code(CLIENT, ADA, "s", URI)
    with pytest.raises(Refused, match=f"^{word}$"):
        accounts.exchange(client_id, secret, code, uri)
    assert accounts.exchange(CLIENT, SECRET, code, URI).access_token


def test_another_clients_code_and_refresh_token_are_refused(accounts: Accounts) -> None:
    """Codes and refresh tokens are bound to the client they were given to."""
    accounts.register_client("1000.OTHER", "other")
    code, token = accounts.issue_grant_code(CLIENT, ADA, "s"), refresh_token_of(accounts)
    with pytest.raises(Refused, match=r"^invalid_code$"):
        accounts.exchange("1000.OTHER", "other", code, None)
    with pytest.raises(Refused, match=r"^invalid_code$"):
        accounts.refresh("1000.OTHER", "other", token)


def test_an_online_code_gives_no_refresh_token(accounts: Accounts) -> None:
    """Without access_type=offline the exchange gives an access token only."""
    code = accounts.issue_grant_code(CLIENT, ADA, "s", offline=False)
    issued = accounts.exchange(CLIENT, SECRET, code, None)
    assert issued.refresh_token is None
    assert accounts.authenticate(issued.access_token) is not None


def test_a_refresh_gives_no_refresh_token(accounts: Accounts) -> None:
    """Refresh answers carry an access token alone."""
    issued = accounts.refresh(CLIENT, SECRET, refresh_token_of(accounts))
    assert issued.refresh_token is None
    assert issued.expires_in == 3600


def test_ten_access_tokens_per_window(accounts: Accounts, clock: Clock) -> None:
    """The 11th refresh within the window is throttled, for the rest of it; another refresh token is not."""
    token, other = refresh_token_of(accounts), refresh_token_of(accounts)
    for _ in range(10):
        accounts.refresh(CLIENT, SECRET, token)
    for seconds in (0, 599.9):
        clock.now += seconds
        with pytest.raises(Throttled):
            accounts.refresh(CLIENT, SECRET, token)
    accounts.refresh(CLIENT, SECRET, other)
    clock.now += 0.1
    assert accounts.refresh(CLIENT, SECRET, token).access_token


def test_the_sixteenth_live_access_token_drops_the_oldest(accounts: Accounts, clock: Clock) -> None:
    """Fifteen live access tokens per refresh token: one more costs the oldest, and only that."""
    token = refresh_token_of(accounts)
    issued = []
    for number in range(16):
        clock.now += 600 if number == 10 else 0
        issued.append(accounts.refresh(CLIENT, SECRET, token).access_token)
    alive = [accounts.authenticate(value) is not None for value in issued]
    assert alive == [False] + [True] * 15


def test_expired_access_tokens_do_not_count_as_live(clock: Clock) -> None:
    """Access tokens that ran out make room, so that nothing live is dropped for them."""
    accounts = Accounts(Limits(access_token_ttl=10, live_access_tokens=2), clock)
    accounts.register_client(CLIENT, SECRET)
    token = refresh_token_of(accounts)
    accounts.refresh(CLIENT, SECRET, token)
    clock.now += 9
    second = accounts.refresh(CLIENT, SECRET, token).access_token
    clock.now += 1
    accounts.refresh(CLIENT, SECRET, token)
    assert accounts.authenticate(second) is not None


def test_an_access_token_ends_at_its_time(accounts: Accounts, clock: Clock) -> None:
    """An access token is the user's until its expiry, and nobody's from then on."""
    value = accounts.issue_access_token(refresh_token_of(accounts))
    clock.now += 3599.9
    access = accounts.authenticate(value)
    assert access is not None
    assert access.user.email == ADA
    clock.now += 0.1
    assert accounts.authenticate(value) is None


def test_the_21st_refresh_token_drops_the_first(accounts: Accounts) -> None:
    """Twenty refresh tokens per user and client; other users and clients are not touched."""
    accounts.register_client("1000.OTHER", "other")
    elsewhere = [refresh_token_of(accounts, "bob@example.com"), accounts.issue_refresh_token("1000.OTHER", ADA, "s")]
    tokens = [refresh_token_of(accounts) for _ in range(21)]
    with pytest.raises(Refused, match=r"^invalid_code$"):
        accounts.refresh(CLIENT, SECRET, tokens[0])
    accounts.refresh(CLIENT, SECRET, tokens[1])
    accounts.refresh(CLIENT, SECRET, elsewhere[0])
    accounts.refresh("1000.OTHER", "other", elsewhere[1])


@pytest.mark.parametrize("drops", [True, False])
def test_revoking_a_refresh_token(clock: Clock, drops: bool) -> None:
    """A revoked refresh token is invalid_code; whether its access tokens end with it is a setting."""
    accounts = Accounts(Limits(revoke_drops_access_tokens=drops), clock)
    accounts.register_client(CLIENT, SECRET)
    token = refresh_token_of(accounts)
    access = accounts.issue_access_token(token)
    assert accounts.revoke(token)
    assert not accounts.revoke(token)
    assert (accounts.authenticate(access) is None) is drops
    with pytest.raises(Refused, match=r"^invalid_code$"):
        accounts.refresh(CLIENT, SECRET, token)


def test_revoking_an_access_token(accounts: Accounts) -> None:
    """A revoked access token is rejected, its refresh token stays good."""
    token = refresh_token_of(accounts)
    access = accounts.issue_access_token(token)
    assert accounts.revoke(access)
    assert accounts.authenticate(access) is None
    accounts.refresh(CLIENT, SECRET, token)


def test_rotation_keeps_family_window_and_place(accounts: Accounts) -> None:
    """A rotated refresh token replaces the old one, with its throttle window and its lasting name."""
    first = refresh_token_of(accounts)
    token = first
    for _ in range(10):
        rotated = accounts.refresh(CLIENT, SECRET, token, rotate=True).refresh_token
        assert rotated is not None
        with pytest.raises(Refused, match=r"^invalid_code$"):
            accounts.refresh(CLIENT, SECRET, token)
        token = rotated
    assert accounts.family(token) == accounts.family(first) == fingerprint(first)
    with pytest.raises(Throttled):
        accounts.refresh(CLIENT, SECRET, token)


def test_a_rotation_that_overlaps_leaves_the_old_one(accounts: Accounts) -> None:
    """Each use of the old refresh token gives another new one, of one family; revoking one of them ends that one."""
    first = refresh_token_of(accounts)
    issued = [accounts.refresh(CLIENT, SECRET, first, rotate=True, overlaps=True) for _ in range(2)]
    one, two = (tokens.refresh_token or "" for tokens in issued)
    assert len({first, one, two}) == 3
    assert {accounts.family(token) for token in (first, one, two)} == {fingerprint(first)}
    accounts.revoke(two)
    assert accounts.authenticate(issued[0].access_token)
    assert accounts.authenticate(issued[1].access_token) is None
    for token in (first, one):
        accounts.refresh(CLIENT, SECRET, token)
    with pytest.raises(Refused, match=r"^invalid_code$"):
        accounts.refresh(CLIENT, SECRET, two)


def test_access_tokens_can_be_expired_for_one_grant_or_for_all(accounts: Accounts) -> None:
    """Expiring by refresh token ends that grant's access tokens only; without one, all."""
    one, two = refresh_token_of(accounts), refresh_token_of(accounts, "bob@example.com")
    first, second = accounts.issue_access_token(one), accounts.issue_access_token(two)
    assert accounts.expire_access_tokens(one) == 1
    assert accounts.authenticate(first) is None
    assert accounts.authenticate(second) is not None
    assert accounts.expire_access_tokens() == 1
    assert accounts.authenticate(second) is None


def test_limits_refuse_what_makes_no_sense() -> None:
    """A limit that is not positive is named in the error."""
    with pytest.raises(ValueError, match=r"Limits\.window must be greater than 0, not 0"):
        Limits(window=0)
    with pytest.raises(ValueError, match=r"Limits\.access_token_ttl"):
        Limits(access_token_ttl=float("nan"))


def test_reprs_hold_no_secret(accounts: Accounts) -> None:
    """Neither a client nor an access token shows its secret."""
    access = accounts.issue_access_token(refresh_token_of(accounts))
    shown = repr(accounts.authenticate(access)) + repr(Client(CLIENT, SECRET))
    assert access not in shown
    assert SECRET not in shown
