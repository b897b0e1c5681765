"""The real SDK against the stand-in: what it exchanges, asks and stores."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoho_token_store.testing import FakeZoho

SCRIPT = """
import json, os, sys
from zohocrmsdk.src.com.zoho.api.authenticator import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations

url, client_id, client_secret, redirect_url, code, directory = sys.argv[1:]
where = (url, url + "/oauth/v2/token", url)
try:
    environment = DataCenter.Environment(*where)
except TypeError:  # SDK 5.0 wants a name
    environment = DataCenter.Environment(*where, "stand-in")
token = OAuthToken(client_id=client_id, client_secret=client_secret, grant_token=code, redirect_url=redirect_url)
store = FileStore(os.path.join(directory, "tokens.csv"))
Initializer.initialize(environment=environment, token=token, store=store, resource_path=directory)
answer = OrgOperations().get_organization()
saved = store.get_tokens()[0]
signature = saved.get_user_signature()
print(json.dumps({
    "status": answer.get_status_code(),
    "zgid": answer.get_object().get_org()[0].get_zgid(),
    "user": signature.get_name() if signature else None,
    "api_domain": saved.get_api_domain(),
    "refresh_token": saved.get_refresh_token(),
}))
"""


@pytest.mark.skipif(importlib.util.find_spec("zohocrmsdk") is None, reason="no SDK is installed")
def test_the_sdk_boots_and_calls_crm(tmp_path: Path) -> None:
    """Unpatched, the SDK exchanges a code, learns its user, stays on the stand-in and gets the organisation."""
    with FakeZoho(expires_in=60) as zoho:
        code = zoho.issue_grant_code(user="grace@example.com")
        arguments = [zoho.url, zoho.client_id, zoho.client_secret, zoho.redirect_uri or "", code, str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        refresh_token = seen.pop("refresh_token")
        user = seen.pop("user")
        assert seen == {"status": 200, "zgid": "60000000001", "api_domain": zoho.url}
        assert user in ("grace@example.com:60000000001", None)  # SDK 5.0 does not ask for the user
        assert zoho.accounts.revoke(refresh_token)
        assert (zoho.counters.exchanges, zoho.counters.refreshes, zoho.counters.crm_rejected) == (1, 0, 0)
