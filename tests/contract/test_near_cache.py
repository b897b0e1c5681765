"""A store with a near cache answers as one without, only sooner: what is known is served, what has changed is not."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from contract.tokens import (
    CLIENT,
    OTHER_CLIENT,
    by_access,
    by_user,
    contents,
    make_token,
    refreshed,
    seconds_left,
    user_of,
)
from contract.underneath import Underneath
from servers import WITH_ACL, Backend, Server, newest_binary
from zoho_token_store import (
    AmbiguousToken,
    NearCache,
    RedisTokenStore,
    StoreUnavailable,
    TokenDeleted,
    TokenNotFound,
)
from zoho_token_store.options import USABLE
from zoho_token_store.zoho_sdk import UserSignature

pytestmark = pytest.mark.redis

MakeStore = Callable[..., RedisTokenStore]
WaitFor = Callable[[Callable[[], Any]], Any]
THREAD = "zoho-token-store-events"

# fakeredis keeps frames alive that have run a script.
REAL: Any = pytest.mark.parametrize("backend", [(newest_binary().name + WITH_ACL, 2)], indirect=True)
# For what takes its time and does not depend on the server.
FEW: Any = pytest.mark.parametrize("backend", [("fakeredis", 2), (newest_binary().name + WITH_ACL, 3)], indirect=True)


@pytest.fixture
def store(make_store: MakeStore) -> RedisTokenStore:
    """Return a store with a near cache."""
    return make_store(near_cache=True)


@pytest.fixture
def saved(other: RedisTokenStore) -> Any:
    """Have another process save a token by which it can be found in every way."""
    token = make_token("ada", refresh="rt", grant="gt", access="at", domain="https://www.zohoapis.com")
    other.save_token(token)
    return token


LOOKS: dict[str, Callable[[RedisTokenStore, Any], Any]] = {
    "id": lambda store, token: store.find_token_by_id(token.get_id()),
    "id in a token": lambda store, token: store.find_token(make_token(id=token.get_id())),
    "user": lambda store, token: store.find_token(by_user("ada")),
    "user and client": lambda store, token: store.find_token(by_user("ada", CLIENT)),
    "grant": lambda store, token: store.find_token(make_token(grant="gt")),
    "refresh": lambda store, token: store.find_token(make_token(refresh="rt")),
    "user and refresh": lambda store, token: store.find_token(make_token("ada", refresh="rt")),
    "access": lambda store, token: store.find_token(by_access("at")),
}


def hits(store: RedisTokenStore) -> int:
    return store.stats()["near_hits"]


def warm(store: RedisTokenStore, look: Callable[[], Any]) -> Any:
    """Look something up until the near cache answers; return what it says."""
    deadline = time.monotonic() + 10
    while True:
        before = hits(store)
        token = look()
        if hits(store) > before:
            return token
        assert time.monotonic() < deadline, "the near cache never answers"
        time.sleep(0.002)


def warm_id(store: RedisTokenStore, id: str) -> Any:
    return warm(store, lambda: store.find_token_by_id(id))


def access_of(store: RedisTokenStore, id: str) -> str | None:
    found: str | None = store.find_token_by_id(id).get_access_token()
    return found


def use_up(store: RedisTokenStore, id: str, left: list[float]) -> None:
    """Look a token up as long as its access token is handed out.

    Args:
        store: Where.
        id: That of the record.
        left: Takes down how long the access token lived when each of the look-ups began, seconds.
    """
    while True:
        began = time.time()
        found = store.find_token_by_id(id)
        if found.get_access_token() is None:
            return
        left.append(int(found.get_expires_in()) / 1000 - began)
        time.sleep(0.002)


def kill(own: Server, store: RedisTokenStore) -> None:
    """Kill a server. From then on a store has little time for a request; until then it has the usual time."""
    store._link._budget = 0.1
    own.kill()


class TestHits:
    """What was looked up once needs no Redis."""

    def test_every_way_to_a_token(self, store: RedisTokenStore, other: RedisTokenStore, saved: Any) -> None:
        """By id and by each selector: the same token as without the cache, and not one more request."""
        for look in LOOKS.values():
            warm(store, lambda: look(store, saved))  # noqa: B023
        finds, known = store.stats()["finds"], hits(store)
        for name, look in LOOKS.items():
            mine, plain = look(store, saved), look(other, saved)
            assert contents(mine) == contents(plain), name
            assert mine.get_expires_in() == plain.get_expires_in(), name
            assert vars(mine).keys() == vars(plain).keys(), name
        assert (store.stats()["finds"], hits(store)) == (finds, known + len(LOOKS))

    def test_the_callers_token_is_filled_in(self, store: RedisTokenStore, saved: Any) -> None:
        """Also by a hit it gets the id and what it lacks; its own ``find_user`` goes into the new one."""
        warm(store, lambda: store.find_token(by_user("ada", CLIENT)))
        for find_user in (True, False):
            asked = by_user("ada", CLIENT)
            asked._OAuthToken__find_user = find_user
            before = hits(store)
            found = store.find_token(asked)
            assert hits(store) == before + 1
            assert contents(asked) == contents(found) == contents(saved)
            assert found._OAuthToken__find_user is find_user

    def test_what_is_not_there_is_asked_for(self, store: RedisTokenStore, other: RedisTokenStore, saved: Any) -> None:
        """An id or a name without a record is never remembered: once it is there it is found."""
        warm_id(store, saved.get_id())
        for _ in range(2):
            with pytest.raises(TokenNotFound):
                store.find_token_by_id("chosen")
            assert store.find_token(by_user("bob")) is None
        other.save_token(make_token("bob", refresh="rt2", access="at2", id="chosen"))
        assert access_of(store, "chosen") == "at2"
        assert store.find_token(by_user("bob")).get_id() == "chosen"

    def test_an_unknown_id_becomes_no_alias(self, store: RedisTokenStore, other: RedisTokenStore, saved: Any) -> None:
        """An id that leads nowhere stays unknown after a look by that id and a name, which leads somewhere."""
        other.save_token(make_token("bob", refresh="rt2", access="at2"))
        warm_id(store, saved.get_id())
        for user in ("ada", "bob", "ada", "bob"):
            assert user_of(store.find_token(make_token(user, id="unknown"))) == user
        with pytest.raises(TokenNotFound):
            store.find_token_by_id("unknown")

    def test_another_client(self, store: RedisTokenStore, other: RedisTokenStore, saved: Any) -> None:
        """What was cached for one client is not shown to another, under id, name or refresh token."""
        for look in LOOKS.values():
            warm(store, lambda: look(store, saved))  # noqa: B023
        for asked in ({"id": saved.get_id()}, {"user": "ada"}, {"user": "ada", "id": saved.get_id()}):
            for asker in (other, store, store):
                assert asker.find_token(make_token(client_id=OTHER_CLIENT, **asked)) is None, asked

    def test_a_miss_is_no_lease(self, store: RedisTokenStore, saved: Any) -> None:
        """A token that is handed out with a lease, to be refreshed, is not remembered."""
        warm_id(store, saved.get_id())
        store.invalidate_access_token(saved.get_id())
        elected = store.find_token_by_id(saved.get_id())
        assert elected.get_access_token() is None
        store.save_token(refreshed(elected, "at2"))
        assert access_of(store, saved.get_id()) == "at2"
        assert store.stats()["late_saves"] == 0


class TestIndependence:
    """Tokens that come from one entry."""

    @pytest.mark.parametrize("name", ["id", "user and client"])
    def test_changing_one_changes_no_other(self, fake_near: RedisTokenStore, name: str) -> None:
        """Whatever the SDK or the application does to a token that it was given stays with that object."""
        saved = make_token("ada", refresh="rt", access="at")
        fake_near.save_token(saved)
        look = LOOKS[name]
        one = warm(fake_near, lambda: look(fake_near, saved))
        before = contents(one)
        for field in ("access_token", "refresh_token", "client_id", "client_secret", "id", "api_domain"):
            getattr(one, f"set_{field}")("changed")
        one.set_expires_in("1")
        one.set_user_signature(UserSignature("eve"))
        one._carried = None
        two = look(fake_near, saved)
        assert two is not one
        assert contents(two) == before
        assert seconds_left(two) > 3000
        assert two._carried is not None

    def test_copies(self, fake_near: RedisTokenStore) -> None:
        """A token from the cache can be pickled and copied; copies bring back no lease and no record."""
        saved = make_token("ada", refresh="rt", access="at")
        fake_near.save_token(saved)
        found = warm_id(fake_near, saved.get_id())
        for copied in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found), copy.copy(found)):  # noqa: S301
            assert contents(copied) == contents(found)

    def test_saving_one(self, store: RedisTokenStore, other: RedisTokenStore, saved: Any) -> None:
        """A token from the cache is saved three-way: what another has changed since is not taken back."""
        found = warm_id(store, saved.get_id())
        other.save_token(refreshed(other.find_token_by_id(saved.get_id()), "at2", refresh="rt2"))
        found.set_redirect_url("https://example.com/changed")
        store.save_token(found)
        kept = other.get(saved.get_id())
        assert (kept.get_refresh_token(), kept.get_redirect_url()) == ("rt2", "https://example.com/changed")


@pytest.fixture
def fake_near(fake: Backend, namespace: str) -> Any:
    """Return a store with a near cache on fakeredis."""
    with RedisTokenStore(fake.client(), namespace, near_cache=True) as made:
        yield made


class TestOthers:
    """What other processes do is seen as soon as its event arrives."""

    def test_a_new_token(self, store: RedisTokenStore, other: RedisTokenStore, saved: Any, wait_for: WaitFor) -> None:
        """By whichever way it was looked up; the old access token leads nowhere any more."""
        for name, look in LOOKS.items():
            warm(store, lambda: look(store, saved))  # noqa: B023
            assert name
        other.save_token(refreshed(saved, "at2"))
        for name, look in LOOKS.items():
            if name == "access":
                wait_for(lambda: store.find_token(by_access("at")) is None)
            else:
                wait_for(lambda: look(store, saved).get_access_token() == "at2")  # noqa: B023

    def test_a_deletion(self, store: RedisTokenStore, other: RedisTokenStore, saved: Any, wait_for: WaitFor) -> None:
        """Under the id and the grant code that is told, by the name nothing is found."""
        for look in LOOKS.values():
            warm(store, lambda: look(store, saved))  # noqa: B023
        other.delete_token(saved.get_id())
        wait_for(lambda: _is_deleted(store, saved.get_id()))
        assert store.find_token(by_user("ada")) is None
        with pytest.raises(TokenDeleted):
            store.find_token(make_token(grant="gt"))

    def test_an_invalidation(
        self, store: RedisTokenStore, other: RedisTokenStore, saved: Any, wait_for: WaitFor
    ) -> None:
        """The next look elects."""
        warm_id(store, saved.get_id())
        other.invalidate_access_token(saved.get_id())
        wait_for(lambda: access_of(store, saved.get_id()) is None)
        assert store.stats()["leases"] == 1

    def test_a_namesake(self, store: RedisTokenStore, other: RedisTokenStore, saved: Any, wait_for: WaitFor) -> None:
        """A name that a new record of another client has, too, is ambiguous from then on; within a client it is not."""
        warm(store, lambda: store.find_token(by_user("ada")))
        other.save_token(make_token("ada", client_id=OTHER_CLIENT, refresh="rt2", access="at2"))
        wait_for(lambda: _is_ambiguous(store))
        assert store.find_token(by_user("ada", CLIENT)).get_access_token() == "at"

    def test_a_namesake_that_was_there(
        self, store: RedisTokenStore, other: RedisTokenStore, saved: Any, wait_for: WaitFor
    ) -> None:
        """The same when a record that was there without a name is given this one, as the SDK learns it later."""
        late = make_token(client_id=OTHER_CLIENT, refresh="rt2", access="at2")
        other.save_token(late)
        warm(store, lambda: store.find_token(by_user("ada")))
        late.set_user_signature(UserSignature("ada"))
        other.save_token(late)
        wait_for(lambda: _is_ambiguous(store))

    def test_another_name(self, store: RedisTokenStore, other: RedisTokenStore, saved: Any, wait_for: WaitFor) -> None:
        """A record that is given another user name is not found under the old one."""
        warm(store, lambda: store.find_token(by_user("ada")))
        saved.set_user_signature(UserSignature("ada2"))
        other.save_token(saved)
        wait_for(lambda: store.find_token(by_user("ada")) is None)
        assert store.find_token(by_user("ada2")).get_id() == saved.get_id()

    def test_a_merge(self, store: RedisTokenStore, other: RedisTokenStore, saved: Any, wait_for: WaitFor) -> None:
        """An id that was merged into another leads to what became of both, and is cached as such, to its next event."""
        time.sleep(0.003)  # a later millisecond: the older record stays
        second = make_token(refresh="rt2", access="at2")
        other.save_token(second)
        merged = str(second.get_id())
        assert merged != saved.get_id()
        assert access_of(store, merged) == "at2"
        warm_id(store, merged)
        second.set_user_signature(UserSignature("ada"))
        other.save_token(refreshed(second, "at3"))
        assert second.get_id() == saved.get_id()
        wait_for(lambda: store.find_token_by_id(merged).get_id() == saved.get_id())
        assert warm_id(store, merged).get_access_token() == "at3"
        other.save_token(refreshed(other.find_token_by_id(saved.get_id()), "at4"))
        wait_for(lambda: access_of(store, merged) == "at4")
        other.delete_token(saved.get_id())
        wait_for(lambda: _is_deleted(store, merged))


def _is_deleted(store: RedisTokenStore, id: str) -> bool:
    try:
        store.find_token_by_id(id)
    except TokenDeleted:
        return True
    return False


def _is_ambiguous(store: RedisTokenStore) -> bool:
    try:
        store.find_token(by_user("ada"))
    except AmbiguousToken:
        return True
    return False


class TestOwn:
    """What this process does itself is seen at once, without waiting for the event."""

    def test_saves(self, store: RedisTokenStore, saved: Any) -> None:
        """Save after save is read back, by id and by name."""
        warm_id(store, saved.get_id())
        token = warm(store, lambda: store.find_token(by_user("ada")))
        for number in range(30):
            store.save_token(refreshed(token, f"at {number}"))
            assert access_of(store, saved.get_id()) == f"at {number}"
            assert store.find_token(by_user("ada")).get_access_token() == f"at {number}"

    def test_saves_of_a_stranger(self, store: RedisTokenStore, saved: Any) -> None:
        """Also a save by a token that was never handed out, which finds its record by the refresh token."""
        for number in range(10):
            warm_id(store, saved.get_id())
            store.save_token(make_token(refresh="rt", access=f"at {number}"))
            assert access_of(store, saved.get_id()) == f"at {number}"

    def test_invalidation_and_deletion(self, store: RedisTokenStore) -> None:
        """Nothing of what was invalidated or deleted is handed out again."""
        for number in range(10):
            token = make_token(refresh=f"rt {number}", access="at")
            store.save_token(token)
            warm_id(store, token.get_id())
            store.invalidate_access_token(token.get_id())
            elected = store.find_token_by_id(token.get_id())
            assert elected.get_access_token() is None
            store.save_token(refreshed(elected, "at2"))
            warm_id(store, token.get_id())
            store.delete_token(token.get_id())
            with pytest.raises(TokenDeleted):
                store.find_token_by_id(token.get_id())

    def test_an_invalidation_that_comes_too_late(self, store: RedisTokenStore, saved: Any) -> None:
        """A second report of a token that was replaced ends nothing."""
        warm_id(store, saved.get_id())
        store.save_token(refreshed(saved, "at2"))
        store.invalidate_access_token(saved.get_id(), "at")
        assert access_of(store, saved.get_id()) == "at2"

    @FEW
    def test_while_threads_look(self, store: RedisTokenStore, saved: Any) -> None:
        """A thread that looks all the time never sees an older token than the one that its process has stored."""
        id, stored, stop = saved.get_id(), [0], threading.Event()
        wrong: list[tuple[str | None, int]] = []
        store.save_token(refreshed(saved, "0"))

        def look() -> None:
            while not stop.is_set():
                least = stored[0]
                found = access_of(store, id)
                if found is None or int(found) < least:
                    wrong.append((found, least))

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, 60):
                store.save_token(refreshed(saved, str(number)))
                stored[0] = number
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not wrong


class TestExpiry:
    """Nothing is handed out that the SDK would refresh."""

    @FEW
    def test_never_too_late(self, store: RedisTokenStore, other: RedisTokenStore, wait_for: WaitFor) -> None:
        """A token of 8 s is served for its first two seconds, then a worker is elected."""
        token = make_token("ada", refresh="rt", access="at", left=USABLE + 2)
        other.save_token(token)
        warm_id(store, token.get_id())
        left: list[float] = []
        use_up(store, token.get_id(), left)
        assert min(left) > USABLE - 0.1
        assert hits(store) > len(left) / 2
        assert store.stats()["leases"] == 1

    @FEW
    def test_due(self, store: RedisTokenStore, other: RedisTokenStore, underneath: Underneath) -> None:
        """A token that is due, and that another refreshes, is handed out, and Redis is asked once a second."""
        token = make_token("ada", refresh="rt", access="at", left=100)
        other.save_token(token)
        underneath.leave(token.get_id(), 20)
        assert other.find_token_by_id(token.get_id()).get_access_token() is None  # the lease is the other's
        warm_id(store, token.get_id())

        def next_question() -> tuple[float, float]:
            finds = store.stats()["finds"]
            while True:
                began = time.monotonic()
                assert access_of(store, token.get_id()) == "at"
                if store.stats()["finds"] > finds:
                    return began, time.monotonic()
                time.sleep(0.01)

        first, second = next_question(), next_question()
        assert second[1] - first[0] > 0.95
        assert second[0] - first[1] < 5

    def test_due_when_its_time_comes(
        self, store: RedisTokenStore, other: RedisTokenStore, underneath: Underneath
    ) -> None:
        """A token that comes into the margin while it is cached is not served any more: this worker is elected."""
        token = make_token("ada", refresh="rt", access="at", left=100)
        other.save_token(token)
        underneath.leave(token.get_id(), 31.5)  # the margin is 30 s
        warm_id(store, token.get_id())
        left: list[float] = []
        use_up(store, token.get_id(), left)
        assert min(left) > 30 - 0.1
        assert store.stats()["leases"] == 1

    def test_unknown(self, store: RedisTokenStore, other: RedisTokenStore, wait_for: WaitFor) -> None:
        """A token of which nobody said when it ends is served without an expiry."""
        token = make_token("ada", refresh="rt", access="at", left=None)
        other.save_token(token)
        assert (
            warm_id(store, token.get_id()).get_expires_in() == other.find_token_by_id(token.get_id()).get_expires_in()
        )

    @FEW
    def test_unknown_ends(self, make_store: MakeStore, other: RedisTokenStore) -> None:
        """It is not served for longer than Redis keeps it."""
        store = make_store(near_cache=True, default_access_ttl=2)
        token = make_token("ada", refresh="rt", access="at", left=None)
        store.save_token(token)
        warm_id(store, token.get_id())
        time.sleep(2.05)
        assert other.get(token.get_id()).get_access_token() is None
        assert access_of(store, token.get_id()) is None


class TestOptions:
    """A cache as it was asked for."""

    def test_bounded(self, make_store: MakeStore, other: RedisTokenStore) -> None:
        """With room for two, the third takes the place of the first."""
        store = make_store(near_cache=NearCache(entries=2))
        tokens = [make_token(refresh=f"rt {number}", access=f"at {number}") for number in range(3)]
        for token in tokens:
            other.save_token(token)
        for token in tokens:
            warm_id(store, token.get_id())
        finds = store.stats()["finds"]
        for token, asked in zip(reversed(tokens), (0, 0, 1), strict=True):
            finds += asked
            assert access_of(store, token.get_id()) == token.get_access_token()
            assert store.stats()["finds"] == finds

    def test_max_age(self, make_store: MakeStore, saved: Any) -> None:
        """An answer that is too old is asked for again, though nothing has happened."""
        store = make_store(near_cache=NearCache(max_age=0.1))
        warm_id(store, saved.get_id())
        finds = store.stats()["finds"]
        time.sleep(0.1)
        assert access_of(store, saved.get_id()) == "at"
        assert store.stats()["finds"] == finds + 1

    def test_without(self, other: RedisTokenStore, saved: Any) -> None:
        """Without a near cache nothing is cached, and there is no thread."""
        threads = _threads()
        for _ in range(3):
            assert access_of(other, saved.get_id()) == "at"
        assert (other.stats()["finds"], hits(other)) == (3, 0)
        assert _threads() <= threads

    def test_nothing_is_started_for_nothing(self, make_store: MakeStore) -> None:
        """The thread is started by the first look-up, and one is enough for a store."""
        before = _threads()
        store = make_store(near_cache=True)
        token = make_token(refresh="rt", access="at")
        store.save_token(token)
        assert _threads() <= before
        warm_id(store, token.get_id())
        assert len(_threads() - before) == 1


class TestManaged:
    """With ``refresh="managed"``; more of it in the tests with processes."""

    def test_hits(self, make_store: MakeStore, other: RedisTokenStore, saved: Any, wait_for: WaitFor) -> None:
        """A token with enough life is served from memory; what another stores is seen."""
        store = make_store(near_cache=True, refresh="managed")
        warm_id(store, saved.get_id())
        finds = store.stats()["finds"]
        for _ in range(10):
            assert access_of(store, saved.get_id()) == "at"
        assert store.stats()["finds"] == finds
        other.save_token(refreshed(saved, "at2"))
        wait_for(lambda: access_of(store, saved.get_id()) == "at2")


class TestOutage:
    """Redis goes away under a store that knows a token."""

    @pytest.fixture
    def own(self, start_server: Callable[..., Server]) -> Server:
        """Start a server that the test may kill."""
        return start_server()

    def test_served_until_it_ends(self, own: Server, namespace: str) -> None:
        """What is known is handed out down to the last second in which the SDK takes it; then Redis is missed."""
        with RedisTokenStore.from_url(own.url, namespace, near_cache=True) as store:
            token = make_token("ada", refresh="rt", access="at", left=USABLE + 2)
            store.save_token(token)
            warm_id(store, token.get_id())
            kill(own, store)
            left: list[float] = []
            with pytest.raises(StoreUnavailable):
                use_up(store, token.get_id(), left)
            assert seconds_left(token) < USABLE
            assert min(left) > USABLE - 0.1
            assert store.stats()["near_outage_hits"] > len(left) / 2

    def test_nothing_else_is(self, own: Server, namespace: str) -> None:
        """Neither what was never looked up, nor to another client, nor what this process has deleted or invalidated."""
        with RedisTokenStore.from_url(own.url, namespace, near_cache=True) as store:
            tokens = [make_token(f"user {number}", refresh=f"rt {number}", access="at") for number in range(4)]
            for token in tokens:
                store.save_token(token)
            ids = [token.get_id() for token in tokens]
            for id in ids[1:]:
                warm_id(store, id)
            kill(own, store)
            for call in (
                lambda: store.find_token_by_id(ids[0]),
                lambda: store.find_token(by_user("user 1")),
                lambda: store.find_token(make_token(id=ids[1], client_id=OTHER_CLIENT)),
                lambda: store.delete_token(ids[2]),
                lambda: store.find_token_by_id(ids[2]),
                lambda: store.invalidate_access_token(ids[3]),
                lambda: store.find_token_by_id(ids[3]),
            ):
                with pytest.raises(StoreUnavailable):
                    call()
            assert access_of(store, ids[1]) == "at"

    @pytest.mark.parametrize("gone", ["killed", "silent"])
    def test_who_has_to_ask_waits_once(self, own: Server, namespace: str, wait_for: WaitFor, gone: str) -> None:
        """The first look-up of what is not known finds Redis away; the next are told at once, until it is back."""
        with RedisTokenStore.from_url(own.url, namespace, near_cache=True, operation_timeout=1.5) as store:
            token = make_token("ada", refresh="rt", access="at")
            store.save_token(token)
            warm_id(store, token.get_id())
            with own.paused() if gone == "silent" else nullcontext():
                if gone == "killed":
                    own.kill()
                took = []

                def look() -> float:
                    began = time.monotonic()
                    with pytest.raises(StoreUnavailable):
                        store.find_token(by_user(f"user {len(took)}"))
                    took.append(time.monotonic() - began)
                    return took[-1]

                wait_for(lambda: look() < 0.5)
                assert took[0] > 0.5
                took.clear()
                for _ in range(200):
                    look()
                    assert access_of(store, token.get_id()) == "at"
                assert sorted(took)[100] < 0.05, "on a busy machine one is interrupted now and then"
            if gone == "killed":
                own.start()
            wait_for(lambda: finds_nobody(store))

    def test_a_kept_save_is_not_outlived(self, own: Server, namespace: str) -> None:
        """After a save that Redis could not take, the token from before it is not handed out again."""
        with RedisTokenStore.from_url(own.url, namespace, near_cache=True) as store:
            token = make_token("ada", refresh="rt", access="at")
            store.save_token(token)
            warm_id(store, token.get_id())
            kill(own, store)
            with pytest.raises(StoreUnavailable):
                store.save_token(refreshed(token, "at2"))
            try:
                assert access_of(store, token.get_id()) == "at2"
            except StoreUnavailable:
                pass
            own.start()

    def test_outage_ttl(self, own: Server, namespace: str) -> None:
        """After it a token is not served though it is good: it may have been deleted meanwhile."""
        near = NearCache(outage_ttl=0.5)
        with RedisTokenStore.from_url(own.url, namespace, near_cache=near) as store:
            token = make_token("ada", refresh="rt", access="at")
            store.save_token(token)
            warm_id(store, token.get_id())
            kill(own, store)
            time.sleep(0.5)  # it counts from when Redis was last heard of, which was before
            with pytest.raises(StoreUnavailable):
                store.find_token_by_id(token.get_id())


def finds_nobody(store: RedisTokenStore) -> bool:
    """Return whether Redis answers a look-up of what is not there."""
    try:
        return store.find_token(by_user("nobody")) is None
    except StoreUnavailable:
        return False


class TestEnd:
    """Closing, or no longer having, a store."""

    def test_close(self, make_store: MakeStore, saved: Any, wait_for: WaitFor) -> None:
        """Its thread ends, it serves nothing, and it can be collected."""
        before = _threads()
        store = make_store(near_cache=True)
        warm_id(store, saved.get_id())
        store.close()
        wait_for(lambda: _threads() <= before)
        with pytest.raises(Exception, match="closed"):
            store.find_token_by_id(saved.get_id())

    @pytest.mark.parametrize("closed", [True, False])
    @REAL
    def test_collected(self, backend: Backend, namespace: str, saved: Any, wait_for: WaitFor, closed: bool) -> None:
        """A store that nobody has any more goes, closed or not, and so does its thread."""
        before = _threads()
        store = RedisTokenStore(backend.client(), namespace, near_cache=True)
        warm_id(store, saved.get_id())
        assert _threads() > before
        reference = weakref.ref(store)
        if closed:
            store.close()
        del store
        gc.collect()
        assert reference() is None
        wait_for(lambda: _threads() <= before)

    def test_opened_again(self, make_store: MakeStore, saved: Any) -> None:
        """Another store in the same process has a cache of its own."""
        for _ in range(2):
            store = make_store(near_cache=True)
            assert hits(store) == 0
            warm_id(store, saved.get_id())
            store.close()


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == THREAD}
