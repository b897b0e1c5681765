"""Runs the store and the model side by side and compares what they give."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import fakeredis
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, multiple

from contract.model import Grant, Model, Refused
from contract.tokens import contents, make_token
from zoho_token_store import (
    AmbiguousToken,
    CoordinatedTokenStore,
    InvalidToken,
    RedisTokenStore,
    RefreshFailing,
    TokenDeleted,
    TokenNotFound,
)
from zoho_token_store.label import process_label
from zoho_token_store.link import RedisLink
from zoho_token_store.local_repository import LocalRepository

ERRORS = {
    TokenDeleted: "deleted",
    TokenNotFound: "missing",
    AmbiguousToken: "ambiguous",
    InvalidToken: "invalid",
}
SHOWN = {"id": "id", "user": "user", "client": "client_id", "redirect": "redirect_url", "refresh": "refresh_token",
         "grant": "grant_token", "access": "access_token"}  # fmt: skip


class FrozenClock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


class Comparison(RuleBasedStateMachine):
    """Two processes of the store and one model, at the same stopped clock; what each call gives is compared."""

    def open_place(self) -> None:
        """Make an empty place for the stores."""
        self.redis = fakeredis.FakeServer()

    @initialize()
    def start(self) -> None:
        """Begin with an empty place and a stopped clock."""
        self.clock = FrozenClock()
        self.patches = [mock.patch.object(time, name, self.clock) for name in ("time", "monotonic")]
        # Nobody waits here: the holder of a lease saves, gives it back or is dead before anybody else asks.
        for kind in (RedisLink, LocalRepository):
            self.patches.append(mock.patch.object(kind, "wait", side_effect=AssertionError("a call waits")))
        for patch in self.patches:
            patch.start()
        self.open_place()
        self.made: list[CoordinatedTokenStore] = []
        self.stores = [self.make(), self.make()]
        self.model = Model(now=self.clock())
        self.drawn = 0
        self.told, self.stored = "-", dict[str, tuple[Any, float]]()

    def make(self) -> CoordinatedTokenStore:
        self.made.append(RedisTokenStore(fakeredis.FakeRedis(server=self.redis), "crm"))
        return self.made[-1]

    def teardown(self) -> None:
        """Close everything and let the clocks go."""
        for store in getattr(self, "made", ()):
            store.close()
        for patch in getattr(self, "patches", ()):
            patch.stop()

    def pass_time(self, seconds: float = 0.005) -> None:
        """Let time pass; a little before each call, so that nothing happens in the same moment."""
        self.clock.seconds += seconds
        self.model.advance(self.clock() - self.model.now)

    def a_token(self, given: dict[str, Any]) -> Any:
        token = make_token(
            given.get("user"),
            client_id=given.get("client"),
            secret="s" if given.get("client") else None,
            refresh=given.get("refresh"),
            grant=given.get("grant"),
            access=given.get("access"),
            redirect=given.get("redirect"),
            id=given.get("id"),
            left=None,
        )
        if given.get("access"):
            token.set_expires_in(str(int(given["expires"] * 1000)))
        return token

    def with_access(self, given: dict[str, Any], life: float | None) -> dict[str, Any]:
        """Add an access token that nobody has had before."""
        if life is None:
            return given
        self.drawn += 1
        # To the millisecond, as the SDK writes it.
        expires = int((self.clock() + life) * 1000) / 1000
        return {
            **given,
            "access": f"a{self.drawn}",
            "expires": expires,
            "life": expires - int(self.clock() * 1000) / 1000,
        }

    def both(self, real: Callable[[], Any], modelled: Callable[[], Any]) -> tuple[Any, Any]:
        """Call both, and see that they refuse the same things; return what they gave, None twice for a refusal."""
        try:
            expected = modelled()
        except Refused as refusal:
            reason = str(refusal)
        else:
            return real(), expected
        with pytest.raises(tuple(ERRORS)) as caught:
            real()
        assert ERRORS[type(caught.value)] == reason
        return None, None

    def save(self, process: int, token: Any, given: dict[str, Any], base: dict[str, Any] | None = None) -> str | None:
        """Save in both; return the id."""
        _, record = self.both(lambda: self.stores[process].save_token(token), lambda: self.model.save(given, base))
        self.pass_time()  # an access token that has ended already is stored for a millisecond
        if record is None:
            return None
        if record.ids == ["new"]:
            record.ids[0] = token.get_id()
        assert token.get_id() == record.ids[0]
        return str(record.ids[0])

    def looked_up(self, process: int, by: Any, ending: str, ask: Callable[[RedisTokenStore], Any]) -> Any:
        look = self.model.find_by_id if isinstance(by, str) else self.model.find
        try:
            outcome = look(by)
        except Refused:
            self.both(lambda: ask(self.stores[process]), lambda: look(by))
            return multiple()
        found = self.answer(process, ask, outcome, ending)
        record = outcome[1]
        if found is None or record is None:
            return multiple()
        base = {name: getattr(record, name) for name in SHOWN if name != "id"}
        return process, found, {**base, "id": record.ids[0], "expires": record.expires, "life": record.life}

    def answer(
        self, process: int, ask: Callable[[RedisTokenStore], Any], outcome: tuple[str, Grant | None], ending: str
    ) -> Any:
        """Look up, compare with what the model says, and end the lease if there is one; return the found object."""
        what, record = outcome
        store = self.stores[process] if what not in ("lease", "claim") or ending == "refresh" else self.make()
        if what == "cooling":
            with pytest.raises(RefreshFailing) as caught:
                ask(store)
            assert record
            assert abs(caught.value.retry_at - record.attempts.retry_at) < 0.01
            return None
        found = ask(store)
        if what in ("none", "claim"):
            assert found is None
            if what == "claim":
                store.close()
                self.reopen(store)
                self.forget_claims()
            return None
        assert record
        shown = contents(found)
        assert shown == {**self.shown(record), "access_token": None if what == "lease" else record.access}
        if what == "lease":
            self.end_lease(process, store, found, record, ending)
            return None
        return found

    def end_lease(self, process: int, store: RedisTokenStore, found: Any, record: Grant, ending: str) -> None:
        if ending == "refresh":
            base = {
                **{name: getattr(record, name) for name in ("user", "client", "redirect", "refresh", "grant", "access")}
            }
            given = self.with_access({**base, "id": record.ids[0]}, 50.5)
            found.set_access_token(given["access"])
            found.set_expires_in(str(int(given["expires"] * 1000)))
            self.save(process, found, given, base)
            return
        self.model.lease(record)
        if ending == "give back":
            store.close()
            self.model.give_back(record)
        else:
            self.pass_time(9)

    def forget_claims(self) -> None:
        """Let nobody have asked for what has no record: the model does not count such attempts."""
        with fakeredis.FakeRedis(server=self.redis) as client:
            for key in client.scan_iter("*:lease:*:*"):
                client.delete(key)

    def reopen(self, store: RedisTokenStore) -> None:
        self.stores = [self.make() if each is store else each for each in self.stores]

    @staticmethod
    def shown(record: Grant) -> dict[str, str | None]:
        read = {name: getattr(record, field) for field, name in SHOWN.items() if field != "id"}
        return {**read, "id": record.ids[0], "client_secret": "s" if record.client else None, "api_domain": None}

    # What is always so.

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        """All records are there with all fields, by each of their ids; no other; deleted ones are not."""
        if not hasattr(self, "model"):
            return
        store = self.stores[0]
        expected = {
            record.ids[0]: {**self.shown(record), "access_token": record.access} for record in self.model.grants
        }
        assert {token.get_id(): contents(token) for token in store.get_tokens()} == expected
        for record in self.model.grants:
            assert {store.get(id).get_id() for id in record.ids} == {record.ids[0]}
        assert all(store.get(id) is None for id in self.model.gone)

    @invariant()
    def nothing_is_there_twice(self) -> None:
        """One record for one user and client, and for one refresh token."""
        if not hasattr(self, "model"):
            return
        tokens = [contents(token) for token in self.stores[1].get_tokens()]
        named = [(token["user"], token["client_id"]) for token in tokens if token["user"]]
        refresh = [token["refresh_token"] for token in tokens if token["refresh_token"]]
        assert len(named) == len(set(named))
        assert len(refresh) == len(set(refresh))

    @invariant()
    def every_change_leaves_an_event(self) -> None:
        """Whatever is written to a record, the events since the last step name it; what ends by itself is in none."""
        if not hasattr(self, "model") or not hasattr(self, "redis"):
            return
        with fakeredis.FakeRedis(server=self.redis, decode_responses=True) as client:
            events = client.xrange("zts:{crm}:events", min=self.told)
            stored = {key: (value_of(client, key), self.ends(client, key)) for key in client.keys("zts:{crm}:*:*")}
        self.told = f"({events[-1][0]}" if events else self.told
        named = {fields["id"] for _, fields in events}
        records = {key for key in stored.keys() | self.stored.keys() if key.split(":")[2] in ("token", "access")}
        for key in records:
            before, ended = self.stored.get(key, (None, 0.0))
            now = stored.get(key, (None, 0.0))[0]
            if now != before and not (now is None and ended <= self.clock()):
                assert key.split(":", 3)[3] in named, key
        assert {fields["by"] for _, fields in events} <= {process_label()}
        self.stored = stored

    def ends(self, client: Any, key: str) -> float:
        """Return when a key ends by itself, by the stopped clock."""
        left_ms = client.pttl(key)
        return float("inf") if left_ms < 0 else self.clock() + left_ms / 1000


def value_of(client: Any, key: str) -> Any:
    """Return what is stored under a key that holds a string or a hash."""
    kind = client.type(key)
    return client.hgetall(key) if kind == "hash" else client.get(key) if kind == "string" else None
