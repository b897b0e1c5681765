"""Where a token's servers are: the SDK's rules, whatever its release."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from zohocrmsdk.src.com.zoho.crm.api.dc import EUDataCenter, INDataCenter, USDataCenter
from zohocrmsdk.src.com.zoho.crm.api.request_proxy import RequestProxy
from zohocrmsdk.src.com.zoho.crm.api.sdk_config import SDKConfig

from zoho_token_store import site as site_module
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.site import find_site, name_paths
from zoho_token_store.zoho_sdk import DataCenter, Initializer, Utility

pytestmark = pytest.mark.sdk_matrix

HAS_DOMAIN_OPTION = "update_api_domain" in inspect.signature(SDKConfig.__init__).parameters


def environment(base: str = "http://crm.test:8080") -> Any:
    where = (base, f"{base}/oauth/v2/token", base)
    named = "name" in inspect.signature(DataCenter.Environment.__init__).parameters  # SDK 5.0
    return DataCenter.Environment(*where, *(("custom",) if named else ()))


def initializer(**fields: Any) -> Any:
    made = Initializer()
    for name, value in {"sdk_config": SDKConfig(), **fields}.items():
        setattr(made, name, value)
    return made


def proxied(*settings: Any) -> Any:
    Initializer.initializer = initializer(environment=environment(), request_proxy=RequestProxy(*settings))
    return find_site(None).proxies


@pytest.fixture(autouse=True)
def no_initializer() -> Iterator[None]:
    """Leave the SDK as a new process has it."""
    Initializer.initializer = Initializer.LOCAL.init = None
    yield
    Initializer.initializer = Initializer.LOCAL.init = None


@pytest.mark.parametrize(
    ("domain", "accounts", "crm"),
    [
        ("https://www.zohoapis.com", "https://accounts.zoho.com/oauth/v2/token", "https://www.zohoapis.com"),
        ("https://www.zohoapis.eu", "https://accounts.zoho.eu/oauth/v2/token", "https://www.zohoapis.eu"),
        ("https://sandbox.zohoapis.in", "https://accounts.zoho.in/oauth/v2/token", "https://sandbox.zohoapis.in"),
    ],
)
def test_a_known_domain_goes_before_every_environment(domain: str, accounts: str, crm: str) -> None:
    """Tokens of several data centres live in one process, whatever that was initialised with."""
    Initializer.initializer = initializer(environment=environment())
    site = find_site(domain, environment("http://given.test"))
    assert (site.accounts_url, site.crm_url) == (accounts, crm)
    Initializer.initializer = None
    assert find_site(domain).accounts_url == accounts


@pytest.mark.parametrize("domain", [None, "", "http://crm.test:8080", "https://api.example.com"])
def test_else_the_environment_of_the_sdk(domain: str | None) -> None:
    """A token without a domain, or with one that no data centre has, belongs to the environment."""
    Initializer.initializer = initializer(environment=environment())
    site = find_site(domain, environment("http://given.test"))
    assert (site.accounts_url, site.crm_url) == ("http://crm.test:8080/oauth/v2/token", "http://crm.test:8080")


def test_the_sdk_is_asked_about_domains_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token's, or else that of the environment; never about None."""
    asked: list[object] = []
    monkeypatch.setattr(site_module, "DataCenter", SimpleNamespace(get=asked.append))
    with pytest.raises(ConfigurationError):
        find_site(None)
    find_site(None, environment("http://given.test"))
    find_site("https://api.example.com", environment("http://given.test"))
    assert asked == ["http://given.test", "https://api.example.com"]


@pytest.mark.parametrize("before", [None, SimpleNamespace(environment=None)])
def test_else_the_environment_of_the_store(before: object) -> None:
    """A process that only keeps tokens fresh does not initialise the SDK."""
    Initializer.initializer = before
    assert find_site(None, environment("http://given.test")).crm_url == "http://given.test"
    assert find_site("https://api.example.com", environment("http://given.test")).crm_url == "http://given.test"
    assert find_site(None, INDataCenter.SANDBOX()).accounts_url == "https://accounts.zoho.in/oauth/v2/token"


@pytest.mark.parametrize("domain", [None, "https://api.example.com"])
def test_without_any_it_is_said_what_to_do(domain: str | None) -> None:
    """The error names the option, and both ways out."""
    with pytest.raises(ConfigurationError, match=r"initialise the SDK.*environment=") as caught:
        find_site(domain)
    assert caught.value.option == "environment"


@pytest.mark.parametrize("wrong", [object(), SimpleNamespace(url="http://x", accounts_url=None), "http://x"])
def test_what_is_no_environment_is_refused(wrong: object) -> None:
    """By the name of the option, before anything is sent anywhere."""
    with pytest.raises(ConfigurationError, match=r"DataCenter\.Environment") as caught:
        find_site(None, wrong)
    assert caught.value.option == "environment"


def test_the_threads_own_initializer_goes_first() -> None:
    """``switch_user`` holds for its thread; the others keep the process's."""
    Initializer.initializer = initializer(environment=USDataCenter.PRODUCTION())
    seen: dict[str, str] = {}

    def switched() -> None:
        Initializer.LOCAL.init = initializer(environment=EUDataCenter.PRODUCTION())
        seen["switched"] = find_site(None).crm_url

    thread = threading.Thread(target=switched)
    thread.start()
    thread.join()
    assert seen == {"switched": "https://www.zohoapis.eu"}
    assert find_site(None).crm_url == "https://www.zohoapis.com"


def test_without_a_proxy_the_process_environment_decides() -> None:
    """None is what ``requests`` takes as "look for yourself"."""
    assert find_site(None, environment()).proxies is None
    Initializer.initializer = initializer(environment=environment(), request_proxy=None)
    assert find_site(None).proxies is None


def both(url: str) -> dict[str, str]:
    """Return a proxy for both kinds of URL."""
    return {"http": url, "https": url}


def test_a_proxy_is_read_although_the_sdks_getters_say_nothing() -> None:
    """It is used for every request, whether its host has a scheme or not."""
    assert proxied("proxy.test", 3128) == both("http://proxy.test:3128")
    assert proxied("http://proxy.test", 3128) == both("http://proxy.test:3128")
    assert proxied("https://proxy.test", "3128") == both("https://proxy.test:3128")
    assert proxied("httpd.test", 1) == both("http://httpd.test:1")


def test_a_proxys_user_and_password_are_quoted() -> None:
    """They may hold what a URL is parted by; without a user there is nothing in front of the host."""
    assert proxied("http://proxy.test", 1, "a@b", "p:/@#%ü") == both("http://a%40b:p%3A%2F%40%23%25%C3%BC@proxy.test:1")
    assert proxied("http://proxy.test", 1, "ada", None) == both("http://ada:@proxy.test:1")
    assert proxied("http://proxy.test", 1, None, "p") == both("http://proxy.test:1")


def test_a_subclass_with_getters_that_work() -> None:
    """It need not have the attributes of the SDK's class."""
    getters = SimpleNamespace(
        get_host=lambda: "proxy.test", get_port=lambda: 1, get_user=lambda: None, get_password=lambda: None
    )
    Initializer.initializer = initializer(environment=environment(), request_proxy=getters)
    assert find_site(None).proxies == both("http://proxy.test:1")


def test_the_repr_shows_no_proxy() -> None:
    """Its URL may hold a password."""
    Initializer.initializer = initializer(
        environment=environment(), request_proxy=RequestProxy("proxy.test", 1, "ada", "pass-word")
    )
    site = find_site(None)
    assert "pass-word" in str(dict(site.proxies or {}))
    assert "proxy.test" not in repr(site)
    assert "pass-word" not in f"{site} {site!r} {[site]}"


def test_answers_may_move_a_token_unless_the_sdk_is_told_otherwise() -> None:
    """``update_api_domain`` came with SDK 7.0; before, and by default, the domain of an answer is taken over."""
    assert not find_site(None, environment()).keeps_domain
    Initializer.initializer = initializer(environment=environment())
    assert not find_site(None).keeps_domain
    Initializer.initializer = initializer(environment=environment(), sdk_config=None)
    assert not find_site(None).keeps_domain
    if HAS_DOMAIN_OPTION:
        Initializer.initializer = initializer(environment=environment(), sdk_config=SDKConfig(update_api_domain=False))
        assert find_site(None).keeps_domain


def test_where_the_installed_sdk_asks_for_the_user() -> None:
    """The paths are those of the release: nothing for 5.0, else the users and the organisation of its CRM version."""
    paths = name_paths()
    if not hasattr(Utility, "get_user_name"):
        assert paths is None
        return
    source = inspect.getsource(Utility)
    assert paths is not None
    assert f"'{paths.user}'" in source
    assert paths.user.endswith("/users")
    assert paths.org == paths.user.replace("/users", "/org")
    assert f"'{paths.org}'" in source


def test_an_sdk_that_does_not_know_the_organisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older releases of 6.0 name a user by the email alone."""

    def get_user_name(token: str) -> str:
        return "" + "/crm/v6/users"

    monkeypatch.setattr(site_module, "Utility", SimpleNamespace(get_user_name=get_user_name))
    assert name_paths() == ("/crm/v6/users", None)
