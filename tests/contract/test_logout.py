"""Logout is final: once a deletion is acknowledged, no worker serves the token or brings it back.

Each test is one way in which a token might survive. A store stands for a process; ``ends`` logs ada out in each way
that there is. After it, all that is left to happen happens, and :meth:`Ada.check_gone` looks for her token everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any

import pytest

from contract.tokens import CLIENT, by_access, by_user, make_token, refreshed
from contract.underneath import Underneath
from integration.site import environment_of
from servers import Backend, Server, ServerPool, find_binaries, newest_binary
from zoho_token_store import RedisTokenStore, StoreUnavailable, TokenDeleted, TokenNotFound
from zoho_token_store.script import COMMIT, REFRESH, Script
from zoho_token_store.shortcut import give_back
from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import OAuthToken

MakeStore = Callable[..., RedisTokenStore]
WaitFor = Callable[[Callable[[], Any]], Any]
Ends = Callable[[RedisTokenStore], None]

OLDEST = next(iter(find_binaries()))
PLACES = [(OLDEST, 2), (newest_binary().name, 3), ("sealed", 3)]

LOOKS: dict[str, Callable[[RedisTokenStore, str], Any]] = {
    "id": lambda store, id: store.find_token_by_id(id),
    "id in a token": lambda store, id: store.find_token(make_token(id=id)),
    "id alone": lambda store, id: store.find_token(make_token(id=id, client_id=None, secret=None)),
    "get": lambda store, id: store.get(id),
    "user": lambda store, id: store.find_token(by_user("ada")),
    "user and client": lambda store, id: store.find_token(by_user("ada", CLIENT)),
    "access": lambda store, id: store.find_token(by_access("at")),
    "grant": lambda store, id: store.find_token(make_token(grant="gt")),
    "grant and user": lambda store, id: store.find_token(make_token("ada", grant="gt")),
    "listing": lambda store, id: store.get_tokens(),
}
"""Every way to a token but its refresh token: whoever comes with that starts a new login."""

HOLDS: dict[str, Callable[[RedisTokenStore, str], Any]] = {
    "by id": lambda store, id: store.find_token_by_id(id),
    "by user": lambda store, id: store.find_token(by_user("ada")),
    "by access token": lambda store, id: store.find_token(by_access("at")),
    "by grant code": lambda store, id: store.find_token(make_token("ada", grant="gt")),
    "by refresh token": lambda store, id: store.find_token(make_token("ada", refresh="rt")),
    "got": lambda store, id: store.get(id),
    "listed": lambda store, id: store.get_tokens()[0],
    "made by the application": lambda store, id: make_token("ada", id=id, refresh="rt", grant="gt", access="at"),
}
"""Every way in which a worker may have come by the object that it still holds."""


@pytest.fixture(params=PLACES, ids=[f"{name}-resp{protocol}" for name, protocol in PLACES])
def backend(request: pytest.FixtureRequest, server_pool: ServerPool) -> Backend:
    """Give the oldest and the newest server, and one for stores with keys."""
    name, protocol = request.param
    return Backend(name, protocol, server_pool.get(newest_binary().name if name == "sealed" else name))


@pytest.fixture
def zoho(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeZoho]:
    """Run a stand-in, which knows nothing of ada's made-up refresh token: that counts as ended, too."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeZoho() as server:
        yield server


@pytest.fixture
def make_store(make_store: MakeStore, zoho: FakeZoho) -> MakeStore:
    """Make stores that know where Zoho is; a revocation has to."""
    return lambda **options: make_store(**{"environment": environment_of(zoho)} | options)


class Ada:
    """Her token, and what must be true of it in the end."""

    def __init__(self, make_store: MakeStore, zoho: FakeZoho) -> None:
        self._make_store = make_store
        self._zoho = zoho
        self.id = ""

    def log_in(self, **fields: Any) -> None:
        """Have some process store her token."""
        token = make_token("ada", **{"refresh": "rt", "grant": "gt", "access": "at", **fields})
        self._make_store().save_token(token)
        self.id = str(token.get_id())

    def log_in_at_zoho(self, access: str | None = None) -> None:
        """The same again, with a refresh token that Zoho knows."""
        with self._make_store() as store:
            store.delete_token(self.id)
        client = {"client_id": self._zoho.client_id, "secret": self._zoho.client_secret}
        self.log_in(refresh=self._zoho.issue_refresh_token(), grant=None, access=access, **client)

    def issue_code(self) -> Any:
        """Return a token with a code that Zoho takes, as after a consent."""
        zoho = self._zoho
        return OAuthToken(
            client_id=zoho.client_id,
            client_secret=zoho.client_secret,
            redirect_url=zoho.redirect_uri,
            grant_token=zoho.issue_grant_code(),
        )

    def is_served(self, store: RedisTokenStore, look: Callable[[RedisTokenStore, str], Any]) -> bool:
        """Return whether a look finds it."""
        try:
            return bool(look(store, self.id))
        except TokenDeleted:
            return False

    def check_gone(self, *stores: RedisTokenStore) -> None:
        """Check that nothing leads to it: neither in these processes, as they are, nor in a new one."""
        for store in (*stores, self._make_store()):
            assert [name for name, look in LOOKS.items() if self.is_served(store, look)] == []
            with pytest.raises(TokenDeleted):
                store.find_token_by_id(self.id)


@pytest.fixture
def ada(make_store: MakeStore, zoho: FakeZoho) -> Ada:
    """Have ada logged in."""
    ada = Ada(make_store, zoho)
    ada.log_in()
    return ada


@pytest.fixture(params=["delete_token", "delete_tokens", "revoke"])
def ends(request: pytest.FixtureRequest, ada: Ada) -> Ends:
    """Return what logs ada out, and returns when that is acknowledged."""
    return {
        "delete_token": lambda store: store.delete_token(ada.id),
        "delete_tokens": lambda store: store.delete_tokens(),
        "revoke": lambda store: store.revoke(ada.id),
    }[request.param]


def is_warm(store: RedisTokenStore, look: Callable[[], Any]) -> bool:
    """Return whether the near cache answers a look."""
    hits = store.stats()["near_hits"]
    look()
    return bool(store.stats()["near_hits"] > hits)


@contextmanager
def away(store: RedisTokenStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep Redis from one process."""

    def run(*_: object) -> None:
        raise StoreUnavailable("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(store._link, "run", run)
        yield


def is_done(ends: Ends, store: RedisTokenStore) -> bool:
    """Return whether a logout is acknowledged."""
    try:
        ends(store)
    except StoreUnavailable:
        return False
    return True


class Zoho:
    """Holds up what Zoho has answered."""

    def __init__(self) -> None:
        self._arrived, self._let_go = Event(), Event()

    def hold_up(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call to Zoho whose answer is taken up at :meth:`go_on`."""

        def held(*args: Any) -> Any:
            answer = ask(*args)
            self._arrived.set()
            assert self._let_go.wait(10)
            return answer

        return held

    def wait(self) -> None:
        """Wait until it has answered."""
        assert self._arrived.wait(10)

    def go_on(self) -> None:
        """Let the store take the answer up."""
        self._let_go.set()


@pytest.fixture
def managed(make_store: MakeStore) -> RedisTokenStore:
    """Return a store that refreshes by itself."""
    return make_store(refresh="managed")


@pytest.fixture
def at_zoho(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what holds up one kind of calls that a store makes to Zoho, for as long as a context lasts."""

    @contextmanager
    def hold_up(store: RedisTokenStore, call: str) -> Iterator[Zoho]:
        zoho, accounts = Zoho(), store._parts.accounts
        monkeypatch.setattr(accounts, call, zoho.hold_up(getattr(accounts, call)))
        yield zoho
        zoho.go_on()

    return hold_up


class TestNobodyServesIt:
    """What other processes know of it is worth nothing any more."""

    def test_no_look_finds_it(self, ada: Ada, ends: Ends, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """At once, in the process that logged out and in another, which has looked before and remembers the way."""
        assert all(ada.is_served(other, look) for look in LOOKS.values())
        ends(store)
        ada.check_gone(store, other)

    def test_nor_does_the_processes_own_near_cache(
        self, ada: Ada, ends: Ends, make_store: MakeStore, wait_for: WaitFor
    ) -> None:
        """Whoever has logged out does not serve it a moment longer, though its own event is still under way."""
        store = make_store(near_cache=True)
        for look in (LOOKS["id"], LOOKS["user"], LOOKS["access"], LOOKS["grant"]):
            wait_for(lambda look=look: is_warm(store, lambda: look(store, ada.id)))
        ends(store)
        ada.check_gone(store)

    def test_nor_do_the_near_caches_of_others(
        self, ada: Ada, ends: Ends, store: RedisTokenStore, make_store: MakeStore, wait_for: WaitFor
    ) -> None:
        """When the event has arrived, by whichever way it was known there. (How soon: ``test_logout_storm.py``.)"""
        other = make_store(near_cache=True)
        for look in (LOOKS["id"], LOOKS["user"], LOOKS["access"], LOOKS["grant"]):
            wait_for(lambda look=look: is_warm(other, lambda: look(other, ada.id)))
        ends(store)
        wait_for(lambda: not ada.is_served(other, LOOKS["id"]))
        ada.check_gone(other)

    def test_nor_after_a_look_that_was_under_way(
        self,
        ada: Ada,
        ends: Ends,
        store: RedisTokenStore,
        make_store: MakeStore,
        wait_for: WaitFor,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Redis has answered a look before the deletion; taken up after it, it goes into no near cache."""
        other = make_store(near_cache=True)
        wait_for(lambda: is_warm(other, lambda: LOOKS["id"](other, ada.id)))
        find, near = other._repository.find, other._shortcut._near
        near.drop(ada.id)

        def and_meanwhile(question: Any) -> Any:
            answer = find(question)
            monkeypatch.undo()
            events = near.ticket()
            ends(store)
            wait_for(lambda: near.ticket() != events)
            return answer

        monkeypatch.setattr(other._repository, "find", and_meanwhile)
        assert other.find_token_by_id(ada.id).get_access_token() == "at"
        ada.check_gone(other)

    def test_under_none_of_its_ids(
        self, ada: Ada, ends: Ends, store: RedisTokenStore, make_store: MakeStore, wait_for: WaitFor
    ) -> None:
        """Another record was merged into it: both ids are gone, from near caches too."""
        other, twin = make_store(near_cache=True), make_token(refresh="rt2", access="at2")
        store.save_token(twin)
        store.save_token(make_token("ada", id=twin.get_id()))
        ids = {ada.id, twin.get_id()}
        for record_id in ids:
            wait_for(lambda record_id=record_id: is_warm(other, lambda: other.find_token_by_id(record_id)))
        ends(store)
        for ada.id in ids:
            wait_for(lambda: not ada.is_served(other, LOOKS["id"]))
            ada.check_gone(store, other)

    def test_not_to_those_who_wait(
        self,
        ada: Ada,
        ends: Ends,
        store: RedisTokenStore,
        make_store: MakeStore,
        underneath: Underneath,
        wait_for: WaitFor,
    ) -> None:
        """A worker that waits for another's refresh is told of the logout instead."""
        underneath.leave(ada.id, 0)
        assert store.find_token_by_id(ada.id).get_access_token() is None
        waiter = make_store()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(waiter.find_token_by_id, ada.id)
            wait_for(lambda: waiter.stats()["waits"])
            ends(store)
            with pytest.raises(TokenDeleted):
                waiting.result(10)
        ada.check_gone(store, waiter)


class TestNoSaveRevivesIt:
    """Whatever a worker still holds, and however late it comes."""

    @pytest.mark.parametrize("how", HOLDS)
    def test_of_an_object_that_is_held(
        self, ada: Ada, ends: Ends, store: RedisTokenStore, other: RedisTokenStore, how: str
    ) -> None:
        """With a new access token, with a new refresh token as well, and twice."""
        held = HOLDS[how](other, ada.id)
        ends(store)
        for refresh in (None, "rt-new"):
            with pytest.raises(TokenDeleted):
                other.save_token(refreshed(held, "at-late", refresh=refresh))
        ada.check_gone(store, other)
        assert store.find_token(by_access("at-late")) is None

    def test_of_a_refresh_under_a_lease(
        self, ada: Ada, ends: Ends, store: RedisTokenStore, other: RedisTokenStore, underneath: Underneath
    ) -> None:
        """The SDK of a worker is at Zoho, with the right to refresh, when the token is deleted."""
        underneath.leave(ada.id, 0)
        mine = other.find_token(by_user("ada"))
        assert mine.get_access_token() is None
        ends(store)
        with pytest.raises(TokenDeleted):
            other.save_token(refreshed(mine, "at-late"))
        ada.check_gone(store, other)

    def test_of_a_refresh_under_a_lease_that_has_passed_on(
        self, ada: Ada, ends: Ends, make_store: MakeStore, underneath: Underneath
    ) -> None:
        """It took so long that another was elected, and saved; then the token was deleted."""
        late, prompt = make_store(lease_ttl=0.1), make_store(lease_ttl=0.1)
        underneath.leave(ada.id, 0)
        mine = late.find_token_by_id(ada.id)
        prompt.save_token(refreshed(prompt.find_token_by_id(ada.id), "at-prompt"))
        ends(prompt)
        with pytest.raises(TokenDeleted):
            late.save_token(refreshed(mine, "at-late", refresh="rt-late"))
        ada.check_gone(late, prompt)

    @pytest.mark.parametrize("credential", [{"grant": "gt2"}, {"refresh": "rt2"}], ids=["grant code", "refresh token"])
    def test_of_a_login_that_another_has_finished(
        self, ada: Ada, ends: Ends, make_store: MakeStore, credential: dict[str, str]
    ) -> None:
        """Two workers were given one credential, one after the other; what the second has made of it was deleted."""
        late, prompt = make_store(lease_ttl=0.1), make_store(lease_ttl=0.1)
        mine, theirs = make_token("ada", **credential), make_token("ada", **credential)
        assert late.find_token(mine) is None
        assert prompt.find_token(theirs) is None
        prompt.save_token(refreshed(theirs, "at-prompt", refresh="rt2"))
        assert theirs.get_id() == ada.id
        ends(prompt)
        with pytest.raises(TokenDeleted):
            late.save_token(refreshed(mine, "at-late", refresh="rt2"))
        ada.check_gone(late, prompt)

    @pytest.mark.parametrize("near_cache", [False, True])
    def test_that_another_process_has_kept(
        self,
        ada: Ada,
        ends: Ends,
        store: RedisTokenStore,
        make_store: MakeStore,
        monkeypatch: pytest.MonkeyPatch,
        near_cache: bool,
    ) -> None:
        """Redis could not take it in time, and is back after the deletion: it is refused, and counted as that."""
        keeper = make_store(near_cache=near_cache)
        held = keeper.find_token_by_id(ada.id)
        with away(keeper, monkeypatch):
            with pytest.raises(StoreUnavailable):
                keeper.save_token(refreshed(held, "at-kept", refresh="rt-kept"))
            ends(store)
        ada.check_gone(keeper, store)
        assert keeper.stats()["saves_dropped"] == 1
        assert store.find_token(by_access("at-kept")) is None

    def test_that_the_same_process_has_kept(
        self, ada: Ada, ends: Ends, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, wait_for: WaitFor
    ) -> None:
        """It goes to Redis before the deletion, and never after it; a logout that Redis cannot hear is an error."""
        keeper = make_store(near_cache=True)
        held = keeper.find_token_by_id(ada.id)
        with away(keeper, monkeypatch):
            with pytest.raises(StoreUnavailable):
                keeper.save_token(refreshed(held, "at-kept"))
            assert not is_done(ends, keeper)
        wait_for(lambda: is_done(ends, keeper))
        ada.check_gone(keeper)
        assert len(keeper._kept) == 0

    @pytest.mark.parametrize("login", [{"refresh": "rt"}, {"refresh": "rt-new"}], ids=["same", "new"])
    def test_of_a_login_that_another_process_has_kept(
        self,
        ada: Ada,
        ends: Ends,
        store: RedisTokenStore,
        other: RedisTokenStore,
        monkeypatch: pytest.MonkeyPatch,
        login: dict[str, str],
    ) -> None:
        """It was made before the logout, without a lease, and reaches Redis after it; a login after that is taken."""
        again = make_token("ada", **login, access="at-kept")
        with away(other, monkeypatch):
            with pytest.raises(StoreUnavailable):
                other.save_token(again)
            ends(store)
        ada.check_gone(other, store)
        assert other.stats()["saves_dropped"] == 1
        again.set_id(None)
        other.save_token(again)
        assert store.find_token(by_user("ada")).get_access_token() == "at-kept"

    def test_of_a_login_that_the_same_process_has_kept(
        self, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Redis has never heard of it: who deletes all tokens deletes that one, too."""
        keeper = make_store()
        with away(keeper, monkeypatch), pytest.raises(StoreUnavailable):
            keeper.save_token(make_token("grace", refresh="rt-kept", access="at-kept"))
        keeper.delete_tokens()
        keeper.close()
        assert make_store().get_tokens() == []

    def test_that_a_process_has_kept_to_its_end(
        self, ada: Ada, ends: Ends, store: RedisTokenStore, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is tried a last time when the process ends, and refused."""
        keeper = make_store()
        held = keeper.find_token_by_id(ada.id)
        with away(keeper, monkeypatch), pytest.raises(StoreUnavailable):
            keeper.save_token(refreshed(held, "at-kept"))
        with suppress(TokenDeleted):  # the thread for kept saves may have been faster than the logout
            ends(store)
        keeper.close()
        ada.check_gone(store)

    @pytest.mark.parametrize("has_id", [False, True], ids=["new login", "known"])
    def test_whose_reply_was_lost(
        self,
        ada: Ada,
        ends: Ends,
        store: RedisTokenStore,
        make_store: MakeStore,
        monkeypatch: pytest.MonkeyPatch,
        has_id: bool,
    ) -> None:
        """It was stored, its process keeps it for want of a reply, and tries it again after the deletion."""
        keeper = make_store()
        if has_id:
            token = refreshed(keeper.find_token_by_id(ada.id), "at-kept", refresh="rt-kept")
        else:
            ends(store)
            token = make_token("ada", refresh="rt-kept", access="at-kept")
        run = keeper._link.run

        def lose_reply(script: Script, *request: Any) -> Any:
            reply = run(script, *request)
            if script in (COMMIT, REFRESH):
                raise StoreUnavailable("the reply was lost")
            return reply

        monkeypatch.setattr(keeper._link, "run", lose_reply)
        with pytest.raises(StoreUnavailable):
            keeper.save_token(token)
        (stored,) = store.get_tokens()
        assert stored.get_access_token() == "at-kept"
        ada.id = stored.get_id()
        ends(store)
        monkeypatch.undo()
        keeper.close()
        ada.check_gone(store)
        assert keeper.stats()["saves_dropped"] == 1

    def test_into_a_new_login(self, ada: Ada, ends: Ends, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """Ada is back, under another id; a late save of before changes nothing of that, and the old id stays gone."""
        held = other.find_token_by_id(ada.id)
        ends(store)
        again = make_token("ada", grant="gt-again")
        assert store.find_token(again) is None
        store.save_token(refreshed(again, "at-again", refresh="rt-again"))
        assert again.get_id() != ada.id
        with pytest.raises(TokenDeleted):
            other.save_token(refreshed(held, "at-late", refresh="rt-late"))
        found = other.find_token(by_user("ada"))
        assert (found.get_id(), found.get_access_token()) == (again.get_id(), "at-again")
        assert found.get_refresh_token() == "rt-again"
        with pytest.raises(TokenDeleted):
            other.find_token_by_id(ada.id)


class TestNoRefreshRevivesIt:
    """The store itself is at Zoho when the token is deleted, and takes up Zoho's answer after that."""

    def test_that_a_caller_waits_for(
        self, ada: Ada, ends: Ends, store: RedisTokenStore, managed: RedisTokenStore, at_zoho: Callable[..., Any]
    ) -> None:
        """The caller is told of the logout, and gets no token."""
        ada.log_in_at_zoho()
        with at_zoho(managed, "refresh") as zoho, ThreadPoolExecutor(1) as pool:
            finding = pool.submit(managed.find_token_by_id, ada.id)
            zoho.wait()
            ends(store)
            zoho.go_on()
            with pytest.raises(TokenDeleted):
                finding.result(10)
        ada.check_gone(managed)

    def test_that_nobody_waits_for(
        self,
        ada: Ada,
        ends: Ends,
        store: RedisTokenStore,
        managed: RedisTokenStore,
        at_zoho: Callable[..., Any],
        underneath: Underneath,
        wait_for: WaitFor,
    ) -> None:
        """It was made ahead of time, in the background, while the old token was handed out."""
        ada.log_in_at_zoho(access="at")
        underneath.leave(ada.id, 60)
        with at_zoho(managed, "refresh") as zoho:
            assert managed.find_token_by_id(ada.id).get_access_token() == "at"
            zoho.wait()
            ends(store)
            zoho.go_on()
            wait_for(lambda: not managed._parts.supply._background._running)
        ada.check_gone(managed)

    def test_that_the_keeper_makes(
        self, ada: Ada, ends: Ends, store: RedisTokenStore, managed: RedisTokenStore, at_zoho: Callable[..., Any]
    ) -> None:
        """A process that keeps tokens fresh is at Zoho; it goes on with the others, and leaves this one alone."""
        ada.log_in_at_zoho()
        with at_zoho(managed, "refresh") as zoho, ThreadPoolExecutor(1) as pool:
            keeping = pool.submit(managed.keep_fresh)
            zoho.wait()
            ends(store)
            zoho.go_on()
            keeping.result(10)
        managed.keep_fresh()
        managed.keep_fresh([ada.id])
        ada.check_gone(managed)

    def test_that_asks_for_the_users_name(
        self, ada: Ada, ends: Ends, store: RedisTokenStore, managed: RedisTokenStore, at_zoho: Callable[..., Any]
    ) -> None:
        """A code was exchanged and the token stored; it is deleted before the user's name can be saved beside it."""
        ends(store)
        code = ada.issue_code()
        with at_zoho(managed, "user_name") as zoho, ThreadPoolExecutor(1) as pool:
            finding = pool.submit(managed.find_token, code)
            zoho.wait()
            (nameless,) = store.get_tokens()
            ada.id = nameless.get_id()
            ends(store)
            zoho.go_on()
            with suppress(TokenDeleted):  # the token that was brought may still be the caller's, for its request
                finding.result(10)
        ada.check_gone(managed)


class TestNothingElseRevivesIt:
    """What is written without anybody's asking."""

    def test_no_report_of_a_rejected_token(
        self, ada: Ada, ends: Ends, store: RedisTokenStore, other: RedisTokenStore
    ) -> None:
        """CRM has rejected the access token, and a worker says so after the deletion."""
        ends(store)
        other.invalidate_access_token(ada.id, "at")
        ada.check_gone(store, other)

    def test_no_move_to_other_keys(self, ada: Ada, ends: Ends, store: RedisTokenStore, other: RedisTokenStore) -> None:
        """A rotation has read the record, and writes it anew after the deletion."""
        record = other._repository.get(ada.id)
        assert record is not None
        ends(store)
        assert other._repository.rewrite(record) is False
        ada.check_gone(store, other)

    def test_no_near_cache_that_gives_back(
        self, ada: Ada, ends: Ends, store: RedisTokenStore, make_store: MakeStore, wait_for: WaitFor
    ) -> None:
        """A process that takes Redis to have lost the record, and offers what it knew before the deletion."""
        other = make_store(near_cache=True)
        wait_for(lambda: is_warm(other, lambda: other.find_token_by_id(ada.id)))
        held = other._shortcut._near.entries()
        assert [known.record.id for known in held] == [ada.id]
        ends(store)
        give_back(other._transactions, other._stats, held, True)
        assert other.stats()["restored"] == 0
        ada.check_gone(store)


@pytest.mark.parametrize("backend", [PLACES[-2]], ids=[PLACES[-2][0]], indirect=True)
@pytest.mark.parametrize("sealed", [False, True])
def test_not_even_when_redis_has_lost_its_data(
    start_server: Callable[..., Server],
    keys: dict[str, Any],
    namespace: str,
    wait_for: WaitFor,
    sealed: bool,
    backend: Any,
) -> None:
    """Tombstones are gone, and who was listening gives back what it held: not what it had heard the end of."""
    server = start_server()
    options = (keys if sealed else {}) | {"near_cache": True}
    with (
        RedisTokenStore(server.client(), namespace, **options) as store,
        RedisTokenStore(server.client(), namespace, **options) as other,
    ):
        ada, grace = make_token("ada", refresh="rt", access="at"), make_token("grace", refresh="rt2", access="at2")
        for token in (ada, grace):
            store.save_token(token)
        for token in (ada, grace):
            wait_for(lambda token=token: is_warm(other, lambda: other.find_token_by_id(token.get_id())))
        store.delete_token(ada.get_id())
        wait_for(lambda: len(other._shortcut._near.entries()) == 1)
        server.kill()
        server.start()
        wait_for(lambda: other.stats()["restored"] + store.stats()["restored"])
        wait_for(lambda: other.find_token_by_id(grace.get_id()).get_access_token() == "at2")
        for each in (store, other):
            with pytest.raises(TokenNotFound):
                each.find_token_by_id(ada.get_id())
            assert each.find_token(by_user("ada")) is None
            assert each.find_token(by_access("at")) is None
        assert [token.get_id() for token in store.get_tokens()] == [grace.get_id()]
