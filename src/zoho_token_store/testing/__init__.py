"""A stand-in for Zoho on loopback, for tests and demonstrations: accounts, consent and CRM, by Zoho's rules.

    >>> from zoho_token_store.testing import FakeZoho
    >>> with FakeZoho(expires_in=10) as zoho:
    ...     code = zoho.issue_grant_code(user="ada@example.com")
    ...     zoho.counters.exchanges
    0

Point the SDK at it with ``DataCenter.Environment(zoho.url, zoho.url + "/oauth/v2/token", zoho.url)``. Other processes
read and steer it with `ZohoControl`; ``python -m zoho_token_store.testing`` runs it alone.
"""

from .faults import Faults, FaultSettings
from .ledger import Counters, RequestSeen, Traffic
from .model import Client, Limits, Refused, Throttled, User, fingerprint
from .remote import ControlError, ZohoControl
from .rules import Accounts
from .server import FakeZoho
from .standin import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPE, USER

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "REDIRECT_URI",
    "SCOPE",
    "USER",
    "Accounts",
    "Client",
    "ControlError",
    "Counters",
    "FakeZoho",
    "FaultSettings",
    "Faults",
    "Limits",
    "Refused",
    "RequestSeen",
    "Throttled",
    "Traffic",
    "User",
    "ZohoControl",
    "fingerprint",
]
