"""What an application may expect of a token store, one rule a function: the docstring is what the table says.

A rule opens stores of one place, each of which stands for a process of its own. It is broken by any exception.
"""

from __future__ import annotations

import multiprocessing
import stat
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from contract.tokens import OTHER_CLIENT, by_user, contents, make_token, refreshed
from zoho_token_store.zoho_sdk import SDKException

PROCESSES = 8
SAVES = 3


class Place(Protocol):
    """Where a store keeps its tokens.

    Attributes:
        file: The file, if it is one.
    """

    file: Path | None

    def open(self) -> Any:
        """Return a store, as another process would open it."""

    def worker(self) -> Any:
        """Return the store of another worker: a process, or a thread where a store is for one process only."""


class NotApplicable(Exception):
    """The rule is about something that this store does not have."""


Rule = Callable[[Place], None]


def saved(store: Any, *args: Any, **fields: Any) -> Any:
    """Save a token; return it."""
    token = make_token(*args, **fields)
    store.save_token(token)
    return token


def whole(place: Place) -> None:
    """a token comes back with every field"""
    store = place.open()
    token = saved(store, "ada", refresh="rt", grant="gt", access="at", redirect="https://app/cb", domain="https://d")
    found = store.find_token_by_id(token.get_id())
    assert contents(found) == contents(token)
    assert found.get_expires_in() == token.get_expires_in()


def shared(place: Place) -> None:
    """another process finds what this one has saved"""
    saved(place.open(), "ada", refresh="rt", access="at")
    assert place.open().find_token(by_user("ada")).get_refresh_token() == "rt"


def updated(place: Place) -> None:
    """a second save of a user is no second record"""
    store = place.open()
    for number in range(2):
        saved(store, "ada", refresh="rt", access=f"at{number}")
    assert [token.get_access_token() for token in store.get_tokens()] == ["at1"]


def many(place: Place) -> None:
    """twelve users are twelve records"""
    store = place.open()
    for number in range(12):
        saved(store, f"user{number}", refresh=f"rt{number}")
    assert len({token.get_id() for token in store.get_tokens()}) == 12


def fresh_ids(place: Place) -> None:
    """the id of a deleted token is given to nobody else"""
    store = place.open()
    gone = saved(store, "ada", refresh="rt").get_id()
    store.delete_token(gone)
    assert saved(store, "grace", refresh="rt2").get_id() != gone


def chosen_ids(place: Place) -> None:
    """an application may choose ids of its own, and delete by them"""
    store = place.open()
    saved(store, "ada", id="tenant-7", refresh="rt")
    saved(store, "grace", refresh="rt2")
    store.delete_token("tenant-7")
    assert [token.get_refresh_token() for token in store.get_tokens()] == ["rt2"]


def clients(place: Place) -> None:
    """one user under two clients is two records"""
    store = place.open()
    saved(store, "ada", refresh="rt", access="at")
    saved(store, "ada", client_id=OTHER_CLIENT, refresh="rt2", access="at2")
    assert len(store.get_tokens()) == 2


def other_clients(place: Place) -> None:
    """nobody is given the token of another client"""
    store = place.open()
    saved(store, "ada", refresh="rt", access="at")
    found = store.find_token(by_user("ada", OTHER_CLIENT))
    assert found is None or found.get_access_token() is None


def strangers(place: Place) -> None:
    """who shows nothing but a client id is given no user's token"""
    store = place.open()
    saved(store, "ada", refresh="rt", access="at")
    found = store.find_token(make_token(client_id=OTHER_CLIENT))
    assert found is None or found.get_access_token() is None


def quotes(place: Place) -> None:
    """a user name is data, whatever quotes are in it"""
    store = place.open()
    saved(store, "ada", refresh="rt", access="at")
    assert store.find_token(by_user("x' or '1'='1")) is None
    saved(store, "O'Brien", refresh="rt2", access="at2")
    assert store.find_token(by_user("O'Brien")).get_access_token() == "at2"


def separators(place: Place) -> None:
    """commas and line breaks in a value do no harm"""
    store = place.open()
    token = saved(store, "ada, countess\nof Lovelace", refresh="r,t", access='a"t')
    assert contents(store.find_token_by_id(token.get_id())) == contents(token)


def constructed(place: Place) -> None:
    """what is found by its id can be given to switch_user"""
    store = place.open()
    found = store.find_token_by_id(saved(store, "ada", refresh="rt").get_id())
    assert vars(found).keys() >= vars(make_token()).keys()


def unknown_id(place: Place) -> None:
    """an id that nobody has is an error that the SDK knows"""
    store = place.open()
    saved(store, "ada", refresh="rt")
    try:
        store.find_token_by_id("4711")
    except SDKException:
        return
    raise AssertionError("it was found, or None")


def by_id(place: Place) -> None:
    """an OAuthToken with nothing but an id finds its record, as SDK 8's revoke asks for it"""
    store = place.open()
    saved(store, "grace", refresh="rt-grace", access="at-grace")
    id = saved(store, "ada", refresh="rt", access="at").get_id()
    asked = make_token(id=id, client_id=None, secret=None)
    store.find_token(asked)
    assert asked.get_refresh_token() == "rt"


def deletes_all(place: Place) -> None:
    """delete_tokens deletes all"""
    store = place.open()
    saved(store, "ada", refresh="rt")
    store.delete_tokens()
    assert place.open().get_tokens() == []


def erased(place: Place) -> None:
    """a save without a refresh token does not erase the one that is stored"""
    store = place.open()
    saved(store, "ada", refresh="rt", access="at")
    saved(store, "ada", access="at2")
    (token,) = store.get_tokens()
    assert (token.get_refresh_token(), token.get_access_token()) == ("rt", "at2")


def old_objects(place: Place) -> None:
    """a worker with an old object does not put an old refresh token back"""
    one, other = place.worker(), place.worker()
    id = saved(one, "ada", refresh="rt", access="at").get_id()
    held = other.find_token_by_id(id)
    saved(one, "ada", refresh="rt-new", access="at-new")
    other.save_token(refreshed(held, "at-late"))
    assert one.find_token(by_user("ada")).get_refresh_token() == "rt-new"


def deleted(place: Place) -> None:
    """a deleted token stays deleted, also when a worker saves the object that it still has"""
    one, other = place.worker(), place.worker()
    id = saved(one, "ada", refresh="rt", access="at").get_id()
    held = other.find_token_by_id(id)
    one.delete_token(id)
    try:
        other.save_token(refreshed(held, "at2"))
    except SDKException:
        pass
    assert one.get_tokens() == []


def one_refresh(place: Place) -> None:
    """of two workers that find an expired token one refreshes, and the other gets what it has stored"""
    one, other = place.worker(), place.worker()
    id = saved(one, "ada", refresh="rt", access="at", left=3).get_id()
    first = one.find_token_by_id(id)
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(other.find_token_by_id, id)
        _give_time(second)
        one.save_token(refreshed(first, "at2"))
        assert second.result(10).get_access_token() == "at2"


def one_exchange(place: Place) -> None:
    """of two workers that boot on one grant code one exchanges it, and the other gets what came of it"""
    one, other = place.worker(), place.worker()
    first = make_token(grant="gt")
    assert one.find_token(first) is None
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(other.find_token, make_token(grant="gt"))
        _give_time(second)
        one.save_token(refreshed(first, "at", refresh="rt"))
        found = second.result(10)
    assert found is not None
    assert found.get_refresh_token() == "rt"


def _give_time(future: Any) -> None:
    """Let a call end that does not wait for anybody."""
    ended = threading.Event()
    future.add_done_callback(lambda _: ended.set())
    ended.wait(1.5)


def crowded(place: Place) -> None:
    """eight processes that save at once lose nothing, and none is refused"""
    context = multiprocessing.get_context("fork")
    barrier, failures = context.Barrier(PROCESSES), context.Queue()
    workers = [context.Process(target=_crowd, args=(place, barrier, failures, number)) for number in range(PROCESSES)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, where there are threads
        for worker in workers:
            worker.start()
    said = [failures.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert [failure for failure in said if failure] == []
    assert len(place.open().get_tokens()) == PROCESSES * SAVES


def _crowd(place: Place, barrier: Any, failures: Any, number: int) -> None:
    failure = None
    try:
        store = place.open()
        barrier.wait(30)
        for turn in range(SAVES):
            saved(store, f"user-{number}-{turn}", refresh=f"rt-{number}-{turn}")
    except Exception as error:
        failure = repr(error)
    failures.put(failure)


def private(place: Place) -> None:
    """nobody but the owner may read the file"""
    if place.file is None:
        raise NotApplicable
    saved(place.open(), "ada", refresh="rt")
    assert stat.S_IMODE(place.file.stat().st_mode) & 0o077 == 0


RULES: tuple[Rule, ...] = (
    whole, shared, updated, many, fresh_ids, chosen_ids, clients, other_clients, strangers, quotes, separators,
    constructed, unknown_id, by_id, deletes_all, erased, old_objects, deleted, one_refresh, one_exchange, crowded,
    private,
)  # fmt: skip
