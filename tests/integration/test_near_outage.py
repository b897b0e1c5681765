"""Redis dies, falls silent, comes back empty or with an old dump: who has a good token goes on, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from integration.calls import CLIENT
from integration.desk import describe, make_token
from integration.fleet import Worker, do_all, wait_until
from integration.history import caught_up, check_history, log_out
from integration.observer import View
from integration.site import Site, environment_of
from proxy import FaultyProxy
from servers import Server
from zoho_token_store import RedisTokenStore, StoreUnavailable, TokenNotFound
from zoho_token_store.testing import FakeZoho

Start = Callable[[int], list[Worker]]
StartServer = Callable[..., Server]
Open = Callable[..., RedisTokenStore]


@pytest.fixture
def own(start_server: StartServer) -> Server:
    """Start a server that the test may kill."""
    return start_server()


@pytest.fixture
def open_store(own: Server, namespace: str) -> Iterator[Open]:
    """Open stores with near caches; each stands for a process of its own."""
    with ExitStack() as stack:

        def open_one(url: str = own.url, near_cache: Any = True, **options: Any) -> RedisTokenStore:
            settings = {"operation_timeout": 1.0, "near_cache": near_cache} | options
            return stack.enter_context(RedisTokenStore.from_url(url, namespace, **settings))

        yield open_one


def saved(store: RedisTokenStore, token: Any, access: str, refresh: str | None = None) -> Any:
    """Save a token with an access token of an hour, and perhaps another refresh token; return it."""
    token.set_access_token(access)
    token.set_expires_in(str(int((time.time() + 3600) * 1000)))
    if refresh:
        token.set_refresh_token(refresh)
    store.save_token(token)
    return token


def log_in(store: RedisTokenStore, name: str) -> Any:
    """Store a token of a new user."""
    token = make_token(user=name, refresh_token=f"refresh of {name}", **CLIENT)
    return saved(store, token, f"access of {name}")


def warm(store: RedisTokenStore, *tokens: Any) -> None:
    """Look tokens up until the near cache answers."""
    store.find_token_by_id(tokens[0].get_id())  # which starts its reader
    wait_until(lambda: caught_up(store), "it has heard of what was just saved, which would drop it")
    for token in tokens:
        hits = store.stats()["near_hits"]

        def known(record_id: str = token.get_id(), hits: int = hits) -> bool:
            store.find_token_by_id(record_id)
            return store.stats()["near_hits"] > hits

        wait_until(known, "the near cache answers")


def held_up(views: Sequence[View], since: float, until: float) -> list[float]:
    """Return how long slow looks took that began in a time, seconds."""
    return [seconds for view in views for began, seconds in view.slow if since <= began < until]


def outage(site: Site, workers: Sequence[Worker], seconds: float, refresh: str) -> None:
    """Kill Redis under a fleet that looks tokens up all the time, for some seconds; then it is empty.

    Nobody sees an error or waits, and what the fleet held is in Redis again, secrets included; what was deleted is not.
    A deletion after that is seen by all, as one before it would be.
    """
    *ids, logged_out = [site.log_in(f"user {number}", life=3600) for number in range(5)]
    site.open(workers, near_cache=True, operation_timeout=2.0, refresh=refresh)
    do_all(workers, "warm", *ids, logged_out)
    with site.store() as store:
        store.delete_token(logged_out)
        before = {record_id: describe(store.get(record_id)) for record_id in ids}
    do_all(workers, "observe", *ids)
    time.sleep(0.3)
    site.server.kill()
    wait_until(
        lambda: all(stats["near_outage_hits"] for stats in do_all(workers, "ask", "stats")), "all have found that out"
    )
    known = time.monotonic()
    finds = [stats["finds"] for stats in do_all(workers, "ask", "stats")]
    time.sleep(seconds)
    assert [stats["finds"] for stats in do_all(workers, "ask", "stats")] == finds, "nobody asks a Redis that is away"
    back = time.monotonic()
    site.server.start()
    with site.store() as store:
        wait_until(lambda: len(store.get_tokens()) == len(ids), "all is given back")
        wait_until(
            lambda: sum(stats["near_emptied"] for stats in do_all(workers, "ask", "stats")) == len(workers), "seen"
        )
        do_all(workers, "warm", *ids)
        assert {record_id: describe(store.get(record_id)) for record_id in ids} == before
        deleted = log_out(workers[0], ids[0], workers)
        views: list[View] = do_all(workers, "observed")
        with pytest.raises(TokenNotFound):
            store.find_token_by_id(logged_out)
    assert sum(stats["restored"] for stats in do_all(workers, "ask", "stats")) == len(ids), "each once"
    for record_id in ids:  # never an error, never another token
        issued = [before[record_id]["access_token"]]
        check_history(site, views, record_id, issued, deleted if record_id == ids[0] else None)
    # On a busy machine a look is interrupted now and then, and not since it waits for anything.
    slow, looks = held_up(views, known, back), sum(view.looks for view in views)
    print(
        f"\n{looks} looks; slower than 5 ms while Redis was away: {len(slow)}, the slowest {max(slow, default=0):.3f} s"
    )
    assert len(slow) <= looks / 20
    # A machine that stands still holds each of them up once; Redis would at every look.
    assert len([seconds for seconds in slow if seconds > 0.25]) <= len(workers)


@pytest.mark.parametrize("refresh", ["sdk", "managed"])
def test_killed_under_load(own: Server, namespace: str, zoho: FakeZoho, start_workers: Start, refresh: str) -> None:
    """Redis is killed, away for three seconds and empty when it is back, under eight processes."""
    outage(Site(own, namespace, zoho), start_workers(8), 3.0, refresh)


@pytest.mark.soak
def test_away_for_a_minute(own: Server, namespace: str, zoho: FakeZoho, start_workers: Start) -> None:
    """The same for 60 s and 16 processes."""
    outage(Site(own, namespace, zoho), start_workers(16), 60.0, "managed")


@pytest.mark.parametrize("seconds", [3.0, pytest.param(60.0, marks=pytest.mark.soak)])
def test_silent(own: Server, namespace: str, zoho: FakeZoho, start_workers: Start, seconds: float) -> None:
    """Redis is connected to and says nothing: no error; who has to ask is held up once, and then nobody is."""
    site = Site(own, namespace, zoho)
    margin = seconds + 60
    fresh, due = site.log_in("fresh", life=3600), site.log_in("due", life=4 * margin)
    holder, *workers = start_workers(7)
    terms = {"freshness_margin": margin, "lease_ttl": margin, "wait_timeout": 2 * margin}
    site.open([holder, *workers], near_cache=True, operation_timeout=0.5, **terms)
    site.age(due, 3 * margin + 20)  # in its margin, and can be used to the end
    holder.do("find_by_id", due)
    do_all(workers, "warm", fresh, due)
    do_all(workers, "observe", due, fresh)
    time.sleep(0.2)
    silent = time.monotonic()
    with own.paused():
        time.sleep(seconds)
    back = time.monotonic()
    for worker, stats in zip(workers, do_all(workers, "ask", "stats"), strict=True):
        finds = stats["finds"]
        wait_until(lambda: worker.do("ask", "stats")["finds"] > finds, "it asks again")  # noqa: B023
    views: list[View] = do_all(workers, "observed")
    for view in views:
        assert [len(view.outcomes(record_id)) for record_id in (fresh, due)] == [1, 1]
        waited = [seconds for seconds in held_up([view], silent - 1, back) if seconds > 0.25]
        assert len(waited) <= 2, "only the one who finds Redis silent, and perhaps by the machine; not each look"
    slow, looks = held_up(views, silent + 1.6, back), sum(view.looks for view in views)
    assert len(slow) <= looks / 20
    for stats in do_all(workers, "ask", "stats"):
        assert (stats["near_emptied"], stats["restored"], stats["takeovers"]) == (0, 0, 0)


def test_who_was_cut_off_gives_nothing_back(own: Server, open_store: Open) -> None:
    """A worker that lost the way to Redis before it died may have missed a logout; one that was there has not."""
    with FaultyProxy(own.socket_path) as proxy:
        there, cut_off = open_store(), open_store(proxy.url)
        ada, bob, both = (log_in(there, name) for name in ("ada", "bob", "both"))
        warm(there, ada, both)
        warm(cut_off, bob, both)
        proxy.refuse = True
        proxy.cut()
        there.delete_token(both.get_id())
        time.sleep(3.2)  # a server that was started at once would count as the one that was lost
        own.restart()
        proxy.refuse = False
        for store in (there, cut_off):
            wait_until(lambda: store.stats()["near_emptied"] == 1, "the loss is seen")  # noqa: B023
        assert (there.stats()["restored"], cut_off.stats()["restored"]) == (1, 0)
        for store in (there, cut_off):
            assert store.find_token_by_id(ada.get_id()).get_refresh_token() == "refresh of ada"
            for token in (bob, both):
                with pytest.raises(TokenNotFound):
                    store.find_token_by_id(token.get_id())


def test_an_old_dump(own: Server, open_store: Open) -> None:
    """What is newer than the dump is given back, and takes the place of nothing that is newer still."""
    plain, one, two = open_store(near_cache=False), open_store(), open_store()
    unchanged, refreshed, kept, both = (log_in(plain, name) for name in ("unchanged", "refreshed", "kept", "both"))
    with own.client() as client:
        client.save()
    later = log_in(plain, "later")
    saved(plain, refreshed, "access 2", refresh="refresh 2")
    saved(plain, both, "access 2", refresh="refresh 2 of both")
    deleted = log_in(plain, "deleted")
    warm(one, unchanged, refreshed, later, both, deleted)
    mine = {name: two.find_token_by_id(token.get_id()) for name, token in (("kept", kept), ("both", both))}
    warm(two, kept, both)
    plain.delete_token(deleted.get_id())
    own.kill()
    for name, token in mine.items():
        with pytest.raises(StoreUnavailable):
            saved(two, token, f"kept access of {name}")
    own.start()
    for store in (one, two):
        wait_until(lambda: store.stats()["near_emptied"] == 1, "the loss is seen")  # noqa: B023
    wait_until(lambda: access_of(plain, kept) == "kept access of kept", "what was kept is stored")
    wait_until(lambda: access_of(plain, both) == "kept access of both", "what was kept is stored")
    for token, access, refresh in (
        (unchanged, "access of unchanged", "refresh of unchanged"),
        (refreshed, "access 2", "refresh 2"),
        (later, "access of later", "refresh of later"),
        (kept, "kept access of kept", "refresh of kept"),
        (
            both,
            "kept access of both",
            "refresh 2 of both",
        ),  # the refresh token of the one, the access token of the other
    ):
        assert (access_of(plain, token), refresh_of(plain, token)) == (access, refresh)
    assert plain.get(deleted.get_id()) is None
    for store in (one, two):
        for token in (unchanged, refreshed, later, kept, both):
            assert describe(store.find_token_by_id(token.get_id())) == describe(plain.get(token.get_id()))


@pytest.mark.parametrize("rotates", [False, True], ids=["access token", "refresh token too"])
def test_a_refresh_that_cannot_be_stored(
    own: Server, open_store: Open, namespace: str, zoho: FakeZoho, rotates: bool
) -> None:
    """Redis dies under a refresh ahead of time: callers go on, and when it is back, empty, it has what Zoho gave.

    Meanwhile they have the new access token, unless a refresh token came with it that is stored nowhere yet.
    """
    site = Site(own, namespace, zoho)
    record_id = site.log_in(life=3600)
    store = open_store(refresh="managed", environment=environment_of(zoho))
    store.find_token_by_id(record_id)
    zoho.faults.set(hang=True, rotate_refresh_tokens=rotates)
    old = site.access_token(record_id)
    site.age(record_id, 3600 - 60)
    site.tell(record_id)

    def found() -> str:
        return str(store.find_token_by_id(record_id).get_access_token())

    wait_until(lambda: found() == old and zoho.max_in_flight() == 1, "the refresh is under way")
    hits = store.stats()["near_hits"]
    wait_until(lambda: found() == old and store.stats()["near_hits"] > hits, "the token is in the near cache")
    own.kill()
    wait_until(lambda: found() == old and store.stats()["near_outage_hits"], "Redis is known to be away")
    zoho.faults.set(hang=False)
    wait_until(lambda: found() and store.stats()["saves_kept"] == 1, "the refresh has come to nothing")
    assert (found() == old) == rotates
    own.start()
    with site.store() as other:
        wait_until(lambda: (token := other.get(record_id)) and token.get_access_token() not in (None, old), "stored")
    wait_until(lambda: found() == site.access_token(record_id), "what is handed out is what is stored")
    zoho.issue_access_token(site.refresh_token(record_id))  # refuses any but the newest
    assert (zoho.counters.refreshes, zoho.counters.rejected, store.stats()["saves_dropped"]) == (1, 0, 0)


def access_of(store: RedisTokenStore, token: Any) -> str:
    return str(store.get(token.get_id()).get_access_token())


def refresh_of(store: RedisTokenStore, token: Any) -> str:
    return str(store.get(token.get_id()).get_refresh_token())


def test_a_login_after_the_loss(own: Server, open_store: Open) -> None:
    """Who logs in anew while Redis is empty gets the old record neither besides nor in place of the new one."""
    with FaultyProxy(own.socket_path) as proxy:
        slow, plain = open_store(proxy.url), open_store(near_cache=False)
        ada, bob = log_in(plain, "ada"), log_in(plain, "bob")
        warm(slow, ada, bob)
        own.kill()
        proxy.refuse = True
        own.start()
        anew = make_token(user="ada", refresh_token="new login", **CLIENT)
        saved(plain, anew, "new access")
        proxy.refuse = False
        wait_until(lambda: slow.stats()["restored"], "it has given something back")
        assert slow.find_token(make_token(user="ada", **CLIENT)).get_refresh_token() == "new login"
        assert slow.find_token_by_id(bob.get_id()).get_refresh_token() == "refresh of bob"
        assert {token.get_id() for token in plain.get_tokens()} == {anew.get_id(), bob.get_id()}
