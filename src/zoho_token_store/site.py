"""Where a token's servers are: by the rules of the SDK that is installed, whatever its release.

Beside ``sdk`` and ``zoho_sdk`` this is the only module that knows the SDK: its ``Initializer``, ``DataCenter`` and
``RequestProxy``, and how it asks CRM for the user's name. Checked against ``zohocrmsdk`` 5.0, 6.0, 7.0 and 8.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from zoho_token_store.errors import ConfigurationError
from zoho_token_store.zoho_sdk import DataCenter, Initializer, Utility

_NO_ENVIRONMENT = (
    "it is not known which accounts server this token belongs to: initialise the SDK with an environment in this"
    " process, or give the store one, such as environment=USDataCenter.PRODUCTION()"
)


class Site(NamedTuple):
    """The servers of one token, and the way there.

    Attributes:
        accounts_url: URL of the token endpoint.
        crm_url: Base URL of CRM.
        proxies: Proxy URLs by scheme, as ``requests`` takes them; None leaves it to the process environment.
        keeps_domain: Whether the ``api_domain`` of an answer must not take the place of the one that a record has.
    """

    accounts_url: str
    crm_url: str
    proxies: Mapping[str, str] | None
    keeps_domain: bool

    @property
    def revoke_url(self) -> str:
        """The URL of the revocation endpoint, where the SDK looks for it."""
        return f"{self.accounts_url}/revoke"

    def __repr__(self) -> str:
        # A proxy's URL may hold a password.
        return f"Site(accounts_url={self.accounts_url!r}, crm_url={self.crm_url!r}, ...)"


class NamePaths(NamedTuple):
    """Where CRM says who an access token's user is.

    Attributes:
        user: Path of the users.
        org: Path of the organisation, whose ``zgid`` the SDK adds to the name; None when it does not.
    """

    user: str
    org: str | None


def find_site(api_domain: str | None, environment: object | None = None) -> Site:
    """Return where the SDK would refresh a token. To be called in the caller's thread: ``switch_user`` is per thread.

    The token's data centre goes first, then the environment that the SDK was initialised with in this thread or
    process.

    Args:
        api_domain: The token's.
        environment: A ``DataCenter.Environment``, for processes that do not initialise the SDK.

    Raises:
        ConfigurationError: None of these says where.
    """
    initializer = Initializer.get_initializer()
    given = getattr(initializer, "environment", None) or environment
    domain = api_domain or getattr(given, "url", None)
    # DataCenter.get takes text and nothing else.
    found = (DataCenter.get(domain) if domain else None) or given
    if found is None:
        raise ConfigurationError("environment", _NO_ENVIRONMENT)
    return Site(
        _url(found, "accounts_url"),
        _url(found, "url"),
        _proxies(getattr(initializer, "request_proxy", None)),
        _keeps_domain(getattr(initializer, "sdk_config", None)),
    )


def _url(environment: object, name: str) -> str:
    url = getattr(environment, name, None)
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise ConfigurationError("environment", f"must be a DataCenter.Environment whose {name} is an http(s) URL")
    return url


def _keeps_domain(config: Any) -> bool:
    # Since 7.0 an option; before, every answer's api_domain is taken over.
    return config is not None and hasattr(config, "apply_api_domain_update") and not config.apply_api_domain_update()


def _proxies(proxy: Any) -> dict[str, str] | None:
    """Return the proxy of the SDK's ``RequestProxy``: for both kinds of URL, as whoever sets one means it.

    The SDK itself uses it for CRM alone, and takes a host with a scheme for a proxy of that scheme only.
    """
    if proxy is None:
        return None
    scheme, _, host = str(_setting(proxy, "host")).rpartition("://")
    user, password = _setting(proxy, "user"), _setting(proxy, "password")
    login = f"{quote(str(user), safe='')}:{quote(str(password or ''), safe='')}@" if user else ""
    url = f"{scheme or 'http'}://{login}{host}:{_setting(proxy, 'port')}"
    return {"http": url, "https": url}


def _setting(proxy: Any, name: str) -> Any:
    # The getters of the SDK's class have no bodies, and return None; a subclass may have mended them.
    value = getattr(proxy, f"_RequestProxy__{name}", None)
    return getattr(proxy, f"get_{name}")() if value is None else value


def name_paths() -> NamePaths | None:
    """Return where the installed SDK looks for a user's name; None when it does not (5.0)."""
    user = _path_in(getattr(Utility, "get_user_name", None))
    return NamePaths(user, _path_in(getattr(Utility, "get_user_org_id", None))) if user else None


def _path_in(function: Any) -> str | None:
    # The paths differ in CRM's version, and stand nowhere but in the code of these functions.
    constants = getattr(getattr(function, "__code__", None), "co_consts", ())
    paths = [text for text in constants if isinstance(text, str) and re.fullmatch(r"/crm/v[\d.]+/\w+", text)]
    return paths[0] if paths else None
