"""At an expiry exactly one worker refreshes; the others use what is left, or wait and get its token."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.tokens import by_access, by_user, make_token, refreshed
from contract.underneath import Underneath
from zoho_token_store import RedisTokenStore, RefreshFailing, RefreshTimeout, TokenDeleted


@pytest.fixture
def due(store: RedisTokenStore) -> str:
    """Save a record whose access token is due, too short to be used; return its id."""
    token = make_token("ada", refresh="rt", access="at1", left=5)
    store.save_token(token)
    return str(token.get_id())


@pytest.fixture
def ending(store: RedisTokenStore, underneath: Underneath) -> str:
    """Save a record whose access token is due, and can be used for another 20 s; return its id."""
    token = make_token("ada", refresh="rt", access="at1", left=3600)
    store.save_token(token)
    underneath.leave(token.get_id(), 20)
    return str(token.get_id())


def test_one_refreshes_and_the_others_wait_for_it(store: RedisTokenStore, due: str, make_store, wait_for) -> None:
    """One of five workers gets the token without access token; four wait and are given what it saves."""
    winner = store.find_token_by_id(due)
    assert (winner.get_access_token(), winner.get_refresh_token()) == (None, "rt")
    waiters = [make_store() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        asked = (lambda s: s.find_token_by_id(due), lambda s: s.find_token(by_user("ada")))
        waiting = [pool.submit(asked[number % 2], waiter) for number, waiter in enumerate(waiters)]
        wait_for(lambda: all(waiter.stats()["waits"] for waiter in waiters))
        store.save_token(refreshed(winner, "at2"))
        assert {future.result(10).get_access_token() for future in waiting} == {"at2"}
    assert sum(waiter.stats()["leases"] for waiter in waiters) == 0
    assert store.stats()["leases"] == 1


def test_nobody_waits_while_the_token_can_be_used(store: RedisTokenStore, ending: str, other: RedisTokenStore) -> None:
    """One worker refreshes ahead; the others go on with the old token at once."""
    assert store.find_token_by_id(ending).get_access_token() is None
    for _ in range(3):
        assert other.find_token_by_id(ending).get_access_token() == "at1"
        assert other.find_token(by_user("ada")).get_access_token() == "at1"
    assert (other.stats()["leases"], other.stats()["waits"]) == (0, 0)


def test_by_an_access_token_that_cannot_be_used_any_more(store: RedisTokenStore, due: str, other) -> None:
    """The record is found by it, and refreshed; a due token is as good a selector as a fresh one."""
    store.save_token(make_token("ada", access="ends", left=5))
    winner = other.find_token(by_access("ends"))
    assert (winner.get_id(), winner.get_access_token(), winner.get_refresh_token()) == (due, None, "rt")


def test_one_process_is_one_winner(store: RedisTokenStore, due: str) -> None:
    """Of eight threads of one process that come at once, one refreshes and seven get its token."""

    def work(_: int) -> tuple[bool, str]:
        token = store.find_token_by_id(due)
        refreshes = token.get_access_token() is None
        if refreshes:
            store.save_token(refreshed(token, "at2"))
        return refreshes, token.get_access_token()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(work, range(8)))
    assert [access for _, access in outcomes] == ["at2"] * 8
    assert sum(refreshes for refreshes, _ in outcomes) == 1


def test_who_holds_the_lease_does_not_wait_for_itself(store: RedisTokenStore, due: str, wait_for) -> None:
    """A thread that asks again, since its refresh has failed, has its answer at once, though others wait for it."""
    winner = store.find_token_by_id(due)
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(store.find_token_by_id, due)
        wait_for(lambda: store.stats()["waits"])
        began = time.monotonic()
        winner = store.find_token_by_id(due)
        assert winner.get_access_token() is None
        assert time.monotonic() - began < 4, "half of the lease"
        store.save_token(refreshed(winner, "at2"))
        assert waiting.result(10).get_access_token() == "at2"


@pytest.mark.parametrize("credential", [{"grant": "gt"}, {"refresh": "rt"}])
def test_a_new_credential_is_spent_once(store: RedisTokenStore, other: RedisTokenStore, wait_for, credential) -> None:
    """Workers that boot on one code or refresh token, by different selectors, meet: one spends it, one waits."""
    mine = make_token(**credential)
    assert store.find_token(mine) is None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.find_token, make_token("ada", **credential))
        wait_for(lambda: other.stats()["waits"])
        store.save_token(refreshed(mine, "at", refresh=mine.get_refresh_token() or "rt"))
        found = waiting.result(10)
    assert (found.get_id(), found.get_access_token()) == (mine.get_id(), "at")


def test_a_new_login_of_a_known_user_is_spent_once(store: RedisTokenStore, other: RedisTokenStore, wait_for) -> None:
    """A known user's new code is a new login, however fresh the stored token is, and still spent by one worker only."""
    store.save_token(make_token("ada", grant="gt1", refresh="rt1", access="at1"))
    mine = make_token("ada", grant="gt2")
    assert store.find_token(mine) is None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.find_token, make_token(grant="gt2"))
        wait_for(lambda: other.stats()["waits"])
        store.save_token(refreshed(mine, "at2", refresh="rt2"))
        assert waiting.result(10).get_access_token() == "at2"
    assert len(store.get_tokens()) == 1


def test_a_winner_that_is_gone_costs_one_lease_time(store: RedisTokenStore, due: str, make_store, wait_for) -> None:
    """When the winner never saves, the waiter takes over once the lease has run out, and it is counted."""
    quick = {"lease_ttl": 0.3, "wait_timeout": 10.0}
    winner, waiter = make_store(**quick), make_store(**quick)
    started = time.monotonic()
    assert winner.find_token_by_id(due).get_access_token() is None
    assert waiter.find_token_by_id(due).get_access_token() is None
    assert 0.25 < time.monotonic() - started < 5
    assert (waiter.stats()["leases"], waiter.stats()["takeovers"]) == (1, 1)


def test_a_wait_ends(store: RedisTokenStore, due: str, make_store) -> None:
    """A worker that nobody refreshes for gets an error that says how long it waited."""
    patient = make_store(lease_ttl=0.1, wait_timeout=0.2)
    assert store.find_token_by_id(due).get_access_token() is None  # a lease of 8 s
    with pytest.raises(RefreshTimeout) as caught:
        patient.find_token_by_id(due)
    assert (caught.value.record_id, caught.value.waited) == (due, 0.2)
    assert patient.stats()["wait_timeouts"] == 1


def test_fences_grow(make_store, due: str, underneath: Underneath) -> None:
    """Each lease on a record has a higher fence than the one before."""
    fences = []
    for _ in range(2):
        with make_store() as store:
            store.find_token_by_id(due)
            fences.append(underneath.fence(due))
    assert fences[0] < fences[1]


def test_closing_gives_the_lease_back(due: str, make_store) -> None:
    """A process that ends in good order holds up nobody: the next one is elected at once."""
    for _ in range(2):
        with make_store() as leaving:
            assert leaving.find_token_by_id(due).get_access_token() is None
    last = make_store()
    assert last.find_token_by_id(due).get_access_token() is None
    assert last.stats()["waits"] == 0


def test_a_lease_that_was_given_back_counts(due: str, make_store) -> None:
    """A worker that cannot refresh and is started anew again and again does not keep the fleet from cooling down."""
    for _ in range(3):
        with make_store() as leaving:
            assert leaving.find_token_by_id(due).get_access_token() is None
    with pytest.raises(RefreshFailing) as caught:
        make_store().find_token_by_id(due)
    assert 0 < caught.value.retry_at - time.time() <= 5


def test_closing_wakes_a_waiter(due: str, make_store, wait_for) -> None:
    """The next worker is elected at once when the winner's process ends."""
    leaving, waiter = make_store(), make_store()
    leaving.find_token_by_id(due)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.find_token_by_id, due)
        wait_for(lambda: waiter.stats()["waits"])
        leaving.close()
        assert waiting.result(7).get_access_token() is None


def test_closing_gives_the_lease_on_a_credential_back(make_store) -> None:
    """So does the lease of a worker that was told None."""
    with make_store() as leaving:
        assert leaving.find_token(make_token(grant="gt")) is None
    last = make_store()
    assert last.find_token(make_token(grant="gt")) is None
    assert last.stats()["waits"] == 0


class TestLateSaves:
    """A winner that comes back after its lease ran out and another has saved."""

    @pytest.fixture
    def late(self, store: RedisTokenStore, due: str, make_store):
        """Return the late worker's store and token, after another worker has saved at2 and rt2."""
        slow = make_store(lease_ttl=0.1)
        mine = slow.find_token_by_id(due)
        assert mine.get_access_token() is None
        theirs = store.find_token_by_id(due)
        assert theirs.get_access_token() is None
        store.save_token(refreshed(theirs, "at2", refresh="rt2"))
        return slow, mine

    def test_it_replaces_nothing(self, late, store: RedisTokenStore, due: str) -> None:
        """The newer save stands, and the late one is counted."""
        slow, mine = late
        slow.save_token(refreshed(mine, "at-late", left=1000))
        assert mine.get_id() == due
        assert store.get(due).get_access_token() == "at2"
        assert store.get(due).get_refresh_token() == "rt2"
        assert slow.stats()["late_saves"] == 1

    def test_its_refresh_token_is_kept(self, late, store: RedisTokenStore, due: str) -> None:
        """A refresh token that it got is not lost: the record is found by it, while the newer one is handed out."""
        slow, mine = late
        slow.save_token(refreshed(mine, "at-late", refresh="rt-late"))
        found = store.find_token(make_token(refresh="rt-late"))
        assert (found.get_id(), found.get_refresh_token(), found.get_access_token()) == (due, "rt2", "at2")

    def test_it_completes(self, late, store: RedisTokenStore, due: str) -> None:
        """What the record lacks is taken from it."""
        slow, mine = late
        mine.set_api_domain("https://d")
        slow.save_token(refreshed(mine, "at-late"))
        assert store.get(due).get_api_domain() == "https://d"

    def test_it_leaves_the_next_lease_alone(self, late, store: RedisTokenStore, due: str, other, wait_for) -> None:
        """It does not end the lease that a third worker holds by now: nobody else is elected."""
        slow, mine = late
        store.invalidate_access_token(due)
        assert store.find_token_by_id(due).get_access_token() is None
        slow.save_token(refreshed(mine, "at-late"))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(other.find_token_by_id, due)
            wait_for(lambda: other.stats()["waits"])
            assert other.stats()["leases"] == 0
            store.save_token(make_token("ada", access="at3"))
            assert waiting.result(10).get_access_token() == "at3"

    def test_a_deleted_record_stays_deleted(self, late, store: RedisTokenStore, due: str) -> None:
        """If it was deleted meanwhile, the late save is refused."""
        slow, mine = late
        store.delete_token(due)
        with pytest.raises(TokenDeleted):
            slow.save_token(refreshed(mine, "at-late", refresh="rt-late"))
        assert store.find_token(by_access("at-late")) is None
