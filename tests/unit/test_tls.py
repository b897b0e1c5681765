"""TLS settings are tried when a store is made: which cannot be used, and that nothing of them is repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from certificates import Authority, Pair
from zoho_token_store import ConfigurationError, RedisTokenStore, tls
from zoho_token_store.topology import topology_from_url

PASSWORD = "key-pa55word"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make an authority."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """Issue a certificate whose key is encrypted."""
    return authority.issue("client", password=PASSWORD)


@pytest.fixture
def settings(authority: Authority, pair: Pair) -> dict[str, Any]:
    """Give settings that can be used, all of them."""
    return {
        "ssl_certfile": pair.certificate,
        "ssl_keyfile": pair.key,
        "ssl_password": PASSWORD,
        "ssl_ca_certs": authority.path,
        "ssl_ca_path": str(Path(authority.path).parent),
        "ssl_ca_data": Path(authority.path).read_text(),
        "ssl_min_version": 771,
        "ssl_ciphers": "ECDHE+AESGCM",
    }


def test_what_can_be_used_is_accepted(settings: dict[str, Any]) -> None:
    """A store is made of them, and connects to nothing."""
    with RedisTokenStore(redis.Redis(ssl=True, ssl_check_hostname=True, **settings), "crm"):
        pass


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ssl_certfile", "/nowhere/client.crt"),
        ("ssl_certfile", None),
        ("ssl_keyfile", "/nowhere/client.key"),
        ("ssl_keyfile", "-----BEGIN PRIVATE KEY-----"),
        ("ssl_password", "another"),
        ("ssl_password", None),
        ("ssl_ca_certs", "/nowhere/ca.pem"),
        ("ssl_ca_certs", __file__),
        ("ssl_ca_path", "/nowhere"),
        ("ssl_ca_data", "no certificate"),
        ("ssl_min_version", 99999),
        ("ssl_ciphers", "no-such-cipher"),
    ],
)
def test_what_cannot_is_refused_at_once(settings: dict[str, Any], option: str, value: Any) -> None:
    """The error names the option, asks nobody for a password, and repeats neither path nor key nor password."""
    client = redis.Redis(ssl=True, ssl_check_hostname=True, **settings | {option: value})
    with pytest.raises(
        ConfigurationError, match=f"{'ssl_keyfile' if option == 'ssl_password' else option}.*cannot be used"
    ) as caught:
        RedisTokenStore(client, "crm")
    assert not any(word in str(caught.value) for word in ("nowhere", "PRIVATE KEY", PASSWORD, "another"))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "option",
    [
        "credential_provider=vault",
        "redis_connect_func=f",
        "ssl_validate_ocsp=true",
        "ssl_validate_ocsp_stapled=false",
        "ssl_ocsp_context=c",
    ],
)
def test_what_a_url_cannot_say_is_refused(option: str) -> None:
    """As text it would not be what it looks like: redis-py would quietly check nothing."""
    with pytest.raises(ConfigurationError, match=option.partition("=")[0]) as caught:
        RedisTokenStore.from_url(f"rediss://:{PASSWORD}@localhost?{option}", "crm")
    assert caught.value.option == "url"
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("rediss://localhost", True),
        ("rediss://localhost?ssl_check_hostname=true", True),
        ("rediss://localhost?ssl_check_hostname=false", False),
        ("rediss://localhost?ssl_cert_reqs=none", None),
        ("redis://localhost", None),
    ],
)
def test_a_url_has_the_name_checked(url: str, checked: bool | None) -> None:
    """With every release of redis-py, since it is said; not where there is no TLS, or nothing is verified."""
    topology: Any = topology_from_url(url)[0]
    assert topology._dialer._settings.get("ssl_check_hostname") is checked


def test_nobody_answers() -> None:
    """A server that is away by now has no alert to tell."""
    assert tls.alert({"host": "127.0.0.1", "port": 1}, 1.0) is None
