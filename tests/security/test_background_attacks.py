"""Attacks on what runs in the background: refreshes, renewals, kept saves, and the events that near caches follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from security.attacks import ATTACKS, JUNK
from security.conftest import PLACES, SETTINGS
from security.town import ADA, EVE, GRACE, PEOPLE, Attacker, Person, Town, looks, owners
from servers import Backend
from zoho_token_store import NearCache, RedisTokenStore, RefreshFailing, RefreshThrottled, StoreUnavailable
from zoho_token_store.clock import SystemClock
from zoho_token_store.kept import KeptSaves
from zoho_token_store.keyspace import pointer
from zoho_token_store.lease import Lease
from zoho_token_store.renewal import Renewals
from zoho_token_store.stats import Stats
from zoho_token_store.testing import FakeZoho

MakeTown = Callable[..., Town]
WaitFor = Callable[[Callable[[], Any]], Any]
NEWEST = pytest.mark.parametrize("backend", PLACES[-1:], indirect=True)

WORDS: Any = pytest.mark.parametrize("value", [*JUNK.values(), b"5000"], ids=[*JUNK, "5000"])


@pytest.fixture
def zoho(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeZoho]:
    """Run a stand-in for Zoho."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeZoho() as server:
        yield server


class Managed:
    """A store that refreshes by itself, with a token of ada's in it that is due."""

    def __init__(self, backend: Backend, namespace: str, zoho: FakeZoho) -> None:
        place = SimpleNamespace(url=zoho.url, accounts_url=f"{zoho.url}/oauth/v2/token")
        times = {"wait_timeout": 12.0, "lease_ttl": 0.3}
        self.store = RedisTokenStore(
            backend.client(), namespace, refresh="managed", environment=place, **times, **SETTINGS["hidden"]
        )
        self.attacker = Attacker(backend.client(), namespace, SETTINGS["hidden"])
        self.refresh = zoho.issue_refresh_token()
        token = ADA.token("user", "id", client_id=zoho.client_id, secret=zoho.client_secret, refresh=self.refresh)
        self.store.save_token(token)

    @property
    def lease(self) -> str:
        return self.attacker.keys.lease(ADA.id)

    @property
    def calls(self) -> str:
        return self.attacker.keys.calls(pointer("refresh", self.refresh))


@pytest.fixture
def managed(backend: Backend, namespace: str, zoho: FakeZoho) -> Iterator[Managed]:
    """Open a store that refreshes by itself."""
    made = Managed(backend, namespace, zoho)
    yield made
    made.store.close()


@NEWEST
class TestRefreshes:
    """Leases, attempts and budgets that somebody has made up."""

    @WORDS
    def test_attempts(self, managed: Managed, zoho: FakeZoho, value: bytes) -> None:
        """However many there are said to have been, a refresh that fails ends in a pause of a few minutes at most."""
        managed.attacker.raw.hset(managed.lease, "attempts", value)
        zoho.faults.fail_next(None)
        with pytest.raises(RefreshFailing) as caught:
            managed.store.find_token_by_id(ADA.id)
        assert caught.value.retry_at < time.time() + 200

    @WORDS
    def test_calls(self, managed: Managed, value: bytes) -> None:
        """A budget that is said to be spent is respected, and nothing else comes of it."""
        managed.attacker.raw.set(managed.calls, b" ".join([value] * 9))
        with suppress(RefreshThrottled):
            assert managed.store.find_token_by_id(ADA.id).get_access_token()
        pause = int(managed.attacker.raw.hget(managed.lease, "retry_ms") or 0) / 1000
        assert pause < time.time() + 2 * 600

    def test_a_lease_of_another_type(self, managed: Managed) -> None:
        """A round of refreshes goes on with the other records."""
        managed.attacker.raw.set(managed.lease, "x")
        other = EVE.token("user", client_id="c", secret="s", refresh="r", access="eve-access")
        managed.store.save_token(other)
        assert managed.store.keep_fresh() < 60
        with pytest.raises(StoreUnavailable) as caught:
            managed.store.find_token_by_id(ADA.id)
        assert not caught.value.passing

    def test_a_record_that_cannot_be_read(self, managed: Managed, zoho: FakeZoho) -> None:
        """It is left out of a round, and the others are kept fresh."""
        managed.attacker.raw.hset(managed.attacker.keys.token(EVE.id), mapping={"rev": "1", "schema": "x"})
        managed.attacker.raw.zadd(managed.attacker.keys.ids, {EVE.id: 0})
        for ids in (None, [EVE.id, ADA.id]):
            managed.attacker.raw.delete(managed.attacker.keys.access(ADA.id))
            managed.store.keep_fresh(ids)
            assert managed.store.get(ADA.id).get_access_token()


class TestThreads:
    """No thread ends over something that it did not expect."""

    def test_renewals(self, wait_for: WaitFor) -> None:
        """An answer that makes no sense for one lease does not end the renewal of the others."""
        renewed: list[str] = []

        def renew(lease: Lease) -> bool:
            renewed.append(lease.name)
            if lease.name == "junk":
                raise ValueError("from nowhere")
            return True

        renewals = Renewals(renew, 0.03)
        with renewals.keep(Lease("junk", "me", 1)), renewals.keep(Lease("good", "me", 1)):
            wait_for(lambda: renewed.count("good") > 2)

    def test_kept_saves(self, wait_for: WaitFor) -> None:
        """A save that has met an error nobody expected is kept, and does not hold up look-ups or other saves."""
        odd, good = (SimpleNamespace(name=name, is_short=False) for name in ("odd", "good"))
        stored: list[object] = []
        broken = True

        def store(save: object) -> None:
            if save is odd and broken:
                raise ValueError("from nowhere")
            stored.append(save)

        kept = KeptSaves(store, lambda _: None, 1.0, Stats(), SystemClock())
        for save in (odd, good):
            kept.keep(save)
        kept.settle()
        assert (stored, len(kept)) == ([good], 1)
        broken = False
        wait_for(lambda: stored == [good, odd])


EVENTS = ["events", "no events", "the last event", "a list under events", "junk among the ids", "user leads to eve"]


@NEWEST
class TestNearCache:
    """Near caches believe events, and are never worse off for forged ones than without a cache."""

    @pytest.mark.parametrize("name", EVENTS)
    @pytest.mark.parametrize("setting", ["clear", "hidden"])
    def test_events(self, make_town: MakeTown, setting: str, namespace: str, name: str, wait_for: WaitFor) -> None:
        """Nobody gets another's token, the reader lives on, and what changes afterwards is seen."""
        attack, town = ATTACKS[name], make_town(setting, namespace)
        store = town.open_store(near_cache=True)
        for person in PEOPLE:
            wait_for(lambda: is_served(store, person))  # noqa: B023 - called at once
        attack.act(town.attacker)
        for person in [*PEOPLE] * 20:
            for look in looks(person).values():
                town.ask(store, person, look)
        assert any(thread.name == "zoho-token-store-events" for thread in threading.enumerate())
        if attack.jams:
            town.reset()
            wait_for(lambda: is_served(store, GRACE))
        town.open_store().delete_token(GRACE.id)
        wait_for(lambda: store.find_token(GRACE.token("user")) is None)
        wait_for(lambda: is_served(store, EVE))

    @pytest.mark.parametrize("setting", ["sealed"])
    def test_a_deletion_that_is_hidden(
        self, make_town: MakeTown, setting: str, namespace: str, wait_for: WaitFor
    ) -> None:
        """Whoever can remove events before they are read can keep a cache from hearing of them, for ``max_age``."""
        town = make_town(setting, namespace)
        store = town.open_store(near_cache=NearCache(max_age=0.5))
        wait_for(lambda: is_served(store, ADA))
        town.attacker.drop(ADA.id)  # as a deletion whose event nobody has seen
        wait_for(lambda: town.ask(store, ADA, looks(ADA)["id"]) is not None)


def is_served(store: RedisTokenStore, person: Person) -> bool:
    """Return whether a person's token comes from the near cache."""
    before = store.stats()["near_hits"]
    token = store.find_token_by_id(person.id)
    assert owners(token) == {person.name}
    return store.stats()["near_hits"] > before
