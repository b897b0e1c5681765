"""The web application under real gunicorn: four workers, with the application loaded before and after the fork."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import count
from typing import Any

import pytest

from deployment.stage import Browser, Program, Stage

MODES = {
    "sync": [],
    "preload": ["--preload"],
    "gthread-preload": ["--preload", "--worker-class", "gthread", "--threads", "4"],
}
_numbers = count()

Users = Callable[[int], list[Browser]]


@pytest.fixture(scope="module", params=MODES.values(), ids=MODES.keys())
def gunicorn(request: pytest.FixtureRequest, module_stage: Stage) -> Iterator[tuple[Program, str]]:
    """Run gunicorn for the tests of one mode."""
    program, url = module_stage.start_gunicorn(*request.param)
    yield program, url
    program.kill()


@pytest.fixture
def users(gunicorn: tuple[Program, str]) -> Iterator[Users]:
    """Make users whom no other test has, with a browser each."""
    with ExitStack() as stack:

        def make(number: int) -> list[Browser]:
            names = [f"user{next(_numbers)}@example.com" for _ in range(number)]
            return [stack.enter_context(closing(Browser(gunicorn[1], name))) for name in names]

        yield make


def at_once(work: Callable[[Browser], Any], browsers: list[Browser]) -> list[Any]:
    """Let every browser do the same at the same time."""
    with ThreadPoolExecutor(len(browsers)) as threads:
        return list(threads.map(work, browsers))


def test_each_user_logs_in_with_one_exchange(stage: Stage, users: Users) -> None:
    """Six users come back from Zoho together: six exchanges, nothing refused, six records."""
    browsers = users(6)
    codes = at_once(Browser.log_in, browsers)
    assert stage.zoho.counters.exchanges == 6
    assert [stage.zoho.traffic(code).exchanges for code in codes] == [1] * 6
    assert stage.zoho.counters.rejected == 0
    assert len({stage.record_id(browser.user) for browser in browsers}) == 6


def test_each_user_sees_their_own_data(stage: Stage, users: Users, gunicorn: tuple[Program, str]) -> None:
    """Requests of six users mix in the workers and threads, and nobody gets another's answer."""
    browsers = users(6)
    at_once(Browser.log_in, browsers)
    twins = [browser.twin() for _ in range(5) for browser in browsers]
    answers = at_once(lambda browser: browser.get("/me").json(), twins)
    assert [answer["email"] for answer in answers] == [browser.user for browser in twins]
    assert stage.zoho.counters.crm_rejected == 0
    assert len(set(gunicorn[0].wait_for(r"served by <(\d+)>: 200 GET /me", times=30))) > 1, "one worker did it all"


def test_a_burst_after_an_expiry_refreshes_once_per_user(stage: Stage, users: Users) -> None:
    """CRM rejects every access token at once, and 40 requests find out together: one refresh for each user."""
    browsers = users(4)
    at_once(Browser.log_in, browsers)
    stage.zoho.expire_access_tokens()
    twins = [browser.twin() for _ in range(10) for browser in browsers]
    answers = at_once(lambda browser: browser.get("/me"), twins)
    assert [answer.status_code for answer in answers] == [200] * 40
    assert stage.zoho.counters.refreshes == 4
    assert stage.zoho.max_in_flight() == 1
    assert (stage.zoho.counters.rejected, stage.zoho.counters.throttled) == (0, 0)


def test_logging_out_ends_the_session_in_every_worker(stage: Stage, users: Users) -> None:
    """The grant is revoked, the record is gone, and copies of the cookie are worth nothing in any worker."""
    [browser] = users(1)
    browser.log_in()
    record_id = stage.record_id(browser.user)
    twins = [browser.twin() for _ in range(12)]
    assert {answer.status_code for answer in at_once(lambda twin: twin.get("/me"), twins)} == {200}
    stale = [browser.twin() for _ in range(12)]
    assert browser.post("/logout").status_code == 302
    assert {answer.status_code for answer in at_once(lambda twin: twin.get("/me"), stale)} == {401}
    assert stage.store.get(record_id) is None
    assert stage.zoho.counters.revokes == 1
    assert stage.zoho.counters.refreshes == 0


def test_a_user_who_revokes_at_zoho_is_asked_to_log_in(stage: Stage, users: Users) -> None:
    """Zoho refuses the refresh token for good: the session ends, and another login works."""
    [browser] = users(1)
    browser.log_in()
    assert stage.zoho.accounts.revoke(stage.store.get(stage.record_id(browser.user)).get_refresh_token())
    assert browser.get("/me").status_code == 401
    browser.log_in()
    assert browser.get("/me").json()["email"] == browser.user


def test_a_login_that_was_not_started_here_is_refused(users: Users) -> None:
    """A callback without the state of this browser's own login is somebody else's link."""
    [browser] = users(1)
    browser.get("/login")
    assert browser.get("/callback?code=1000.x.y&state=z").status_code == 400
    assert browser.get("/me").status_code == 401


@pytest.mark.parametrize("options", MODES.values(), ids=MODES.keys())
def test_sigterm_gives_leases_back(stage: Stage, options: list[str]) -> None:
    """A worker whose refresh has failed keeps the lease; when gunicorn ends in good order, the fleet has it back."""
    program, url = stage.start_gunicorn(*options)
    with closing(Browser(url, f"last{next(_numbers)}@example.com")) as browser:
        browser.log_in()
        record_id = stage.record_id(browser.user)
        stage.zoho.expire_access_tokens()
        with stage.no_refresh_succeeds():
            assert browser.get("/me").status_code == 502
        assert stage.lease_is_held(record_id)
        assert program.terminate() == 0
        assert not stage.lease_is_held(record_id)


def test_sigterm_lets_a_refresh_end(stage: Stage) -> None:
    """A request that refreshes when SIGTERM comes is answered, and its token is stored for the others."""
    program, url = stage.start_gunicorn()
    with closing(Browser(url, f"last{next(_numbers)}@example.com")) as browser, ThreadPoolExecutor(1) as thread:
        browser.log_in()
        record_id = stage.record_id(browser.user)
        stage.zoho.expire_access_tokens()
        stage.zoho.faults.set(hang=True)
        answer = thread.submit(browser.get, "/me")
        while not stage.zoho.max_in_flight():
            assert not answer.done(), answer.result().text
        ending = thread_of(program.terminate)
        program.wait_for("Handling signal: term")
        stage.zoho.faults.clear()
        assert answer.result().status_code == 200
        assert ending() == 0
    assert stage.zoho.counters.refreshes == 1
    assert stage.store.get(record_id).get_access_token() is not None
    assert not stage.lease_is_held(record_id)


def thread_of(work: Callable[[], int]) -> Callable[[], int]:
    """Start work in a thread; return a function that waits for what it returns."""
    executor = ThreadPoolExecutor(1)
    future = executor.submit(work)
    executor.shutdown(wait=False)
    return future.result
