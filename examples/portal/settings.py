"""What the portal is told by its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

SCOPE = "ZohoCRM.users.READ,ZohoCRM.org.READ"


@dataclass(frozen=True)
class Settings:
    """Hold the client that is registered at Zoho, and where Zoho is.

    The store has variables of its own, ``ZOHO_TOKEN_STORE_URL`` and ``ZOHO_TOKEN_STORE_NAMESPACE``, and so has Celery,
    ``CELERY_BROKER_URL`` and ``CELERY_RESULT_BACKEND``.

    Args:
        client_id: ``ZOHO_CLIENT_ID``
        client_secret: ``ZOHO_CLIENT_SECRET``
        redirect_uri: ``ZOHO_REDIRECT_URI``, as registered at Zoho; leads to ``/callback``
        accounts_url: ``ZOHO_ACCOUNTS_URL``, where the servers get tokens
        consent_url: ``ZOHO_CONSENT_URL``, where browsers find the accounts server, if they see it elsewhere
        crm_url: ``ZOHO_CRM_URL``
        refresh: ``PORTAL_REFRESH``, who asks Zoho for access tokens: ``sdk``, or ``managed`` for the store itself,
            which ``portal.tasks.keep_fresh`` needs
        near_cache: ``PORTAL_NEAR_CACHE``, ``1`` to keep tokens in each process, so that requests need no Redis
        metrics: ``PORTAL_METRICS``, ``1`` to keep metrics for Prometheus, and to show them at ``/metrics``
        secret_key: ``PORTAL_SECRET_KEY``, the same in every replica: it signs the session cookie
    """

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    secret_key: str = field(repr=False)
    accounts_url: str = "https://accounts.zoho.com"
    consent_url: str = "https://accounts.zoho.com"
    crm_url: str = "https://www.zohoapis.com"
    refresh: str = "sdk"
    near_cache: bool = False
    metrics: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the variables; those without a default must be set."""
        accounts_url = environ.get("ZOHO_ACCOUNTS_URL", cls.accounts_url)
        return cls(
            client_id=environ["ZOHO_CLIENT_ID"],
            client_secret=environ["ZOHO_CLIENT_SECRET"],
            redirect_uri=environ["ZOHO_REDIRECT_URI"],
            secret_key=environ["PORTAL_SECRET_KEY"],
            accounts_url=accounts_url,
            consent_url=environ.get("ZOHO_CONSENT_URL", accounts_url),
            crm_url=environ.get("ZOHO_CRM_URL", cls.crm_url),
            refresh=environ.get("PORTAL_REFRESH", cls.refresh),
            near_cache=environ.get("PORTAL_NEAR_CACHE") == "1",
            metrics=environ.get("PORTAL_METRICS") == "1",
        )
