"""Two namespaces on one Redis, and two clients in one namespace, cannot reach each other's tokens by any input."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.tokens import contents, refreshed
from security.conftest import PLACES, SETTINGS
from security.town import ADA, GRACE, Person, Town
from servers import Backend
from zoho_token_store import ConfigurationError, RedisTokenStore, RefreshFailing, TokenStoreError
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.link import RedisLink
from zoho_token_store.zoho_sdk import OAuthToken, UserSignature

NORTH, SOUTH = "north", "south"
MakeTown = Callable[..., Town]
NEWEST = pytest.mark.parametrize("backend", PLACES[-1:], indirect=True)

# What an attacker might hope for: ends of hash tags and keys, globs, the other side's names, and what looks like them.
PIECES = [
    *"{}:*?[]\\\0\n\r/", "..", "zts:", "{south}", "}:token:", "south", "id-of-ada", "ada@example.com", "ada-refresh",
    "token:", "gone:", "merged ", "user:", "grant:", "refresh:", "\uff53\uff4f\uff55\uff54\uff48", "s\u043euth",
    "south\u200b", "\ud800", "\udcff", "\U0001f511", "x" * 200,
]  # fmt: skip
KEY = "zts:{south}:token:id-of-ada"
hostile = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join),
    st.text(min_size=1, max_size=40),
    st.sampled_from([KEY, "x}:token:y", "id-of-ada", "south}:ids", "\u00e9", "e\u0301", "a" * 5000]),
)
anything = hostile | st.none() | st.integers() | st.binary(max_size=8)

CALLS: dict[str, Callable[[RedisTokenStore, Any], Any]] = {
    "find_token_by_id": lambda store, value: store.find_token_by_id(value),
    "get": lambda store, value: store.get(value),
    "delete_token": lambda store, value: store.delete_token(value),
    "invalidate_access_token": lambda store, value: store.invalidate_access_token(value, value),
    **{f"find by {field}": lambda store, value, field=field: store.find_token(token_with(field, value))
       for field in ("id", "user", "client", "refresh", "grant", "access")},
    **{f"save with {field}": lambda store, value, field=field: store.save_token(token_with(field, value))
       for field in ("id", "user", "client", "secret", "refresh", "grant", "access", "domain", "redirect")},
}  # fmt: skip


def token_with(field: str, value: Any) -> Any:
    """Return a token of nobody's, with something odd in one field."""
    token = OAuthToken(client_id="c", client_secret="s", refresh_token="nobody-refresh", access_token="nobody-access")
    if field == "user":
        token.set_user_signature(UserSignature("x"))
        token.get_user_signature()._UserSignature__name = value  # past the SDK's own checks
        return token
    names = {"client": "client_id", "secret": "client_secret", "domain": "api_domain", "redirect": "redirect_url",
             "refresh": "refresh_token", "grant": "grant_token", "access": "access_token"}  # fmt: skip
    setattr(token, f"_OAuthToken__{names.get(field, field)}", value)
    return token


class Sides:
    """Two applications that share a Redis, with tokens under the same ids and names; every key that is used is seen."""

    def __init__(self, backend: Backend, setting: str, stack: ExitStack) -> None:
        self.raw = stack.enter_context(backend.client())
        self.stores = {
            name: stack.enter_context(RedisTokenStore(backend.client(), name, **SETTINGS[setting]))
            for name in (NORTH, SOUTH)
        }
        self.fill()
        self.before = self.south()

    def fill(self) -> None:
        self.raw.flushall()
        for name, store in self.stores.items():
            for person in (ADA, GRACE):
                store.save_token(refreshed(person.whole(), f"{name}-{person.name}-access"))

    def south(self) -> dict[bytes, bytes]:
        """Return everything that is not north's."""
        return {key: self.raw.dump(key) for key in self.raw.keys("*") if not key.startswith(b"zts:{north}:")}


@pytest.fixture(params=SETTINGS)
def sides(request: pytest.FixtureRequest, backend: Backend) -> Iterator[Sides]:
    """Give two applications that share a Redis."""
    with ExitStack() as stack:
        yield Sides(backend, request.param, stack)


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the keys that links have named."""
    keys: set[str] = set()
    run = RedisLink.run

    def recorded(link: RedisLink, script: Any, named: Any, args: Any) -> Any:
        keys.update(named)
        return run(link, script, named, args)

    monkeypatch.setattr(RedisLink, "run", recorded)
    return keys


class TestNamespaces:
    """No input of one application's leads to a key of another's."""

    @NEWEST
    @given(call=st.sampled_from(sorted(CALLS)), value=anything)
    @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_no_input_leads_out(self, sides: Sides, touched: set[str], call: str, value: Any) -> None:
        """Every key that is touched is the own namespace's, and nothing of the other's is seen or changed."""
        touched.clear()
        with suppress(TokenStoreError):
            token = CALLS[call](sides.stores[NORTH], value)
            assert token is None or token.get_access_token() not in ("south-ada-access", "south-grace-access")
        assert all(key.startswith("zts:{north}:") for key in touched)
        assert sides.south() == sides.before

    @NEWEST
    def test_what_redis_sees(self, sides: Sides) -> None:
        """The server itself is asked for no key of another namespace, by no command and in no script."""
        seen: list[dict[str, str]] = []
        with sides.raw.monitor() as monitor:
            for call, value in itertools.product(CALLS.values(), [*PIECES, KEY]):
                with suppress(TokenStoreError):
                    call(sides.stores[NORTH], value)
            sides.raw.echo("the end")
            while "the end" not in (line := monitor.next_command())["command"]:
                seen.append(line)
        keys = {key for line in seen for key in keys_of(line)}
        assert len(keys) > 50
        assert {key for key in keys if not key.startswith("zts:{north}:")} == set()

    @given(one=hostile, other=hostile, name=st.sampled_from(["token", "access", "lease", "wake", "calls"]), id=hostile)
    def test_no_two_namespaces_share_a_key(self, one: str, other: str, name: str, id: str) -> None:
        """What cannot be told apart is no namespace; of two that are, none has a key that the other could have."""
        try:
            first, second = Keyspace(one), Keyspace(other)
        except ConfigurationError:
            return
        assert one.isascii()
        if one != other:
            key = getattr(first, name)(id)
            assert not key.startswith(second.token("").removesuffix("token:"))

    @pytest.mark.parametrize(
        "namespace",
        ["", "a b", "south\n", "s\u043euth", "{south}", "a}:", "*", "x" * 65, "\0", "\ud800", None, 7, b"south"],
    )
    def test_what_is_no_namespace(self, namespace: Any) -> None:
        """Braces, globs, line ends, look-alikes and what is no text are refused."""
        with pytest.raises(ConfigurationError):
            Keyspace(namespace)


def keys_of(line: dict[str, str]) -> list[str]:
    """Return the keys of a command that ``MONITOR`` has shown."""
    name, *words = line["command"].split(" ")
    if line["client_type"] == "lua":
        return [] if name.upper() == "TIME" else words[:1]
    return words[2 : 2 + int(words[1])] if name == "EVALSHA" else []


SELECTORS = ("id", "user", "refresh", "grant", "access")


@NEWEST
@pytest.mark.parametrize("near", [False, True], ids=["", "near cache"])
@pytest.mark.parametrize("setting", SETTINGS)
class TestClients:
    """What client A has saved is never given to a caller that shows client B."""

    @pytest.mark.parametrize("saved", [("refresh",), ("user", "refresh"), ("user", "access"), SELECTORS], ids="+".join)
    def test_no_selector_leads_across(
        self, make_town: MakeTown, setting: str, namespace: str, near: bool, saved: tuple[str, ...]
    ) -> None:
        """By none of the selectors nor by several at once, whether the caller has been there before or not."""
        town = make_town(setting, namespace, near_cache=near)
        eve = Person("eve-2", "client-a")
        owner, other = town.open_store(), town.open_store()
        owner.save_token(eve.token(*{*saved, "client_id", "secret", "access"}))
        for number in range(1, len(SELECTORS) + 1):
            for chosen in itertools.combinations(SELECTORS, number):
                with suppress(RefreshFailing):  # what nobody has saved is this thread's to spend
                    own = owner.find_token(eve.token(*chosen, "client_id"))
                    assert own is None or own.get_client_id() == "client-a"
                for _ in range(2):
                    self._shows_b(owner, eve, chosen)
                    self._shows_b(other, eve, chosen)

    def _shows_b(self, store: RedisTokenStore, person: Person, chosen: tuple[str, ...]) -> None:
        """Ask, and save, as client B with a person's selectors."""
        for client in ({"client_id": "client-b"}, {"client_id": "client-b", "secret": "b-secret"}):
            asked = person.token(*chosen, **client)
            try:
                found = store.find_token(asked)
            except TokenStoreError:
                continue
            brought = {person.value(name) for name in chosen}
            for token in filter(None, (asked, found)):
                shown = {value for name, value in contents(token).items() if name not in ("id", "user")} - brought
                assert not [value for value in shown if value and "eve-2" in value]
                assert token.get_client_id() == "client-b"

    def test_no_save_leads_across(self, make_town: MakeTown, setting: str, namespace: str, near: bool) -> None:
        """A save by client B with client A's selectors is refused or makes a record of its own; A's stays as it is."""
        town = make_town(setting, namespace, near_cache=near)
        before = town.state([ADA])
        for number in range(1, len(SELECTORS) + 1):
            for chosen in itertools.combinations(SELECTORS, number):
                store = town.open_store()
                token = refreshed(ADA.token(*chosen, client_id="client-b", secret="b-secret"), "b-access")
                with suppress(TokenStoreError):
                    store.save_token(token)
                found = store.find_token(ADA.token("user", client_id="client-b"))
                assert found is None or "ada-secret" not in contents(found).values()
                assert town.state([ADA]) == before
                found = store.find_token(ADA.token("user", "client_id"))
                assert (found.get_id(), found.get_access_token()) == (ADA.id, "ada-access")
