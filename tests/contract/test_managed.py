"""``refresh="managed"``: the store asks Zoho itself; callers get a token that can be used, or a clear error."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from zohocrmsdk.src.com.zoho.crm.api.dc import EUDataCenter
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zohocrmsdk.src.com.zoho.crm.api.request_proxy import RequestProxy

from contract.conftest import LOCALS, make_backend
from contract.local import LocalPlace
from contract.tokens import by_user, make_token, refreshed, seconds_left, user_of
from contract.underneath import Underneath
from proxy import FaultyProxy
from servers import WITH_ACL, Backend, Server, ServerPool, find_binaries, newest_binary
from web_server import forward, serving
from zoho_token_store import (
    PartitionedTokenStore,
    RedisTokenStore,
    RefreshFailing,
    RefreshRejected,
    RefreshThrottled,
    StoreUnavailable,
    TokenDeleted,
    kept,
    link,
)
from zoho_token_store.keyspace import pointer
from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import OAuthToken

WaitFor = Callable[[Callable[[], Any]], Any]

# The oldest and the newest server, and not all: most of what happens here is between the store and Zoho.
PLACES = [("fakeredis", 2), (next(iter(find_binaries())), 2), (newest_binary().name + WITH_ACL, 3)]


@pytest.fixture(params=[*(pytest.param(each, id=f"{each[0]}-resp{each[1]}") for each in PLACES), *LOCALS])
def backend(
    request: pytest.FixtureRequest, server_pool: ServerPool, namespace: str, tmp_path: Path
) -> Iterator[Backend | LocalPlace]:
    """Give fakeredis, the oldest server, the newest under the workers' ACL, and places that need no server."""
    with make_backend(request, server_pool, namespace, tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def no_initializer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the SDK as a new process has it, and go through no proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Initializer.initializer = Initializer.LOCAL.init = None
    yield
    Initializer.initializer = Initializer.LOCAL.init = None


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """Run a stand-in whose access tokens live an hour."""
    with FakeZoho() as server:
        yield server


def environment_of(zoho: FakeZoho) -> Any:
    """Return the environment that leads to a stand-in."""
    named = "name" in inspect.signature(DataCenter.Environment.__init__).parameters  # SDK 5.0
    where = (zoho.url, f"{zoho.url}/oauth/v2/token", zoho.url)
    return DataCenter.Environment(*where, *(("stand-in",) if named else ()))


class Place:
    """A namespace, a stand-in, and stores that refresh by themselves; each stands for a process of its own."""

    def __init__(self, make_store: Callable[..., RedisTokenStore], zoho: FakeZoho, underneath: Underneath) -> None:
        self._make_store = make_store
        self._underneath = underneath
        self.zoho = zoho

    def store(self, **options: Any) -> RedisTokenStore:
        """Return a store of a process that has no ``Initializer``."""
        return self._make_store(**{"refresh": "managed", "environment": environment_of(self.zoho)} | options)

    def token(self, user: str | None = None, **fields: Any) -> Any:
        """Return a token of the stand-in's client, as an application makes it."""
        client = {"client_id": self.zoho.client_id, "secret": self.zoho.client_secret}
        return make_token(user, **{**client, "redirect": self.zoho.redirect_uri, **fields})

    def log_in(self, user: str = "ada", left: float | None = None, **fields: Any) -> Any:
        """Store a refresh token that Zoho knows, and return the token that was saved.

        Args:
            user: The user name.
            left: Seconds that an access token of an hour's life still has; None for none.
            fields: Others than the usual ones.
        """
        refresh = self.zoho.issue_refresh_token()
        access = None if left is None else self.zoho.issue_access_token(refresh)
        token = self.token(user, **{"refresh": refresh, "access": access, **fields})
        with self._make_store() as store:
            store.save_token(token)
        if left is not None:
            self.age(token.get_id(), left)
        return token

    def age(self, id: str, left: float) -> None:
        """Let an access token be so old that it has ``left`` seconds; Zoho's view of it does not change."""
        self._underneath.leave(id, left)

    def paused_until(self, name: str) -> float:
        """Return when the fleet's pause ends, seconds since the epoch; 0 without one."""
        return self._underneath.paused_until(name)

    def end_pause(self, name: str) -> None:
        """Let the fleet's pause be over."""
        assert self.paused_until(name) > time.time()
        self._underneath.end_pause(name)

    def let_calls_grow_old(self, id: str, seconds: float) -> None:
        """Let all calls to Zoho with a record's refresh token have been made earlier."""
        with self._make_store() as store:
            refresh_token = store.get(id).get_refresh_token()
        self._underneath.let_calls_grow_old(pointer("refresh", refresh_token), seconds)

    def rejected(self, id: str) -> str | None:
        """Return what the record says of Zoho's refusal."""
        with self._make_store() as store:
            holder = store._of_id(id) if isinstance(store, PartitionedTokenStore) else store
            record = holder._repository.get(id)
        return record and record.rejected

    def lease_ends(self, name: str) -> bool:
        """Return whether nobody holds the lease."""
        return self._underneath.is_free(name)

    def accepts(self, token: Any) -> bool:
        """Return whether CRM takes a token's access token."""
        return self.zoho.accounts.authenticate(token.get_access_token()) is not None

    @property
    def calls(self) -> list[str]:
        """How each request for a token has ended."""
        return [seen.outcome for seen in self.zoho.requests if seen.endpoint == "token"]


@pytest.fixture
def place(make_store: Callable[..., RedisTokenStore], zoho: FakeZoho, underneath: Underneath) -> Place:
    """Return where a test takes place."""
    return Place(make_store, zoho, underneath)


def in_background(work: Callable[..., Any], *args: Any) -> Any:
    """Start something in a thread; its outcome is what ``result`` returns."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work, *args)
    pool.shutdown(wait=False)
    return future


class TestExchange:
    """A new login."""

    @pytest.mark.sdk_matrix
    def test_it_gives_a_token_and_the_users_name(self, place: Place) -> None:
        """One exchange; the caller's token and the stored one have all that came with it, others find it."""
        code = place.zoho.issue_grant_code()
        asked = place.token(grant=code)
        found = place.store().find_token(asked)
        assert place.accepts(found)
        assert asked.get_access_token() == found.get_access_token()
        assert asked.get_id() == found.get_id()
        assert found.get_refresh_token()
        assert seconds_left(found) > 3500
        if "find_user" in inspect.signature(OAuthToken.__init__).parameters:
            assert user_of(found).startswith("ada@example.com")
            assert place.store().find_token(by_user(user_of(found))).get_id() == found.get_id()
        assert place.store().find_token(place.token(grant=code)).get_access_token() == found.get_access_token()
        assert place.calls == ["exchanged"]

    def test_find_user_false_is_kept(self, place: Place) -> None:
        """CRM is not asked for the user, and the token that comes back says so too."""
        asked = OAuthToken(
            client_id=place.zoho.client_id,
            client_secret=place.zoho.client_secret,
            redirect_url=place.zoho.redirect_uri,
            grant_token=place.zoho.issue_grant_code(),
            find_user=False,
        )
        found = place.store().find_token(asked)
        assert found.get_user_signature() is None
        assert found._OAuthToken__find_user is False
        assert [seen.endpoint for seen in place.zoho.requests] == ["token"]

    def test_a_name_that_cannot_be_had_costs_no_token(self, place: Place) -> None:
        """CRM fails when it is asked for the user: the token is stored, and handed out."""
        place.zoho.faults.fail_next(None, area="crm")
        store = place.store()
        found = store.find_token(place.token(grant=place.zoho.issue_grant_code()))
        assert place.accepts(found)
        assert store.get(found.get_id()).get_refresh_token()

    def test_a_users_second_login_goes_into_the_record_that_is_there(self, place: Place) -> None:
        """The name shows whose code it was: one record, with the newer refresh token, and both ids lead there."""
        store = place.store()
        first = store.find_token(place.token(grant=place.zoho.issue_grant_code()))
        second = store.find_token(place.token(grant=place.zoho.issue_grant_code()))
        (record,) = store.get_tokens()
        assert record.get_refresh_token() == second.get_refresh_token()
        assert store.find_token_by_id(first.get_id()).get_access_token() == second.get_access_token()

    def test_a_wrong_secret_does_not_spend_the_code(self, place: Place) -> None:
        """Everybody is told why, Zoho is asked once, and after the pause the right secret brings the token."""
        code = place.zoho.issue_grant_code()
        for store in (place.store(), place.store()):
            with pytest.raises(RefreshRejected) as caught:
                store.find_token(place.token(grant=code, secret="wrong"))
            assert (caught.value.reason, caught.value.record_id) == ("invalid_client_secret", None)
        assert place.calls == ["invalid_client_secret"]
        name = pointer("grant", code)
        assert place.paused_until(name) < time.time() + 15
        place.end_pause(name)
        assert place.accepts(place.store().find_token(place.token(grant=code)))
        assert place.calls == ["invalid_client_secret", "exchanged"]

    def test_a_worthless_code_is_asked_about_once(self, place: Place) -> None:
        """No other worker spends a call on it."""
        for store in (place.store(), place.store()):
            with pytest.raises(RefreshRejected) as caught:
                store.find_token(place.token(grant="1000.made.up"))
            assert caught.value.reason == "invalid_code"
        assert place.calls == ["invalid_code"]


class TestAhead:
    """Refreshes in the background, while the old token can be used."""

    def test_callers_go_on_with_the_old_token(self, place: Place, wait_for: WaitFor) -> None:
        """Zoho hangs, and nobody notices; when it answers there is a new token, by one call."""
        place.zoho.accounts.limits = replace(place.zoho.accounts.limits, access_token_ttl=25)
        one, two = place.store(), place.store()
        id = place.log_in().get_id()
        old = one.find_token_by_id(id).get_access_token()
        place.age(id, 12)
        assert one.find_token_by_id(id).get_access_token() == old
        assert place.calls == ["refreshed"], "due in its last 10 s and not before"
        place.zoho.faults.set(hang=True)
        place.age(id, 9.5)
        for store in (one, two, one, two):
            assert store.find_token_by_id(id).get_access_token() == old
            assert store.find_token(by_user("ada")).get_access_token() == old
        wait_for(lambda: place.zoho.max_in_flight() == 1)
        place.zoho.faults.clear()
        wait_for(lambda: place.calls == ["refreshed", "refreshed"])
        wait_for(lambda: two.find_token_by_id(id).get_access_token() != old)
        assert seconds_left(two.find_token_by_id(id)) > 20
        assert (one.stats()["leases"], two.stats()["leases"]) == (2, 0)
        assert one.stats()["waits"] + two.stats()["waits"] == 0

    def test_a_token_that_nobody_asks_for_is_not_refreshed(self, place: Place, wait_for: WaitFor) -> None:
        """Of two that are due only the one that is used costs a call."""
        used, idle = place.log_in("ada", left=9), place.log_in("grace", left=9)
        store = place.store()
        store.find_token_by_id(used.get_id())
        wait_for(lambda: place.zoho.traffic(used.get_refresh_token()).refreshes == 1)
        assert place.zoho.traffic(idle.get_refresh_token()).refreshes == 0

    def test_a_token_in_its_last_seconds_is_not_handed_out(self, place: Place) -> None:
        """With less than 6 s left the SDK would soon refresh by itself: the caller waits for a new one."""
        id = place.log_in(left=5.5).get_id()
        assert seconds_left(place.store().find_token_by_id(id)) > 3500
        assert place.calls == ["refreshed"]

    def test_a_failure_costs_nobody_anything(self, place: Place, wait_for: WaitFor) -> None:
        """Zoho fails: everybody has the old token, it is counted, and the fleet pauses before it asks again."""
        token = place.log_in(left=60)
        id, old = token.get_id(), token.get_access_token()
        one, two = place.store(), place.store()
        place.zoho.faults.fail_next(None)
        assert one.find_token_by_id(id).get_access_token() == old
        wait_for(lambda: one.stats()["refreshes_failed"] == 2)
        wait_for(lambda: place.paused_until(id))
        for store in (one, two):
            assert store.find_token_by_id(id).get_access_token() == old
        assert two.stats()["leases"] == 0
        assert len(place.calls) == 2
        place.zoho.faults.clear()
        place.end_pause(id)
        assert two.find_token_by_id(id).get_access_token() == old
        wait_for(lambda: two.stats()["refreshes"] == 1)
        wait_for(lambda: one.find_token_by_id(id).get_access_token() != old)
        assert one.stats()["failing"] + two.stats()["failing"] == 0

    def test_nor_does_a_refusal(self, place: Place, wait_for: WaitFor) -> None:
        """Zoho refuses for good: the old token is used to its end, without a further call."""
        place.zoho.accounts.limits = replace(place.zoho.accounts.limits, revoke_drops_access_tokens=False)
        token = place.log_in(left=60)
        place.zoho.accounts.revoke(token.get_refresh_token())
        one, two = place.store(), place.store()
        one.find_token_by_id(token.get_id())
        wait_for(lambda: place.rejected(token.get_id()) == "invalid_code")
        for store in (one, two):
            assert store.find_token_by_id(token.get_id()).get_access_token() == token.get_access_token()
        assert place.calls == ["invalid_code"]


class TestRejected:
    """Zoho refuses for good."""

    def test_nobody_asks_again_and_the_record_stays(self, place: Place) -> None:
        """A revoked refresh token: every process is told so, by one call."""
        token = place.log_in()
        place.zoho.accounts.revoke(token.get_refresh_token())
        one, two = place.store(), place.store()
        for store in (one, two, one):
            with pytest.raises(RefreshRejected) as caught:
                store.find_token_by_id(token.get_id())
            assert (caught.value.reason, caught.value.record_id) == ("invalid_code", token.get_id())
        with pytest.raises(RefreshRejected):
            two.find_token(by_user("ada"))
        assert place.calls == ["invalid_code"]
        assert one.stats()["refreshes_rejected"] == 1
        assert two.get(token.get_id()).get_refresh_token() == token.get_refresh_token()

    def test_a_new_login_clears_it(self, place: Place) -> None:
        """A new refresh token for the same user is tried at once."""
        token = place.log_in()
        place.zoho.accounts.revoke(token.get_refresh_token())
        one, two = place.store(), place.store()
        with pytest.raises(RefreshRejected):
            one.find_token_by_id(token.get_id())
        two.save_token(place.token("ada", refresh=place.zoho.issue_refresh_token()))
        assert place.accepts(one.find_token_by_id(token.get_id()))
        assert place.calls == ["invalid_code", "refreshed"]

    @pytest.mark.parametrize("kind", ["refresh", "grant"])
    def test_a_new_login_that_a_look_up_brings_clears_it(self, place: Place, kind: str) -> None:
        """A worker that is started with a new credential of the same user spends that one, and the fleet has it."""
        token = place.log_in()
        place.zoho.accounts.revoke(token.get_refresh_token())
        with pytest.raises(RefreshRejected):
            place.store().find_token_by_id(token.get_id())
        credential = place.zoho.issue_refresh_token() if kind == "refresh" else place.zoho.issue_grant_code()
        found = place.store().find_token(place.token("ada", **{kind: credential}))
        assert place.accepts(found)
        assert place.store().find_token_by_id(token.get_id()).get_access_token() == found.get_access_token()
        assert len(place.calls) == 2

    @pytest.mark.parametrize("known", [False, True], ids=["asked first", "known to be refused"])
    def test_a_new_secret_clears_it(self, place: Place, known: bool) -> None:
        """An application that comes with the new client secret brings it to the fleet."""
        token = place.log_in()
        place.zoho.register_client(place.zoho.client_id, "new secret", [place.zoho.redirect_uri or ""])
        one, two = place.store(), place.store()
        if known:
            with pytest.raises(RefreshRejected) as caught:
                two.find_token_by_id(token.get_id())
            assert caught.value.reason == "invalid_client_secret"
        assert place.accepts(one.find_token(place.token("ada", secret="new secret")))
        assert place.accepts(two.find_token_by_id(token.get_id()))
        assert two.get(token.get_id()).get_client_secret() == "new secret"
        assert place.calls == ["invalid_client_secret", "refreshed"]

    def test_the_old_secret_again_is_no_news(self, place: Place) -> None:
        """A process that comes with what was refused does not make anybody ask."""
        token = place.log_in()
        place.zoho.register_client(place.zoho.client_id, "new secret", [place.zoho.redirect_uri or ""])
        for _ in range(2):
            with pytest.raises(RefreshRejected):
                place.store().find_token(place.token("ada", refresh=token.get_refresh_token()))
        assert place.calls == ["invalid_client_secret"]

    def test_a_spare_refresh_token_is_tried(self, place: Place, make_store: Callable[..., RedisTokenStore]) -> None:
        """Two logins crossed, and the current token is worth nothing: the other one becomes current."""
        id = place.log_in().get_id()
        late, prompt = make_store(lease_ttl=0.1), make_store(lease_ttl=0.1)
        tokens = [late.find_token_by_id(id), prompt.find_token_by_id(id)]
        logins = [place.zoho.issue_refresh_token(), place.zoho.issue_refresh_token()]
        # The second lease is the newer one, and its save comes first. Neither brings a token that can be used long.
        for store, token, login in ((prompt, tokens[1], logins[1]), (late, tokens[0], logins[0])):
            store.save_token(refreshed(token, "short-lived", left=0.1, refresh=login))
        place.zoho.accounts.revoke(logins[1])
        store = place.store()
        store.invalidate_access_token(id)
        found = store.find_token_by_id(id)
        assert place.accepts(found)
        assert place.calls == ["invalid_code", "refreshed"]
        assert store.get(id).get_refresh_token() == logins[0]
        store.invalidate_access_token(id)
        assert place.accepts(store.find_token_by_id(id))
        assert place.calls == ["invalid_code", "refreshed", "refreshed"]


class TestThrottled:
    """Zoho, or the fleet's own budget, gives no more."""

    @pytest.mark.parametrize("language", ["en", "zh"])
    @pytest.mark.parametrize("status", [200, 400])
    def test_by_zoho_in_any_language(self, place: Place, language: str, status: int) -> None:
        """The fleet is told when to come again, and leaves Zoho alone until then."""
        place.zoho.accounts.limits = replace(place.zoho.accounts.limits, access_tokens_per_window=1)
        place.zoho.faults.set(throttle_language=language, throttle_status=status)
        id = place.log_in().get_id()
        one, two = place.store(), place.store()
        one.find_token_by_id(id)
        one.invalidate_access_token(id)
        for store in (one, two):
            with pytest.raises(RefreshThrottled) as caught:
                store.find_token_by_id(id)
            assert caught.value.record_id == id
            assert caught.value.retry_at == pytest.approx(time.time() + 60, abs=10)
        assert place.calls == ["refreshed", "throttled"]
        assert (one.stats()["refreshes_throttled"], two.stats()["failing"]) == (1, 1)

    def test_the_budget_ends_before_zohos_does(self, place: Place) -> None:
        """The third refresh of two is refused without a call, in every process, until the first is a window ago."""
        id = place.log_in().get_id()
        one, two = place.store(refresh_budget=2), place.store(refresh_budget=2)
        for store in (one, two):
            assert place.accepts(store.find_token_by_id(id))
            store.invalidate_access_token(id)
        place.let_calls_grow_old(id, 100)
        for store in (one, two):
            with pytest.raises(RefreshThrottled) as caught:
                store.find_token_by_id(id)
            assert caught.value.retry_at == pytest.approx(time.time() + 500, abs=10)
        assert len(place.calls) == 2
        place.let_calls_grow_old(id, 501)
        place.end_pause(id)
        assert place.accepts(two.find_token_by_id(id))
        assert len(place.calls) == 3

    def test_calls_that_fail_count_too(self, place: Place) -> None:
        """What went to Zoho may have been work for it: a quick repetition is taken from the same budget."""
        id = place.log_in().get_id()
        place.zoho.faults.fail_next(1)
        assert place.accepts(place.store(refresh_budget=2).find_token_by_id(id))
        store = place.store(refresh_budget=2)
        store.invalidate_access_token(id)
        with pytest.raises(RefreshThrottled):
            store.find_token_by_id(id)
        assert len(place.calls) == 2

    def test_a_valid_token_is_handed_out_all_the_same(self, place: Place, wait_for: WaitFor) -> None:
        """A spent budget is nobody's business before the token has ended."""
        id = place.log_in().get_id()
        store = place.store(refresh_budget=1)
        access = store.find_token_by_id(id).get_access_token()
        place.age(id, 60)
        assert store.find_token_by_id(id).get_access_token() == access
        wait_for(lambda: store.stats()["refreshes_throttled"] == 1)
        wait_for(lambda: place.paused_until(id))
        assert store.find_token_by_id(id).get_access_token() == access
        assert place.calls == ["refreshed"]

    def test_a_new_login_starts_anew(self, place: Place) -> None:
        """Zoho counts by refresh token: another one has a budget of its own, and no pause."""
        id = place.log_in().get_id()
        store = place.store(refresh_budget=1)
        store.find_token_by_id(id)
        store.invalidate_access_token(id)
        with pytest.raises(RefreshThrottled):
            store.find_token_by_id(id)
        store.save_token(place.token("ada", refresh=place.zoho.issue_refresh_token()))
        assert place.accepts(store.find_token_by_id(id))
        assert place.calls == ["refreshed", "refreshed"]


class TestFailing:
    """Errors that may pass."""

    @pytest.mark.parametrize("kind", ["status", "garbage", "reset", "half"])
    def test_a_hitch_is_not_noticed(self, place: Place, kind: Any) -> None:
        """One failure is made up for by one repetition."""
        id = place.log_in().get_id()
        place.zoho.faults.fail_next(1, kind=kind)
        store = place.store()
        assert place.accepts(store.find_token_by_id(id))
        assert len(place.calls) == 2
        assert (store.stats()["refreshes_failed"], store.stats()["refreshes"]) == (1, 1)

    def test_two_make_the_fleet_pause(self, place: Place) -> None:
        """Exactly one repetition; then all are told when to come again, and the next pause is longer."""
        id = place.log_in().get_id()
        place.zoho.faults.fail_next(None)
        one, two = place.store(), place.store()
        ends = []
        for store in (one, two, one):
            with pytest.raises(RefreshFailing) as caught:
                store.find_token_by_id(id)
            ends.append(caught.value.retry_at)
        assert ends[0] == pytest.approx(ends[1], abs=3)
        assert 5 < ends[0] - time.time() < 13
        assert len(place.calls) == 2
        place.end_pause(id)
        with pytest.raises(RefreshFailing) as caught:
            two.find_token_by_id(id)
        assert 14 < caught.value.retry_at - time.time() < 26
        assert len(place.calls) == 3, "the quick repetition is for the first lease after a save"
        place.zoho.faults.clear()
        place.end_pause(id)
        assert place.accepts(one.find_token_by_id(id))

    def test_a_zoho_that_hangs_is_given_up(self, place: Place, wait_for: WaitFor) -> None:
        """A refresh ends within ``request_timeout``; what has taken so long is not asked again."""
        id = place.log_in().get_id()
        place.zoho.faults.set(hang=True)
        started = time.monotonic()
        with pytest.raises(RefreshFailing):
            place.store(request_timeout=0.5).find_token_by_id(id)
        assert time.monotonic() - started < 5
        wait_for(lambda: place.calls == ["abandoned"])

    def test_a_slow_answer_is_waited_for(self, place: Place) -> None:
        """A code is not spent twice because the first answer takes most of ``request_timeout``."""
        place.zoho.faults.set(latency=2.2)
        store, code = place.store(request_timeout=4.0), place.zoho.issue_grant_code()
        assert place.accepts(store.find_token(place.token(grant=code)))
        assert place.calls == ["exchanged"]

    def test_those_who_wait_are_told_at_once(
        self, place: Place, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A worker that waits behind a refresh that fails is woken by that, and gets the same error."""
        monkeypatch.setattr(link, "BLOCK_MS", 60_000)  # who is not woken sleeps for a minute
        id = place.log_in().get_id()
        place.zoho.faults.set(hang=True)
        one, two = (place.store(lease_ttl=60.0, wait_timeout=120.0) for _ in range(2))
        first = in_background(one.find_token_by_id, id)
        wait_for(lambda: place.zoho.max_in_flight() == 1)
        second = in_background(two.find_token_by_id, id)
        wait_for(lambda: two.stats()["waits"])
        place.zoho.faults.fail_next(None)
        place.zoho.faults.set(hang=False)
        errors = [future.exception(30) for future in (first, second)]
        assert [type(error) for error in errors] == [RefreshFailing, RefreshFailing]
        assert len(place.calls) == 2


class TestRotation:
    """A provider that replaces the refresh token at each refresh."""

    def test_each_is_used_once(self, place: Place) -> None:
        """Two processes in turns: the newest is stored before its access token is used, and none is shown twice."""
        place.zoho.faults.set(rotate_refresh_tokens=True)
        first = place.log_in()
        stores = [place.store(), place.store()]
        seen = [first.get_refresh_token()]
        for number in range(6):
            store = stores[number % 2]
            store.invalidate_access_token(first.get_id())
            found = store.find_token_by_id(first.get_id())
            assert place.accepts(found)
            assert found.get_refresh_token() == store.get(first.get_id()).get_refresh_token()
            seen.append(found.get_refresh_token())
        assert len(set(seen)) == 7
        assert place.calls == ["refreshed"] * 6

    def test_who_was_started_with_an_old_one_finds_the_record(self, place: Place) -> None:
        """A worker that boots on the refresh token of its configuration gets the token of the fleet."""
        place.zoho.faults.set(rotate_refresh_tokens=True)
        refresh = place.zoho.issue_refresh_token()
        found = place.store().find_token(place.token(refresh=refresh))
        again = place.store().find_token(place.token(refresh=refresh))
        assert (again.get_id(), again.get_access_token()) == (found.get_id(), found.get_access_token())
        assert place.calls == ["refreshed"]


class TestInvalidation:
    """An access token that CRM has rejected."""

    def test_one_refresh_for_all_threads(self, place: Place) -> None:
        """Sixteen threads of two processes report the same token and ask for another: one call."""
        id = place.log_in().get_id()
        stores = [place.store(), place.store()]
        old = stores[0].find_token_by_id(id).get_access_token()
        place.zoho.reset()
        barrier = threading.Barrier(16)

        def report(number: int) -> str:
            barrier.wait(30)
            stores[number % 2].invalidate_access_token(id, old)
            return str(stores[number % 2].find_token_by_id(id).get_access_token())

        with ThreadPoolExecutor(16) as pool:
            tokens = set(pool.map(report, range(16)))
        assert len(tokens) == 1
        assert tokens != {old}
        assert place.calls == ["refreshed"]


class TestCallCrm:
    """A whole call of the SDK, made once more with another token if CRM rejects the first."""

    @pytest.fixture
    def store(self, place: Place, tmp_path: Any) -> RedisTokenStore:
        """Return a store on which the SDK was initialised."""
        store = place.store(environment=None)
        token = place.token("ada", refresh=place.zoho.issue_refresh_token())
        environment = environment_of(place.zoho)
        Initializer.initialize(environment=environment, token=token, store=store, resource_path=str(tmp_path))
        place.zoho.reset()
        return store

    @pytest.mark.sdk_matrix
    def test_a_rejected_token_is_replaced(self, place: Place, store: RedisTokenStore) -> None:
        """One refresh, and the call has its answer."""
        place.zoho.expire_access_tokens()
        response = store.call_crm(OrgOperations().get_organization)
        assert response.get_status_code() == 200
        assert place.calls == ["refreshed"]
        assert (place.zoho.counters.crm_rejected, place.zoho.counters.crm_calls) == (1, 1)

    def test_a_second_rejection_is_given_to_the_caller(self, place: Place, store: RedisTokenStore) -> None:
        """One refresh and one repetition, not more."""
        body = '{"code": "INVALID_TOKEN", "details": {}, "message": "invalid oauth token", "status": "error"}'
        place.zoho.faults.fail_next(None, area="crm", status=401, body=body)
        response = store.call_crm(OrgOperations().get_organization)
        assert response.get_status_code() == 401
        assert place.calls == ["refreshed"]
        assert place.zoho.counters.errors == 2

    def test_any_other_error_is_not_the_tokens(self, place: Place, store: RedisTokenStore) -> None:
        """A scope that is missing would not get better."""
        body = '{"code": "OAUTH_SCOPE_MISMATCH", "details": {}, "message": "invalid oauth scope", "status": "error"}'
        place.zoho.faults.fail_next(1, area="crm", status=401, body=body)
        assert store.call_crm(OrgOperations().get_organization).get_status_code() == 401
        assert place.calls == []

    def test_nothing_to_refresh_with_is_said(self, place: Place, store: RedisTokenStore) -> None:
        """A call whose token is rejected, and cannot be replaced, ends in the error of the refresh."""
        place.zoho.accounts.revoke(Initializer.initializer.token.get_refresh_token())
        with pytest.raises(RefreshRejected):
            store.call_crm(OrgOperations().get_organization)


class TestDataCentres:
    """Tokens of several accounts servers in one process."""

    @pytest.fixture
    def europe(self) -> Iterator[FakeZoho]:
        """Run a second stand-in, which knows nothing of the first one's tokens."""
        with FakeZoho() as server:
            yield server

    def test_by_switch_user(self, place: Place, europe: FakeZoho, tmp_path: Any, wait_for: WaitFor) -> None:
        """Each thread's environment counts, also for a refresh in the background."""
        # Not of the matrix: before 8.0 the SDK looks the token up while the environment is still the former user's.
        store = place.store(environment=None)
        there = place.log_in("grace", refresh=europe.issue_refresh_token())
        here = place.token("ada", refresh=place.zoho.issue_refresh_token())
        Initializer.initialize(
            environment=environment_of(place.zoho), token=here, store=store, resource_path=str(tmp_path)
        )

        def in_europe() -> int:
            Initializer.switch_user(environment=environment_of(europe), token=place.token(id=there.get_id()))
            assert OrgOperations().get_organization().get_status_code() == 200
            place.age(there.get_id(), 60)
            return int(OrgOperations().get_organization().get_status_code())

        assert in_background(in_europe).result(10) == 200
        assert OrgOperations().get_organization().get_status_code() == 200
        wait_for(lambda: europe.counters.refreshes == 2)
        assert place.calls == ["refreshed"]
        for zoho in (place.zoho, europe):
            assert (zoho.counters.rejected, zoho.counters.crm_rejected) == (0, 0)

    def test_by_api_domain(self, place: Place, europe: FakeZoho, monkeypatch: pytest.MonkeyPatch) -> None:
        """A token with the domain of a data centre is refreshed there, whatever the store's environment."""
        monkeypatch.setattr(EUDataCenter, "PRODUCTION", staticmethod(lambda: environment_of(europe)))
        europe.faults.set(omit_api_domain=True)
        login = europe.issue_refresh_token()
        there = place.log_in("grace", refresh=login, domain="https://www.zohoapis.eu")
        here = place.log_in()
        store = place.store()
        for token, zoho in ((there, europe), (here, place.zoho)):
            found = store.find_token_by_id(token.get_id())
            assert zoho.accounts.authenticate(found.get_access_token())
        assert store.get(there.get_id()).get_api_domain() == "https://www.zohoapis.eu"
        assert (europe.counters.refreshes, place.zoho.counters.refreshes) == (1, 1)

    @pytest.mark.parametrize("known", [True, False], ids=["known elsewhere", "known nowhere"])
    def test_a_refusal_is_of_one_accounts_server(self, place: Place, europe: FakeZoho, known: bool) -> None:
        """A process that asks at the wrong server is refused there; those of another server ask there, once in all."""
        login = europe.issue_refresh_token() if known else "1000.made.up"
        id = place.log_in(refresh=login).get_id()
        there = environment_of(europe)
        with pytest.raises(RefreshRejected):
            place.store().find_token_by_id(id)
        if known:
            found = place.store(environment=there).find_token_by_id(id)
            assert europe.accounts.authenticate(found.get_access_token())
            assert place.store().find_token_by_id(id).get_access_token() == found.get_access_token()
            assert (europe.counters.refreshes, europe.counters.rejected) == (1, 0)
        else:
            for environment in (there, environment_of(place.zoho), there):
                with pytest.raises(RefreshRejected) as caught:
                    place.store(environment=environment).find_token_by_id(id)
                assert caught.value.reason == "invalid_code"
            assert europe.counters.rejected == 1
        assert place.calls == ["invalid_code"]

    def test_a_process_that_does_not_know_where_holds_up_nobody(self, place: Place) -> None:
        """Without an environment the caller is told what is missing, and another process refreshes at once."""
        id = place.log_in().get_id()
        with pytest.raises(Exception, match="environment"):
            place.store(environment=None).find_token_by_id(id)
        started = time.monotonic()
        assert place.accepts(place.store().find_token_by_id(id))
        assert time.monotonic() - started < 2


class TestProxy:
    """The proxy that the SDK was initialised with."""

    def test_it_is_used_for_all_that_the_store_asks(self, place: Place, tmp_path: Any, wait_for: WaitFor) -> None:
        """An exchange, the look-up of the user, a refresh that a caller waits for, and one in the background."""
        with serving(forward) as proxy, serving(forward) as switched:
            store, token = place.store(environment=None), place.token(grant=place.zoho.issue_grant_code())
            environment = environment_of(place.zoho)
            login = RequestProxy("127.0.0.1", proxy.server_port, "ada", "pass-word")
            Initializer.initialize(environment, token, store, resource_path=str(tmp_path), proxy=login)
            id = Initializer.initializer.token.get_id()
            asked = len(proxy.seen)
            assert asked == len(place.zoho.requests) > 1
            assert {headers["Proxy-Authorization"] for _, _, headers, _ in proxy.seen} == {"Basic YWRhOnBhc3Mtd29yZA=="}
            store.invalidate_access_token(id)
            assert place.accepts(store.find_token_by_id(id))
            assert len(proxy.seen) == asked + 1
            place.age(id, 60)
            old = store.find_token_by_id(id).get_access_token()
            wait_for(lambda: store.find_token_by_id(id).get_access_token() != old)
            assert len(proxy.seen) == asked + 2

            def with_another() -> None:
                Initializer.switch_user(environment, token, proxy=RequestProxy("127.0.0.1", switched.server_port))
                store.invalidate_access_token(id)
                store.find_token_by_id(id)

            in_background(with_another).result(10)
            assert (len(switched.seen), len(proxy.seen)) == (1, asked + 2)
            assert len(place.zoho.requests) == asked + 3, "nothing went past a proxy"


class TestRecords:
    """What is stored, and what callers bring."""

    def test_a_record_without_client_takes_the_callers(self, place: Place) -> None:
        """A caller that brings client id and secret makes the refresh possible, and the fleet keeps them."""
        id = place.log_in(client_id=None, secret=None).get_id()
        assert place.accepts(place.store().find_token(place.token("ada")))
        other = place.store()
        other.invalidate_access_token(id)
        assert place.accepts(other.find_token_by_id(id))
        assert other.get(id).get_client_secret() == place.zoho.client_secret
        assert place.calls == ["refreshed", "refreshed"]

    def test_a_callers_own_token_is_stored(self, place: Place) -> None:
        """A caller that brings an access token of its own goes on with it; nobody asks Zoho."""
        refresh = place.zoho.issue_refresh_token()
        access = place.zoho.issue_access_token(refresh)
        found = place.store().find_token(place.token("ada", refresh=refresh, access=access))
        assert found.get_access_token() == access
        assert place.store().find_token(by_user("ada")).get_access_token() == access
        assert place.calls == []

    def test_a_deleted_token_stays_so(self, place: Place) -> None:
        """Its id leads to a clear error, and Zoho is not asked."""
        id = place.log_in().get_id()
        place.store().delete_token(id)
        for look in (lambda store: store.find_token_by_id(id), lambda store: store.find_token(place.token(id=id))):
            with pytest.raises(TokenDeleted):
                look(place.store())
        assert place.calls == []

    @pytest.mark.parametrize("left", [None, 60], ids=["waited for", "ahead"])
    def test_a_deletion_during_a_refresh(self, place: Place, wait_for: WaitFor, left: float | None) -> None:
        """What Zoho answers afterwards does not bring the record back."""
        id = place.log_in(left=left).get_id()
        store = place.store()
        place.zoho.faults.set(hang=True)
        looking = in_background(store.find_token_by_id, id)
        wait_for(lambda: place.zoho.max_in_flight() == 1)
        place.store().delete_token(id)
        place.zoho.faults.clear()
        assert isinstance(looking.exception(30), TokenDeleted if left is None else type(None))
        wait_for(lambda: place.calls == ["refreshed"])
        store.close()  # lets what is under way end
        assert place.store().get_tokens() == []
        with pytest.raises(TokenDeleted):
            place.store().find_token_by_id(id)

    def test_a_login_during_a_refresh(self, place: Place, wait_for: WaitFor) -> None:
        """A new login while the old refresh token is at Zoho: its access token is what the fleet uses."""
        id = place.log_in().get_id()
        store, other = place.store(), place.store()
        place.zoho.faults.set(hang=True)
        looking = in_background(store.find_token_by_id, id)
        wait_for(lambda: place.zoho.max_in_flight() == 1)
        login = place.zoho.issue_refresh_token()
        access = place.zoho.issue_access_token(login)
        other.save_token(place.token("ada", refresh=login, access=access))
        place.zoho.faults.clear()
        assert looking.result(30).get_access_token() == access
        assert other.find_token_by_id(id).get_access_token() == access
        assert other.get(id).get_refresh_token() == login


class TestNothingIsLost:
    """Redis fails at the moment when Zoho has given what cannot be had again. On a server: fakeredis does not fail."""

    @pytest.mark.parametrize("way", ["at the next call", "in the background"])
    def test_redis_is_away_after_an_exchange(
        self,
        real_server: Server,
        zoho: FakeZoho,
        namespace: str,
        wait_for: WaitFor,
        monkeypatch: pytest.MonkeyPatch,
        way: str,
    ) -> None:
        """The caller gets the error, the save is kept and tried again, whether anybody calls or not: one exchange."""
        if way == "at the next call":
            monkeypatch.setattr(kept, "ROUND", 3600.0)
        options: dict[str, Any] = {"refresh": "managed", "environment": environment_of(zoho)}
        with (
            FaultyProxy(real_server.socket_path) as proxy,
            RedisTokenStore(proxy.client(), namespace, operation_timeout=2.0, **options) as store,
            RedisTokenStore(real_server.client(), namespace, **options) as other,
        ):
            token = make_token(client_id=zoho.client_id, secret=zoho.client_secret, grant=zoho.issue_grant_code())
            zoho.faults.set(hang=True)
            looking = in_background(store.find_token, token)
            wait_for(lambda: zoho.max_in_flight() == 1)
            proxy.refuse = True
            proxy.cut()
            zoho.faults.clear()
            assert isinstance(looking.exception(30), StoreUnavailable)
            assert (store.stats()["saves_kept"], other.get_tokens()) == (1, [])
            proxy.refuse = False
            if way == "in the background":
                wait_for(other.get_tokens)
            found = store.find_token(token)
            assert zoho.accounts.authenticate(found.get_access_token())
            (record,) = other.get_tokens()
            assert record.get_refresh_token() == found.get_refresh_token()
            assert (zoho.counters.exchanges, zoho.counters.rejected) == (1, 0)
            assert store.stats()["saves_dropped"] == 0

    def test_the_others_go_on_when_it_is_stored(
        self, real_server: Server, zoho: FakeZoho, namespace: str, wait_for: WaitFor
    ) -> None:
        """A process is cut off with the tokens of a code: others may hear that it is spent, until the save is there."""
        options: dict[str, Any] = {"refresh": "managed", "environment": environment_of(zoho), "lease_ttl": 0.3}
        code = zoho.issue_grant_code()

        def token() -> Any:
            return make_token(client_id=zoho.client_id, secret=zoho.client_secret, grant=code)

        with (
            FaultyProxy(real_server.socket_path) as proxy,
            RedisTokenStore(proxy.client(), namespace, operation_timeout=2.0, **options) as cut_off,
            RedisTokenStore(real_server.client(), namespace, **options) as other,
        ):
            zoho.faults.set(hang=True)
            looking = in_background(cut_off.find_token, token())
            wait_for(lambda: zoho.max_in_flight() == 1)
            proxy.refuse = True
            proxy.cut()
            zoho.faults.clear()
            assert isinstance(looking.exception(30), StoreUnavailable)
            with pytest.raises(RefreshRejected):
                other.find_token(token())
            proxy.refuse = False
            wait_for(lambda: other.get_tokens())
            assert zoho.accounts.authenticate(other.find_token(token()).get_access_token())
            assert zoho.counters.exchanges == 1

    def test_a_rotated_refresh_token_is_not_lost(
        self, real_server: Server, zoho: FakeZoho, namespace: str, wait_for: WaitFor
    ) -> None:
        """The same where a refresh replaces the refresh token."""
        zoho.faults.set(rotate_refresh_tokens=True)
        options: dict[str, Any] = {"refresh": "managed", "environment": environment_of(zoho)}
        with RedisTokenStore(real_server.client(), namespace, operation_timeout=2.0, **options) as store:
            fields = {"client_id": zoho.client_id, "secret": zoho.client_secret}
            token = make_token("ada", refresh=zoho.issue_refresh_token(), **fields)
            store.save_token(token)
            zoho.faults.set(hang=True)
            looking = in_background(store.find_token_by_id, token.get_id())
            wait_for(lambda: zoho.max_in_flight() == 1)
            with real_server.paused():
                zoho.faults.set(hang=False)
                assert isinstance(looking.exception(30), StoreUnavailable)
            for _ in range(2):
                assert zoho.accounts.authenticate(store.find_token_by_id(token.get_id()).get_access_token())
                store.invalidate_access_token(token.get_id())
            assert (zoho.counters.refreshes, zoho.counters.rejected) == (2, 0)
