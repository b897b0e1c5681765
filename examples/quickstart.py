"""The store in one script: a self client logs in with a grant code, and later starts need none.

    python examples/quickstart.py

Redis is expected at redis://localhost:6379/0, or where ZOHO_TOKEN_STORE_URL says. Zoho is played by the stand-in, so
nothing has to be registered. For the real one:

- ``environment = USDataCenter.PRODUCTION()``, or that of your data center
- client id, secret and grant code of a self client from https://api-console.zoho.com
"""

from __future__ import annotations

import os
import tempfile

from zohocrmsdk.src.com.zoho.api.authenticator import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations

from zoho_token_store import RedisTokenStore
from zoho_token_store.testing import FakeZoho

REDIS = os.environ.get("ZOHO_TOKEN_STORE_URL", "redis://localhost:6379/0")
NAMESPACE = os.environ.get("ZOHO_TOKEN_STORE_NAMESPACE", "quickstart")


def main() -> None:
    """Run it."""
    with FakeZoho() as zoho, RedisTokenStore.from_url(REDIS, namespace=NAMESPACE) as store:
        environment = DataCenter.Environment(zoho.url, f"{zoho.url}/oauth/v2/token", zoho.url)
        client = {"client_id": zoho.client_id, "client_secret": zoho.client_secret}

        # Once: initialize exchanges the code, asks CRM who the user is, and saves. In a fleet one worker does.
        token = OAuthToken(**client, grant_token=zoho.issue_grant_code(user="ada@example.com"))
        Initializer.initialize(environment, token, store=store, resource_path=tempfile.gettempdir())
        print("stored under id", token.get_id())

        # Every later start: the id is enough, or the grant code as before, or the user's name.
        Initializer.initialize(
            environment, OAuthToken(id=token.get_id()), store=store, resource_path=tempfile.gettempdir()
        )
        organization = OrgOperations().get_organization().get_object().get_org()[0]
        print("CRM answers:", organization.get_company_name())
        print("exchanges:", zoho.counters.exchanges, "refreshes:", zoho.counters.refreshes)

        # Logging out: at Zoho, and in the store for every worker.
        store.revoke(token.get_id())
        print("logged out; tokens left:", len(store.get_tokens()))


if __name__ == "__main__":
    main()
