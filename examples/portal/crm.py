"""Zoho CRM on behalf of many users in one process.

The SDK keeps "the current user" in two places. ``Initializer.initialize`` sets one for the whole process: called per
request, one thread would go on with another thread's user. ``Initializer.switch_user`` sets one for its own thread, and
leaves it there: the thread's next request would begin as the last one's user. So:

- initialize once per process, with nobody as the user (`Nobody`), which asks Zoho and Redis nothing;
- switch to the user for the length of one piece of work, and back (`Crm.acting_as`).

That holds for gunicorn's sync and gthread workers, for Celery's prefork and threads pools, and after a fork.
"""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator import OAuthToken, Token
from zohocrmsdk.src.com.zoho.crm.api import ParameterMap
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zohocrmsdk.src.com.zoho.crm.api.users import GetUsersParam, UsersOperations

from portal import metrics
from portal.settings import Settings
from zoho_token_store import RedisTokenStore, RevocationIncomplete

log = logging.getLogger("portal")


class CrmError(Exception):
    """CRM has answered with an error."""


class LoginNotStored(Exception):
    """Zoho has given tokens, and Redis could not take them: the store keeps them and tries again."""


class Nobody(Token):
    """The user of a thread that acts for nobody: a request to CRM fails, rather than going out as somebody."""

    def authenticate(self, url_connection: Any) -> None:
        raise CrmError("this thread acts for nobody; see Crm.acting_as")

    def generate_token(self) -> None:
        """Nobody needs no token."""

    def remove(self) -> bool:
        return False


class Crm:
    """Log users in and out, and ask CRM on their behalf. One for each process, shared by its threads.

    A user is known by the id of the token's record in the store. That is all that sessions and tasks carry.

    Args:
        store: where the tokens are
        settings: the client and the addresses
    """

    def __init__(self, store: RedisTokenStore, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self._environment = DataCenter.Environment(
            settings.crm_url, f"{settings.accounts_url}/oauth/v2/token", settings.crm_url
        )
        # Where the SDK would keep what it learns about modules, if records were read; then each process needs its own.
        resources = tempfile.gettempdir()
        Initializer.initialize(environment=self._environment, token=Nobody(), store=store, resource_path=resources)

    def log_in(self, code: str) -> str:
        """Exchange the code that a user has come back with; return the id of the user's record.

        With ``find_user``, which is the SDK's default, the SDK asks CRM who the user is before it saves: a second login
        of the same user updates the record instead of making another.

        Raises:
            SDKException: Zoho does not take the code.
            LoginNotStored: Redis is away.
        """
        token = OAuthToken(
            client_id=self.settings.client_id,
            client_secret=self.settings.client_secret,
            grant_token=code,
            redirect_url=self.settings.redirect_uri,
            find_user=True,
        )
        with self.acting_as(token):
            record_id = token.get_id()
        if record_id is None:
            # The SDK swallows what save_token raises, so this is how one sees it.
            raise LoginNotStored
        return str(record_id)

    def log_out(self, record_id: str) -> None:
        """End a user's grant at Zoho, and delete the record: from now on it is gone for every worker."""
        try:
            self.store.revoke(record_id)
        except RevocationIncomplete as error:
            if not error.deleted:
                raise  # a repeat does what is left to do
            log.exception("the grant of record %s lives on at Zoho", record_id)

    def user(self, record_id: str) -> dict[str, Any]:
        """Return who the user is, as CRM says."""
        only_me = ParameterMap()
        only_me.add(GetUsersParam.type, "CurrentUser")
        user = self._ask(record_id, lambda: UsersOperations().get_users(only_me)).get_users()[0]
        return {"name": user.get_full_name(), "email": user.get_email()}

    def organization(self, record_id: str) -> dict[str, Any]:
        """Return the user's organization."""
        found = self._ask(record_id, OrgOperations().get_organization).get_org()[0]
        return {"name": found.get_company_name(), "zgid": found.get_zgid(), "email": found.get_primary_email()}

    @contextmanager
    def acting_as(self, token: OAuthToken) -> Iterator[OAuthToken]:
        """Make a token's user the SDK's user in this thread, for the length of the context.

        The environment is given each time: without it the SDK takes over that of the thread's last user, who may be in
        another data center.
        """
        try:
            Initializer.switch_user(environment=self._environment, token=token)
            yield token
        finally:
            Initializer.LOCAL.init = None

    def _ask(self, record_id: str, request: Callable[[], Any]) -> Any:
        """Send a request on behalf of a user; once more with another access token if CRM rejects this one.

        The token is made anew with nothing but the id: the SDK then asks the store, and sees at once when the user has
        logged out in another worker (`TokenDeleted`).
        """
        with self.acting_as(OAuthToken(id=record_id)) as token:
            answer = request()
            if answer.get_status_code() == 401:
                # Revoked, or dropped by Zoho for a newer one. The store drops it too, unless another worker was
                # quicker, and lets one worker refresh.
                self.store.invalidate_access_token(record_id, token.get_access_token())
                answer = request()
            if answer.get_status_code() != 200:
                raise CrmError(f"CRM answered {answer.get_status_code()}")
            return answer.get_object()


@functools.cache
def from_env() -> Crm:
    """Return this process's `Crm`, made from the environment at the first call. It may be made before a fork."""
    settings = Settings.from_env()
    hooks = metrics.hooks() if settings.metrics else []
    store = RedisTokenStore.from_env(refresh=settings.refresh, near_cache=settings.near_cache, hooks=hooks)
    store.ping()  # a wrong address or an old server shall be found out now, not at the first login
    return Crm(store, settings)
