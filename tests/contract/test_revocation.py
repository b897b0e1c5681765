"""``store.revoke``: a token is ended at Zoho and deleted here, and whoever asked is told which half is missing."""

from __future__ import annotations

import inspect
import logging
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from contract.tokens import by_user, make_token, refreshed
from proxy import FaultyProxy
from servers import Backend, Server, ServerPool, find_binaries, newest_binary
from zoho_token_store import (
    ConfigurationError,
    InvalidToken,
    RedisTokenStore,
    RevocationIncomplete,
    StoreUnavailable,
    TokenDeleted,
)
from zoho_token_store.accounts import Accounts, Rejected, Throttled, Transient
from zoho_token_store.testing import FakeZoho

pytestmark = pytest.mark.sdk_matrix

MakeStore = Callable[..., RedisTokenStore]
WaitFor = Callable[[Callable[[], Any]], Any]

# The oldest and the newest server, and not all: most of what happens here is between the store and Zoho.
PLACES = [("fakeredis", 2), (next(iter(find_binaries())), 2), (newest_binary().name, 3), ("sealed", 3)]
by_any_store = pytest.mark.parametrize("refresh", ["sdk", "managed"])


@pytest.fixture(params=PLACES, ids=[f"{name}-resp{protocol}" for name, protocol in PLACES])
def backend(request: pytest.FixtureRequest, server_pool: ServerPool) -> Backend:
    """Give fakeredis, the oldest and the newest server, and one for stores with keys."""
    name, protocol = request.param
    server = newest_binary().name if name == "sealed" else name
    return Backend(name, protocol, None if name == "fakeredis" else server_pool.get(server))


@pytest.fixture(autouse=True)
def no_initializer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the SDK as a new process has it, and go through no proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Initializer.initializer = Initializer.LOCAL.init = None
    yield
    Initializer.initializer = Initializer.LOCAL.init = None


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    """Give patches that can be taken back before the end of the test."""
    with pytest.MonkeyPatch.context() as own:
        yield own


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """Run a stand-in."""
    with FakeZoho() as server:
        yield server


@pytest.fixture
def environment(zoho: FakeZoho) -> Any:
    """Return the environment that leads to the stand-in."""
    named = "name" in inspect.signature(DataCenter.Environment.__init__).parameters  # SDK 5.0
    where = (zoho.url, f"{zoho.url}/oauth/v2/token", zoho.url)
    return DataCenter.Environment(*where, *(("stand-in",) if named else ()))


class Place:
    """A namespace and a stand-in, and stores that know where it is; each stands for a process of its own."""

    def __init__(self, make_store: MakeStore, zoho: FakeZoho, environment: Any) -> None:
        self._make_store = make_store
        self._environment = environment
        self.zoho = zoho

    def store(self, **options: Any) -> RedisTokenStore:
        """Return a store."""
        return self._make_store(**{"environment": self._environment} | options)

    def token(self, user: str | None = "ada", **fields: Any) -> Any:
        """Return a token of the stand-in's client, with an access token that Zoho has not given."""
        client = {"client_id": self.zoho.client_id, "secret": self.zoho.client_secret}
        return make_token(user, **{**client, "access": "at", **fields})

    def log_in(self, user: str = "ada") -> Any:
        """Store a token whose refresh token Zoho knows; return it."""
        token = self.token(user, refresh=self.zoho.issue_refresh_token())
        self.store().save_token(token)
        return token

    def knows(self, refresh_token: str) -> bool:
        """Return whether Zoho still knows a refresh token."""
        return refresh_token in self.zoho.accounts._refresh

    def told(self) -> list[str]:
        """Return what has happened, by the events."""
        with self.store().events() as events:
            return [event.name for event in events.read().events]

    @property
    def calls(self) -> list[str]:
        """How each revocation has ended at Zoho."""
        return [seen.outcome for seen in self.zoho.requests if seen.endpoint == "revoke"]


@pytest.fixture
def place(make_store: MakeStore, zoho: FakeZoho, environment: Any) -> Place:
    """Return where a test takes place."""
    return Place(make_store, zoho, environment)


def is_deleted(store: RedisTokenStore, record_id: str) -> bool:
    """Return whether a token was deleted for good."""
    try:
        store.find_token_by_id(record_id)
    except TokenDeleted:
        return store.get(record_id) is None
    return False


class TestBothHalves:
    """Zoho and Redis answer."""

    @by_any_store
    def test_it_is_ended_there_and_here(self, place: Place, refresh: str) -> None:
        """The refresh token is worth nothing any more, and nobody finds the record."""
        token, store = place.log_in(), place.store(refresh=refresh)
        assert store.revoke(token.get_id()) is True
        assert not place.knows(token.get_refresh_token())
        assert is_deleted(place.store(), token.get_id())
        assert place.store().find_token(by_user("ada")) is None
        assert place.told() == ["saved", "revoked"]
        counted = store.stats()
        assert (counted["revocations"], counted["deletes"], counted["leases"]) == (1, 1, 0)

    def test_where_the_sdk_was_told_to_ask(self, place: Place, environment: Any, tmp_path: Any) -> None:
        """The environment of the ``Initializer`` goes before the store's, as for a refresh."""
        token = place.log_in()
        store = place.store(environment=None)
        Initializer.initialize(environment=environment, token=token, store=store, resource_path=str(tmp_path))
        assert store.revoke(token.get_id()) is True
        assert not place.knows(token.get_refresh_token())

    def test_spare_refresh_tokens_are_ended_too(self, place: Place) -> None:
        """Two logins have crossed: the record has both tokens, and no other way leads to them."""
        token = place.log_in()
        late, prompt = place.store(lease_ttl=0.1), place.store(lease_ttl=0.1)
        late.invalidate_access_token(token.get_id())
        held = [late.find_token_by_id(token.get_id()), prompt.find_token_by_id(token.get_id())]
        logins = [place.zoho.issue_refresh_token(), place.zoho.issue_refresh_token()]
        for store, mine, login in ((prompt, held[1], logins[1]), (late, held[0], logins[0])):
            store.save_token(refreshed(mine, f"at of {login}", refresh=login))
        assert place.store().revoke(token.get_id()) is True
        assert place.calls == ["revoked", "revoked"]
        assert not any(map(place.knows, logins))

    def test_ended_at_zoho_before(self, place: Place) -> None:
        """By the user, in the account's settings: that half is done."""
        token = place.log_in()
        place.zoho.accounts.revoke(token.get_refresh_token())
        assert place.store().revoke(token.get_id()) is True
        assert is_deleted(place.store(), token.get_id())
        assert place.told() == ["saved", "revoked"]

    def test_without_a_refresh_token(self, place: Place) -> None:
        """It is only deleted; where Zoho is need not be known."""
        token = place.token(access="at-only")
        store = place.store(environment=None)
        store.save_token(token)
        assert store.revoke(token.get_id()) is True
        assert is_deleted(place.store(), token.get_id())
        assert place.calls == []
        assert place.told() == ["saved", "deleted"]

    def test_logging_out_twice_is_logging_out(self, place: Place) -> None:
        """A second call, from anywhere, finds nothing to do, and so does one about an id that was never seen."""
        token, store = place.log_in(), place.store()
        assert store.revoke(token.get_id()) is True
        assert store.revoke(token.get_id()) is False
        assert place.store().revoke(token.get_id()) is False
        assert store.revoke("never-seen") is False
        assert place.calls == ["revoked"]

    def test_by_an_id_that_was_merged_away(self, place: Place) -> None:
        """It leads to the record, which is ended under both ids."""
        first, second = place.token("ada", refresh="rt1", access="at1"), place.token(None, refresh="rt2", access="at2")
        store = place.store()
        store.save_token(first)
        store.save_token(second)
        store.save_token(place.token("ada", id=second.get_id(), access=None))
        (stays,) = store.get_tokens()
        (gone,) = {first.get_id(), second.get_id()} - {stays.get_id()}
        assert store.revoke(gone) is True
        assert is_deleted(store, first.get_id())
        assert is_deleted(store, second.get_id())
        assert len(place.calls) == 2

    def test_what_is_no_id(self, place: Place) -> None:
        """It is refused by name."""
        with pytest.raises(InvalidToken, match="id"):
            place.store().revoke("no id")

    def test_a_new_login_afterwards(self, place: Place) -> None:
        """The user may come back."""
        token, store = place.log_in(), place.store()
        store.revoke(token.get_id())
        again = place.log_in()
        assert again.get_id() != token.get_id()
        assert store.find_token(by_user("ada")).get_id() == again.get_id()


class TestZohoFails:
    """The deletion follows all the same."""

    @by_any_store
    @pytest.mark.parametrize(
        ("fault", "cause"),
        [
            ({"status": 500}, Transient),
            ({"kind": "garbage"}, Transient),
            ({"status": 200, "body": "{}"}, Transient),
            ({"status": 429}, Throttled),
            ({"status": 400, "body": '{"error": "Access Denied", "status": "failure"}'}, Throttled),
            ({"status": 200, "body": '{"error": "invalid_client"}'}, Rejected),
        ],
        ids=["down", "garbage", "empty", "throttled", "throttled by word", "refused"],
    )
    def test_it_is_deleted_here(
        self, place: Place, refresh: str, fault: dict[str, Any], cause: type, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The caller is told that Zoho has not ended it, and what can be done; nobody gets the token any more."""
        token, store = place.log_in(), place.store(refresh=refresh)
        place.zoho.faults.fail_next(times=None, **fault)
        with pytest.raises(RevocationIncomplete, match="connected apps") as caught:
            store.revoke(token.get_id())
        error = caught.value
        assert (error.deleted, error.revoked, error.record_id) == (True, False, token.get_id())
        assert isinstance(error.cause, cause)
        assert is_deleted(place.store(), token.get_id())
        assert place.told() == ["saved", "deleted"]
        assert store.stats()["revocations"] == 0
        assert token.get_refresh_token() not in caplog.text + "".join(traceback.format_exception(error))
        assert store.revoke(token.get_id()) is False

    def test_a_hitch(self, place: Place) -> None:
        """It is tried once more; also if Zoho has worked, and the answer was lost."""
        for fault in ({"status": 503}, {"kind": "reset"}, {"kind": "half"}):
            token = place.log_in()
            place.zoho.faults.fail_next(**fault)
            assert place.store().revoke(token.get_id()) is True
            assert not place.knows(token.get_refresh_token())

    @by_any_store
    def test_hung(self, place: Place, refresh: str) -> None:
        """It is given up at the end of ``request_timeout``."""
        token, store = place.log_in(), place.store(refresh=refresh, request_timeout=0.5)
        place.zoho.faults.set(hang=True)
        began = time.monotonic()
        with pytest.raises(RevocationIncomplete) as caught:
            store.revoke(token.get_id())
        assert 0.4 < time.monotonic() - began < 5
        assert (caught.value.deleted, caught.value.revoked) == (True, False)
        assert is_deleted(place.store(), token.get_id())

    def test_away(self, place: Place) -> None:
        """Nobody listens there."""
        token = place.log_in()
        place.zoho.stop()
        with pytest.raises(RevocationIncomplete) as caught:
            place.store().revoke(token.get_id())
        assert (caught.value.deleted, caught.value.revoked) == (True, False)

    def test_one_of_two_refresh_tokens(self, place: Place, patch: pytest.MonkeyPatch) -> None:
        """The others are ended all the same, and it does not count as ended."""
        token = place.log_in()
        patch.setattr("zoho_token_store.revocation._refresh_tokens", lambda record: ("rt of no use", "another"))
        place.zoho.faults.fail_next(status=200, body='{"error": "invalid_client"}')
        with pytest.raises(RevocationIncomplete) as caught:
            place.store().revoke(token.get_id())
        assert not caught.value.revoked
        assert place.calls == ["HTTP 200", "invalid_token"]

    def test_the_caller_is_interrupted(self, place: Place, patch: pytest.MonkeyPatch) -> None:
        """By Ctrl-C, or the time limit of a task: it is logged out here, and the interruption goes on."""

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        token = place.log_in()
        patch.setattr(Accounts, "revoke", interrupt)
        with pytest.raises(KeyboardInterrupt):
            place.store().revoke(token.get_id())
        assert is_deleted(place.store(), token.get_id())
        assert place.told() == ["saved", "deleted"]

    def test_where_to_ask_is_not_known(self, place: Place) -> None:
        """It can be mended, so nothing is done: a deletion would leave the refresh token alive for ever."""
        token = place.log_in()
        with pytest.raises(ConfigurationError, match="environment"):
            place.store(environment=None).revoke(token.get_id())
        assert place.store().get(token.get_id()).get_refresh_token() == token.get_refresh_token()
        assert place.store().revoke(token.get_id()) is True


class Broken:
    """A store whose way to Redis can be cut, and what Zoho does meanwhile."""

    def __init__(self, proxy: FaultyProxy, place: Place, store: RedisTokenStore) -> None:
        self.proxy = proxy
        self.place = place
        self.store = store

    def cut(self) -> None:
        """Cut it."""
        self.proxy.refuse = True
        self.proxy.cut()

    def mend(self) -> None:
        """Mend it."""
        self.proxy.refuse = False


@pytest.fixture
def broken(real_server: Server, namespace: str, zoho: FakeZoho, environment: Any) -> Iterator[Broken]:
    """Give a store behind a proxy, and a place with others that are not."""
    with FaultyProxy(real_server.socket_path) as proxy:
        made: list[RedisTokenStore] = []

        def make_store(**options: Any) -> RedisTokenStore:
            made.append(RedisTokenStore(real_server.client(), namespace, **options))
            return made[-1]

        with RedisTokenStore(proxy.client(), namespace, environment=environment, operation_timeout=2.0) as store:
            yield Broken(proxy, Place(make_store, zoho, environment), store)
        for other in made:
            other.close()


class TestRedisFails:
    """Before, after and in the middle."""

    def test_away_before(self, broken: Broken) -> None:
        """What to end is not known: nothing is done, and the call can be repeated."""
        token = broken.place.log_in()
        broken.cut()
        with pytest.raises(StoreUnavailable):
            broken.store.revoke(token.get_id())
        assert broken.place.calls == []
        broken.mend()
        assert broken.store.revoke(token.get_id()) is True
        assert broken.place.calls == ["revoked"]

    def test_away_in_the_middle(self, broken: Broken, patch: pytest.MonkeyPatch) -> None:
        """Zoho has ended it: the error says that it is dead, and a repeat does what is left."""
        token = broken.place.log_in()
        revoke = Accounts.revoke

        def and_cut(*args: Any) -> None:
            revoke(*args)
            broken.cut()

        patch.setattr(Accounts, "revoke", and_cut)
        with pytest.raises(RevocationIncomplete, match="which is dead") as caught:
            broken.store.revoke(token.get_id())
        error = caught.value
        assert (error.deleted, error.revoked, error.record_id) == (False, True, token.get_id())
        assert isinstance(error.cause, StoreUnavailable)
        patch.undo()
        broken.mend()
        assert broken.store.revoke(token.get_id()) is True
        assert broken.place.calls == ["revoked", "invalid_token"]
        assert is_deleted(broken.place.store(), token.get_id())
        assert broken.place.told() == ["saved", "revoked"]

    def test_both_fail(self, broken: Broken, patch: pytest.MonkeyPatch) -> None:
        """Nothing is done, and the call can be repeated."""
        token = broken.place.log_in()

        def cut(*_: object) -> None:
            broken.cut()
            raise Transient("no answer")

        patch.setattr(Accounts, "revoke", cut)
        with pytest.raises(RevocationIncomplete, match="neither") as caught:
            broken.store.revoke(token.get_id())
        assert (caught.value.deleted, caught.value.revoked) == (False, False)
        patch.undo()
        broken.mend()
        assert broken.store.revoke(token.get_id()) is True

    def test_nothing_to_do_at_zoho(self, broken: Broken, patch: pytest.MonkeyPatch) -> None:
        """Then it is a deletion that Redis has not taken, and no half of anything."""
        token = broken.place.token(access="at-only")
        broken.store.save_token(token)
        get = broken.store._repository.get
        patch.setattr(broken.store._repository, "get", lambda record_id: (get(record_id), broken.cut())[0])
        with pytest.raises(StoreUnavailable):
            broken.store.revoke(token.get_id())
        patch.undo()
        broken.mend()
        assert broken.store.revoke(token.get_id()) is True

    def test_the_reply_to_the_deletion_is_lost(self, broken: Broken, patch: pytest.MonkeyPatch) -> None:
        """It is repeated, and comes to the same."""
        token = broken.place.log_in()
        revoke = Accounts.revoke

        def then_lose(*args: Any) -> None:
            revoke(*args)
            broken.proxy.drop_next_request("EVALSHA")
            broken.proxy.drop_next_reply("EVALSHA")
            broken.proxy.drop_next_reply("EVALSHA")

        patch.setattr(Accounts, "revoke", then_lose)
        assert broken.store.revoke(token.get_id()) is True
        assert broken.proxy.armed == 0
        assert is_deleted(broken.place.store(), token.get_id())
        assert broken.place.told() == ["saved", "revoked"]


class TestTogether:
    """Others are at the same record."""

    def test_two_at_once(self, place: Place) -> None:
        """Both are told that it is done, whoever was first."""
        token = place.log_in()
        stores = [place.store(), place.store()]
        start = threading.Barrier(2)
        place.zoho.faults.set(latency=0.05)

        def revoke(store: RedisTokenStore) -> bool:
            start.wait()
            return store.revoke(token.get_id())

        with ThreadPoolExecutor(2) as pool:
            assert True in list(pool.map(revoke, stores))
        assert "revoked" in place.calls
        assert set(place.calls) <= {"revoked", "invalid_token"}
        assert is_deleted(place.store(), token.get_id())
        assert place.told() == ["saved", "revoked"]

    @pytest.mark.parametrize("fails", [False, True], ids=["complete", "incomplete"])
    def test_a_login_comes_between(self, place: Place, patch: pytest.MonkeyPatch, fails: bool) -> None:
        """What the record has got by the time of its deletion is ended too, whatever came of the first token."""
        token, other = place.log_in(), place.store()
        newer = place.zoho.issue_refresh_token()

        def and_log_in(*_: object) -> None:
            patch.undo()
            other.save_token(place.token(id=token.get_id(), refresh=newer, access="newer"))
            if fails:
                raise Rejected("invalid_client")

        patch.setattr(Accounts, "revoke", and_log_in)
        if fails:
            with pytest.raises(RevocationIncomplete):
                place.store().revoke(token.get_id())
        else:
            assert place.store().revoke(token.get_id()) is True
        assert place.calls == ["revoked"]
        assert not place.knows(newer)
        assert is_deleted(other, token.get_id())

    def test_a_refresh_is_under_way(self, place: Place) -> None:
        """The worker that holds the lease cannot bring the token back."""
        token, worker = place.log_in(), place.store()
        worker.invalidate_access_token(token.get_id())
        held = worker.find_token_by_id(token.get_id())
        assert place.store().revoke(token.get_id()) is True
        with pytest.raises(TokenDeleted):
            worker.save_token(refreshed(held, "at2"))
        assert is_deleted(place.store(), token.get_id())

    @pytest.mark.parametrize("fails", [False, True], ids=["complete", "incomplete"])
    def test_near_caches_see_it(self, place: Place, wait_for: WaitFor, fails: bool) -> None:
        """That of another process as soon as it hears of it, its own at once; also if Zoho has failed."""
        record_id = place.log_in().get_id()
        own, other = place.store(near_cache=True), place.store(near_cache=True)
        wait_for(lambda: _is_near(own, record_id))
        wait_for(lambda: _is_near(other, record_id))
        if fails:
            place.zoho.faults.fail_next(times=None)
            with pytest.raises(RevocationIncomplete):
                own.revoke(record_id)
        else:
            own.revoke(record_id)
        assert is_deleted(own, record_id)
        wait_for(lambda: is_deleted(other, record_id))

    def test_its_own_near_cache_learns_nothing_meanwhile(
        self, place: Place, wait_for: WaitFor, patch: pytest.MonkeyPatch
    ) -> None:
        """A thread that looks the token up while Zoho is asked does not keep it beyond the deletion."""
        record_id, own = place.log_in().get_id(), place.store(near_cache=True)
        revoke = Accounts.revoke

        def and_look_up(*args: Any) -> None:
            revoke(*args)
            wait_for(lambda: _is_near(own, record_id))

        patch.setattr(Accounts, "revoke", and_look_up)
        own.revoke(record_id)
        with pytest.raises(TokenDeleted):
            own.find_token_by_id(record_id)

    def test_a_kept_save_does_not_bring_it_back(self, broken: Broken, caplog: pytest.LogCaptureFixture) -> None:
        """A worker that could not reach Redis stores nothing when it can again."""
        token = broken.place.log_in()
        held = broken.store.find_token_by_id(token.get_id())
        broken.cut()
        with pytest.raises(StoreUnavailable):
            broken.store.save_token(refreshed(held, "at2"))
        assert broken.place.store().revoke(token.get_id()) is True
        broken.mend()
        with pytest.raises(TokenDeleted):
            broken.store.find_token_by_id(token.get_id())
        assert broken.store.stats()["saves_dropped"] == 1
        assert is_deleted(broken.place.store(), token.get_id())

    def test_its_own_kept_save_goes_first(self, broken: Broken) -> None:
        """A refresh token that only this process has is ended too."""
        token, newer = broken.place.log_in(), broken.place.zoho.issue_refresh_token()
        held = broken.store.find_token_by_id(token.get_id())
        broken.cut()
        with pytest.raises(StoreUnavailable):
            broken.store.save_token(refreshed(held, "at2", refresh=newer))
        broken.mend()
        assert broken.store.revoke(token.get_id()) is True
        assert not broken.place.knows(newer)
        assert is_deleted(broken.place.store(), token.get_id())


def _is_near(store: RedisTokenStore, record_id: str) -> bool:
    before = store.stats()["near_hits"]
    store.find_token_by_id(record_id)
    return store.stats()["near_hits"] > before


def test_the_error_goes_between_processes() -> None:
    """With what it carries, as Celery sends it."""
    error = RevocationIncomplete("abc", deleted=True, revoked=False, cause=Rejected("invalid_client"))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own
    assert (copy.deleted, copy.revoked, copy.record_id, str(copy)) == (True, False, "abc", str(error))
    assert isinstance(copy.cause, Rejected)


def test_nothing_secret_is_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """At any level, with any outcome."""
    caplog.set_level(logging.DEBUG)
    done, failed = place.log_in(), place.log_in("grace")
    store = place.store()
    store.revoke(done.get_id())
    place.zoho.faults.fail_next(times=None)
    with pytest.raises(RevocationIncomplete) as caught:
        store.revoke(failed.get_id())
    shown = caplog.text + "".join(traceback.format_exception(caught.value))
    for secret in (done.get_refresh_token(), failed.get_refresh_token(), place.zoho.client_secret, "ada", "grace"):
        assert secret not in shown
    assert f"the revocation of record {failed.get_id()} is incomplete" in caplog.text
