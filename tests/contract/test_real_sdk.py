"""The real SDK on the store, against the stand-in for Zoho: boot, refresh, revoke, another user."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations

from contract.tokens import by_user, make_token, user_of
from zoho_token_store import RedisTokenStore, TokenDeleted
from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import OAuthToken, SDKException

pytestmark = pytest.mark.sdk_matrix


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """Run a stand-in whose access tokens live an hour."""
    with FakeZoho() as server:
        yield server


@pytest.fixture
def boot(zoho: FakeZoho, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Initialise the SDK with a store and a token, as an application does at its start."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def start(store: RedisTokenStore, token: Any) -> Any:
        where = (zoho.url, f"{zoho.url}/oauth/v2/token", zoho.url)
        name = ("stand-in",) if "name" in inspect.signature(DataCenter.Environment.__init__).parameters else ()
        environment = DataCenter.Environment(*where, *name)
        Initializer.initialize(environment=environment, token=token, store=store, resource_path=str(tmp_path))
        return token

    yield start
    Initializer.LOCAL.init = None
    Initializer.initializer = None


def app_token(zoho: FakeZoho, **fields: Any) -> Any:
    return make_token(client_id=zoho.client_id, secret=zoho.client_secret, redirect=zoho.redirect_uri, **fields)


def call_crm() -> int:
    return int(OrgOperations().get_organization().get_status_code())


def test_a_boot_on_a_grant_code(zoho: FakeZoho, boot, store: RedisTokenStore, other: RedisTokenStore) -> None:
    """The first worker exchanges the code and the second finds its token by the same code: one exchange."""
    code = zoho.issue_grant_code()
    boot(store, app_token(zoho, grant=code))
    assert call_crm() == 200
    boot(other, app_token(zoho, grant=code))
    assert call_crm() == 200
    assert (zoho.counters.exchanges, zoho.counters.refreshes, zoho.counters.crm_rejected) == (1, 0, 0)
    (record,) = store.get_tokens()
    assert record.get_refresh_token()


def test_an_expiry_is_refreshed_once(zoho: FakeZoho, boot, store: RedisTokenStore, wait_for) -> None:
    """Sixteen threads that share one token object come with an expired token: one refresh, all are served."""
    token = app_token(zoho, refresh=zoho.issue_refresh_token(), access="expired", left=1)
    store.save_token(token)
    boot(store, app_token(zoho, id=token.get_id()))
    store.invalidate_access_token(token.get_id())
    zoho.reset()
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: call_crm(), range(16))) == {200}
    assert (zoho.counters.refreshes, zoho.counters.crm_rejected) == (1, 0)


def test_the_sdk_learns_the_user(zoho: FakeZoho, boot, store: RedisTokenStore, other: RedisTokenStore) -> None:
    """The name that the SDK asks CRM for is stored, and leads another process to the record."""
    if "find_user" not in inspect.signature(OAuthToken.__init__).parameters:
        pytest.skip("SDK 5.0 does not ask for the user")
    boot(store, app_token(zoho, grant=zoho.issue_grant_code(user="grace@example.com")))
    assert call_crm() == 200
    (record,) = store.get_tokens()
    assert user_of(record).startswith("grace@example.com")
    assert other.find_token(by_user(user_of(record))).get_id() == record.get_id()


def test_revoke_works(zoho: FakeZoho, boot, store: RedisTokenStore) -> None:
    """``OAuthToken.revoke(id)`` revokes the stored refresh token at Zoho; with an unknown id it revokes nothing."""
    if "OAuthToken()" in inspect.getsource(OAuthToken.revoke):
        pytest.skip("revoke of this SDK raises before it asks any store: its OAuthToken() lacks a mandatory field")
    refresh = zoho.issue_refresh_token()
    token = app_token(zoho, user="ada", refresh=refresh, access="at")
    store.save_token(token)
    boot(store, app_token(zoho, id=token.get_id()))
    assert token.revoke("unknown") is False
    assert token.revoke(token.get_id()) is True
    assert zoho.accounts.revoke(refresh) is False
    assert store.stats()["leases"] == 0


def test_remove_deletes(zoho: FakeZoho, boot, store: RedisTokenStore) -> None:
    """``OAuthToken.remove`` deletes; a worker that still holds the object gets an error instead of a CRM answer."""
    token = boot(store, app_token(zoho, user="ada", refresh=zoho.issue_refresh_token()))
    assert call_crm() == 200
    assert token.remove() is True
    assert store.get_tokens() == []
    with pytest.raises(SDKException) as caught:
        token.get_token()
    assert isinstance(caught.value, TokenDeleted)


def test_switch_user_to_a_found_token(zoho: FakeZoho, boot, store: RedisTokenStore) -> None:
    """A token from ``find_token_by_id`` works in ``switch_user``."""
    boot(store, app_token(zoho, user="ada", refresh=zoho.issue_refresh_token()))
    grace = app_token(zoho, user="grace", refresh=zoho.issue_refresh_token(user="grace@example.com"))
    store.save_token(grace)
    environment = Initializer.get_initializer().environment
    Initializer.switch_user(environment=environment, token=store.get(grace.get_id()))
    assert call_crm() == 200
    assert store.get(grace.get_id()).get_access_token()
