"""The portal with stores that refresh by themselves and keep tokens in their processes, under gunicorn and Celery."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest

from deployment.stage import Browser, Stage
from deployment.test_celery import Tasks
from zoho_token_store.zoho_sdk import OAuthToken

MANAGED = {"PORTAL_REFRESH": "managed", "PORTAL_NEAR_CACHE": "1"}


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["sync", "preload"])
def test_under_gunicorn(stage: Stage, options: tuple[str, ...]) -> None:
    """Users log in, see their own data, outlive a rejection with one refresh each, and are logged out everywhere."""
    program, url = stage.start_gunicorn(*options, **MANAGED)
    with ExitStack() as stack:
        names = [f"user{number}{'-'.join(options)}@example.com" for number in range(3)]
        browsers = [stack.enter_context(closing(Browser(url, name))) for name in names]
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(Browser.log_in, browsers))
            assert stage.zoho.counters.exchanges == 3
            for _ in range(2):  # the first round fills the caches, and the second is served from them
                twins = [stack.enter_context(closing(browser.twin())) for browser in browsers for _ in range(8)]
                answers = list(threads.map(lambda twin: twin.get("/me").json(), twins))
                assert [answer["email"] for answer in answers] == [twin.user for twin in twins]
            stage.zoho.expire_access_tokens()
            answers = list(threads.map(lambda twin: twin.get("/me").status_code, twins))
            assert answers == [200] * 24
            assert stage.zoho.counters.refreshes == 3
            assert stage.zoho.max_in_flight() == 1
            assert browsers[0].post("/logout").status_code == 302
            codes = list(threads.map(lambda twin: (twin.user, twin.get("/me").status_code), twins))
    assert all((code == 401) == (user == names[0]) for user, code in codes)
    assert program.terminate() == 0


def test_under_celery(stage: Stage) -> None:
    """A prefork pool with a near cache in each child reports on behalf of a user: one refresh, and none again."""
    zoho = stage.zoho
    token = OAuthToken(zoho.client_id, zoho.client_secret, refresh_token=zoho.issue_refresh_token("ada@example.com"))
    token.set_api_domain(zoho.url)
    stage.store.save_token(token)
    program = stage.start_celery(**MANAGED)
    with closing(Tasks(stage)) as tasks:
        for _ in range(2):
            reports = tasks.reports([token.get_id()] * 12)
            assert len(reports) == 12
            assert len({str(report) for report in reports}) == 1
    assert zoho.counters.refreshes == 1
    assert (zoho.counters.crm_calls, zoho.counters.crm_rejected) == (24, 0)
    assert program.terminate() == 0
