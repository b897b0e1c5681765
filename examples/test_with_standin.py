"""How an application tests itself against the stand-in for Zoho: real SDK, real HTTP on loopback, no mocks.

    cd examples && python -m pytest test_with_standin.py

fakeredis plays Redis here (``pip install 'fakeredis[lua]'``); with a server, use ``RedisTokenStore.from_url``.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode, urlsplit

import fakeredis
import pytest
import requests
from flask.testing import FlaskClient
from portal.crm import Crm
from portal.settings import Settings
from portal.web import create_app

from zoho_token_store import RedisTokenStore, TokenDeleted
from zoho_token_store.testing import FakeZoho


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """A stand-in of its own for each test: counters begin at 0."""
    with FakeZoho() as zoho:
        yield zoho


@pytest.fixture
def crm(zoho: FakeZoho) -> Iterator[Crm]:
    """The application's own way to CRM, pointed at the stand-in."""
    settings = Settings(
        client_id=zoho.client_id,
        client_secret=zoho.client_secret,
        redirect_uri=zoho.redirect_uri or "",
        secret_key="for tests",
        accounts_url=zoho.url,
        consent_url=zoho.url,
        crm_url=zoho.url,
    )
    with RedisTokenStore(fakeredis.FakeRedis(), namespace="tests") as store:
        yield Crm(store, settings)


def log_in(browser: FlaskClient, user: str) -> None:
    """Do as a browser does: to the consent page, where the user says yes, and back."""
    consent = browser.get("/login").location
    answer = requests.get(f"{consent}&{urlencode({'user': user})}", allow_redirects=False, timeout=5)
    back = urlsplit(answer.headers["Location"])
    assert browser.get(f"{back.path}?{back.query}").status_code == 302


def test_two_users_see_their_own_data(zoho: FakeZoho, crm: Crm) -> None:
    """Each login is one exchange, and each session is its own user's."""
    app = create_app(crm)
    ada, grace = app.test_client(), app.test_client()
    log_in(ada, "ada@example.com")
    log_in(grace, "grace@example.com")
    assert ada.get("/me").json["email"] == "ada@example.com"
    assert grace.get("/me").json["email"] == "grace@example.com"
    assert zoho.counters.exchanges == 2


def test_a_burst_after_an_expiry_refreshes_once(zoho: FakeZoho, crm: Crm) -> None:
    """CRM rejects the access token, and 16 threads of the application find out at the same time."""
    record_id = crm.log_in(zoho.issue_grant_code())
    zoho.expire_access_tokens()
    with ThreadPoolExecutor(16) as threads:
        users = list(threads.map(crm.user, [record_id] * 16))
    assert {user["email"] for user in users} == {"ada@example.com"}
    assert zoho.counters.refreshes == 1


def test_logging_out_ends_it_everywhere(zoho: FakeZoho, crm: Crm) -> None:
    """After a logout the grant is revoked at Zoho, and another session of that user is asked to log in again."""
    app = create_app(crm)
    here, there = app.test_client(), app.test_client()
    log_in(here, "ada@example.com")
    log_in(there, "ada@example.com")
    here.post("/logout")
    assert zoho.counters.revokes == 1
    assert there.get("/me").status_code == 401


def test_a_task_for_a_user_who_has_logged_out(zoho: FakeZoho, crm: Crm) -> None:
    """Work that comes too late is told so, rather than bringing the user back."""
    record_id = crm.log_in(zoho.issue_grant_code())
    crm.log_out(record_id)
    with pytest.raises(TokenDeleted):
        crm.organization(record_id)


def test_zoho_throttles(zoho: FakeZoho, crm: Crm) -> None:
    """A refusal of Zoho becomes an answer of the application's own, not a crash."""
    app = create_app(crm)
    browser = app.test_client()
    log_in(browser, "ada@example.com")
    zoho.expire_access_tokens()
    zoho.faults.fail_next(status=400, body='{"error": "Access Denied", "status": "failure"}')
    assert browser.get("/me").status_code == 502
