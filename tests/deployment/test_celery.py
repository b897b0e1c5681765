"""The tasks in a real Celery worker with a prefork pool, with Redis as broker, beside the web application."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import pairwise
from threading import Event
from typing import Any

import pytest
import redis
from celery import Celery

from deployment.stage import PATIENCE, Browser, Stage
from zoho_token_store.testing import fingerprint


@pytest.fixture(scope="module")
def web(module_stage: Stage) -> str:
    """Run the web application, in which users log in; its URL."""
    return module_stage.start_gunicorn("--preload")[1]


class Tasks:
    """Sends tasks, and reads their results where Celery puts them.

    Celery's own client of the results keeps connections that nothing closes, and its objects ask Redis when they are
    collected; tests in which warnings are errors cannot have that.
    """

    def __init__(self, stage: Stage) -> None:
        self._app = Celery("client", broker=stage.broker, set_as_current=False)
        self._results = redis.Redis.from_url(stage.results)

    def close(self) -> None:
        """Close the connections."""
        self._app.close()
        self._results.close()

    def send(self, record_ids: list[str], queue: str | None = None) -> list[str]:
        """Send a task for each id, all at once; return the ids of the tasks."""
        return [self._app.send_task("portal.tasks.report", [record_id], queue=queue).id for record_id in record_ids]

    def run(self, name: str, queue: str) -> Any:
        """Return what a task without arguments returns."""
        return self.outcome(self._app.send_task(name, queue=queue).id)["result"]

    def reports(self, record_ids: list[str]) -> list[Any]:
        """Return what the tasks for these ids return."""
        return [self.outcome(task)["result"] for task in self.send(record_ids)]

    def outcome(self, task: str) -> dict[str, Any]:
        """Wait for the end of a task; return status and result."""
        until = time.monotonic() + PATIENCE
        while (stored := self._results.get(f"celery-task-meta-{task}")) is None:
            assert time.monotonic() < until, "the task has not ended"
            time.sleep(0.005)
        outcome: dict[str, Any] = json.loads(stored)  # type: ignore[arg-type]
        return outcome


@pytest.fixture(scope="module")
def tasks(module_stage: Stage) -> Iterator[Tasks]:
    """Run a Celery worker; give the way to send it tasks."""
    module_stage.start_celery()
    with closing(Tasks(module_stage)) as tasks:
        yield tasks


@pytest.fixture
def users(web: str, request: pytest.FixtureRequest) -> Iterator[list[Browser]]:
    """Log four users in whom no other test has."""
    with ExitStack() as stack:
        names = [f"{request.node.name}-{number}@example.com" for number in range(4)]
        browsers = [stack.enter_context(closing(Browser(web, name))) for name in names]
        for browser in browsers:
            browser.log_in()
        yield browsers


def test_a_user_orders_a_report(stage: Stage, tasks: Tasks, users: list[Browser]) -> None:
    """The task works with the user's own token, and the web application shows its result to that user."""
    for browser in users:
        assert browser.post("/reports").status_code == 303
    for browser in users:
        until = time.monotonic() + PATIENCE
        while (answer := browser.get("/report").json())["state"] != "SUCCESS":
            assert time.monotonic() < until, answer
            time.sleep(0.02)
        assert answer["report"]["email"] == browser.user
    assert stage.zoho.counters.exchanges == 4


def test_a_burst_after_an_expiry_refreshes_once_per_user(stage: Stage, tasks: Tasks, users: list[Browser]) -> None:
    """CRM rejects every access token; 40 tasks and 20 web requests find out together: one refresh for each user."""
    record_ids = [stage.record_id(browser.user) for browser in users]
    twins = [browser.twin() for browser in users for _ in range(5)]
    stage.zoho.expire_access_tokens()
    with ThreadPoolExecutor(20) as threads:
        pages = threads.map(lambda twin: twin.get("/me").status_code, twins)
        results = tasks.reports(record_ids * 10)
        assert list(pages) == [200] * 20
    assert [result["email"] for result in results] == [browser.user for browser in users] * 10
    assert stage.zoho.counters.refreshes == 4
    assert stage.zoho.max_in_flight() == 1
    assert stage.zoho.counters.rejected == 0


def test_a_fleet_under_load_refreshes_once_per_expiry(stage: Stage, tasks: Tasks, web: str) -> None:
    """Tokens live 8 s and are due 6 s before their end, so two refreshes of one user are never less than 2 s apart.

    Web requests and tasks go on across several expiries, and CRM never sees a token that has expired.
    """
    accounts = stage.zoho.accounts
    usual, accounts.limits = accounts.limits, replace(accounts.limits, access_token_ttl=8)
    try:
        with closing(Browser(web, "load@example.com")) as browser:
            browser.log_in()
            record_id = stage.record_id(browser.user)
            family = fingerprint(stage.store.get(record_id).get_refresh_token())
            enough, until = Event(), time.monotonic() + PATIENCE
            with ThreadPoolExecutor(3) as threads:
                pages = [threads.submit(keep_asking, browser.twin(), enough) for _ in range(3)]
                try:
                    while stage.zoho.counters.refreshes < 2:
                        assert time.monotonic() < until
                        assert {report["email"] for report in tasks.reports([record_id] * 4)} == {browser.user}
                finally:
                    enough.set()
            assert all(page.result() <= {200} for page in pages)
    finally:
        accounts.limits = usual
    refreshes = [seen.at for seen in stage.zoho.requests if seen.subject == family and seen.outcome == "refreshed"]
    assert len(refreshes) >= 2
    # The SDK counts the life of a token from when it has the answer, the stand-in from before it: 2 s or more.
    assert all(later - earlier > 1.9 for earlier, later in pairwise(refreshes))
    assert (stage.zoho.counters.rejected, stage.zoho.counters.crm_rejected) == (0, 0)


def keep_asking(browser: Browser, enough: Event) -> set[int]:
    """Get a user's page again and again; return the status codes seen."""
    seen: set[int] = set()
    while not enough.is_set():
        seen.add(browser.get("/me").status_code)
    return seen


def test_a_task_of_a_user_who_has_logged_out(stage: Stage, tasks: Tasks, users: list[Browser]) -> None:
    """A task that comes after the logout does nothing: every pool process sees the deletion, none brings it back."""
    record_id = stage.record_id(users[0].user)
    assert {report["email"] for report in tasks.reports([record_id] * 8)} == {users[0].user}
    users[0].post("/logout")
    assert tasks.reports([record_id] * 8) == [None] * 8
    assert stage.store.get(record_id) is None
    assert stage.zoho.counters.refreshes == 0


@pytest.mark.parametrize("options", [[], ["--max-tasks-per-child", "1"]], ids=["shutdown", "child-recycled"])
def test_leases_are_given_back(stage: Stage, tasks: Tasks, users: list[Browser], options: list[str]) -> None:
    """A pool process whose refresh has failed has the lease until it ends, by warm shutdown or by its last task."""
    worker = stage.start_celery("--queues", "short-lived", *options)
    record_id = stage.record_id(users[0].user)
    stage.zoho.expire_access_tokens()
    with stage.no_refresh_succeeds():
        [task] = tasks.send([record_id], queue="short-lived")
        assert tasks.outcome(task)["status"] == "FAILURE"
        if options:
            until = time.monotonic() + PATIENCE  # a lease that has only run out is still there, with its owner
            while stage.lease_is_held(record_id):
                assert time.monotonic() < until
                time.sleep(0.02)
        else:
            assert stage.lease_is_held(record_id)
    assert worker.terminate() == 0
    assert not stage.lease_is_held(record_id)


def test_a_periodic_task_keeps_tokens_fresh(stage: Stage, tasks: Tasks, users: list[Browser]) -> None:
    """The task that beat is told to send refreshes what is due soon, before anyone who uses it would; once for each."""
    stage.start_celery("--queues", "keepers", PORTAL_REFRESH="managed")
    report = stage.run("celery", "-A", "portal.tasks", "report")
    assert report.wait() == 0, report.output
    [periodic] = re.findall(r"beat_schedule:(?s:.*?)'task': '([\w.]+)'", report.output)
    record_ids = [stage.record_id(browser.user) for browser in users]
    for token in stage.store.get_tokens():
        if token.get_id() not in record_ids:
            stage.store.delete_token(token.get_id())  # what other tests have left
    for record_id in record_ids:
        stage.age(record_id, 3600 - 400)  # due 600 s before its end, and for a worker 300 s
    assert 0 < tasks.run(periodic, queue="keepers") <= 60
    assert stage.zoho.counters.refreshes == len(users)
    assert {report["email"] for report in tasks.reports(record_ids)} == {browser.user for browser in users}
    assert tasks.run(periodic, queue="keepers") == 60
    assert stage.zoho.counters.refreshes == len(users)
    assert stage.zoho.max_in_flight() == 1
