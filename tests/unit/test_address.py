"""URLs: what each says, and that no bad one gets through or is repeated."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zoho_token_store import ConfigurationError, RedisTokenStore
from zoho_token_store.address import SCHEMES, read_url

PASSWORD = "pa55word"

GOOD = {
    "redis://": ("redis", False, [("localhost", 6379)], "", {}),
    "redis+cluster://:7000": ("redis+cluster", False, [("localhost", 7000)], "", {}),
    "redis+sentinel:///svc": ("redis+sentinel", False, [("localhost", 26379)], "svc", {}),
    "redis://example.com": ("redis", False, [("example.com", 6379)], "", {}),
    "redis://example.com:7000/3": ("redis", False, [("example.com", 7000)], "", {"db": 3}),
    "redis://[::1]:7000/3?db=4": ("redis", False, [("::1", 7000)], "", {"db": 4}),
    "rediss://ada:p%40ss@example.com": (
        "redis",
        True,
        [("example.com", 6379)],
        "",
        {"username": "ada", "password": "p@ss"},
    ),
    "redis://:secret@h?socket_timeout=0.5&protocol=3": (
        "redis",
        False,
        [("h", 6379)],
        "",
        {"password": "secret", "socket_timeout": 0.5, "protocol": 3},
    ),
    "redis+sentinel://a,b:1,[::2]:3/my%2Fservice": (
        "redis+sentinel",
        False,
        [("a", 26379), ("b", 1), ("::2", 3)],
        "my/service",
        {},
    ),
    "rediss+sentinel://u:p@a/svc/2?sentinel_password=s&operation_timeout=1.5&ssl_check_hostname=false": (
        "redis+sentinel",
        True,
        [("a", 26379)],
        "svc",
        {
            "username": "u",
            "password": "p",
            "db": 2,
            "sentinel_password": "s",
            "operation_timeout": 1.5,
            "ssl_check_hostname": False,
        },
    ),
    "redis+cluster://a:7000,b:7001": ("redis+cluster", False, [("a", 7000), ("b", 7001)], "", {}),
    "rediss+cluster://a/0?ssl_ca_certs=/ca.pem": (
        "redis+cluster",
        True,
        [("a", 6379)],
        "",
        {"db": 0, "ssl_ca_certs": "/ca.pem"},
    ),
}


@pytest.mark.parametrize("url", GOOD)
def test_what_a_url_says(url: str) -> None:
    """Hosts with their ports, TLS, service, and options of the right types."""
    target = read_url(url)
    kind, tls, hosts, service, options = GOOD[url]
    assert (target.kind, target.tls, list(target.hosts), target.service) == (kind, tls, hosts, service)
    assert target.options == options


def test_a_socket() -> None:
    """The path of a socket, quoted or not, with credentials and a database."""
    target = read_url("unix://ada:secret@/run/my%20redis.sock?db=2")
    assert target.path == "/run/my redis.sock"
    assert target.options == {"username": "ada", "password": "secret", "db": 2}


BAD = {
    f"redis+sentinel://:{PASSWORD}@a:26379": "name of the service",
    f"redis+sentinel://:{PASSWORD}@a:26379/": "name of the service",
    f"redis+sentinel://:{PASSWORD}@a:26379/svc/first": "database",
    f"redis+sentinel://:{PASSWORD}@a:port/svc": "port",
    f"redis+sentinel://:{PASSWORD}@a:0/svc": "port",
    f"redis+sentinel://:{PASSWORD}@a:1,b:65536/svc": "port",
    f"redis+sentinel://:{PASSWORD}@::1/svc": "brackets",
    f"redis+cluster://:{PASSWORD}@a/1": "database",
    f"redis+cluster://:{PASSWORD}@a?db=1": "database",
    f"redis+cluster://:{PASSWORD}@a?sentinel_password=x": "Sentinels",
    f"redis+cluster://:{PASSWORD}@a?ssl_ca_certs=/ca.pem": "ssl_ca_certs",
    f"redis+cluster://:{PASSWORD}@a?protocol=4": "protocol",
    f"redis+cluster://:{PASSWORD}@a?{PASSWORD}": "query",
    f"redis+cluster://:{PASSWORD}@a?{PASSWORD}=1": "unknown option",
    f"redis+cluster://:{PASSWORD}@a?operation_timeout=long": "operation_timeout",
    f"redis+cluster://:{PASSWORD}@a?operation_timeout=-1": "operation_timeout",
    f"redis+cluster://:{PASSWORD}#@a": "#",
    f"redis+cluster://:{PASSWORD}@a b": "blanks",
    f"redis+cluster://:{PASSWORD}@a..b": "host",
    f"redis+cluster://:{PASSWORD}@a:1,,b:2": "url: has an empty host",
    f"redis+cluster://:{PASSWORD}@a:1,:2": "url: has an empty host",
    f"redis+cluster://:{PASSWORD}@,a": "url: has an empty host",
    f"rediss+cluster://:{PASSWORD}@a,[]:1": "url: has an empty host",
    f"redis+sentinel://:{PASSWORD}@a:1,/svc": "url: has an empty host",
    f"redis+sentinel://:{PASSWORD}@a,,b/svc": "url: has an empty host",
    f"redis://:{PASSWORD}@a,b": "several hosts",
    f"redis://:{PASSWORD}/x@a": "port",
    f"redis://:{PASSWORD}@a/b": "database",
    f"redis://:{PASSWORD}@a?db=-1": "db",
    f"rediss://:{PASSWORD}@a?ssl_min_version=7": "ssl_min_version",
    f"rediss://:{PASSWORD}@a?ssl_cert_reqs={PASSWORD}": "ssl_cert_reqs",
    f"unix://:{PASSWORD}@tmp/socket": "absolute path",
    f"unix://:{PASSWORD}@/": "absolute path",
    f"unix://:{PASSWORD}@/%00": "zero byte",
    f"redis-sentinel://:{PASSWORD}@a": "must start with",
}


@pytest.mark.parametrize("url", BAD)
def test_what_is_wrong_is_said(url: str) -> None:
    """Each mistake has a message that names it, and none repeats what stands where a password may be."""
    with pytest.raises(ConfigurationError, match=BAD[url]) as caught:
        RedisTokenStore.from_url(url, "crm")
    assert PASSWORD not in f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"


def refusal(url: str) -> ConfigurationError | None:
    """Return why no store can be made with a URL."""
    try:
        RedisTokenStore.from_url(url, "crm").close()
    except ConfigurationError as error:
        return error
    return None


pieces = st.one_of(
    st.sampled_from(["/", "?", "#", "@", ":", ",", "[", "]", "=", "&", "%", "%00", "svc", "0", "26379", "db=1", "::1"]),
    st.sampled_from(
        ["ssl_cert_reqs=none", "protocol=3", "socket_timeout=1", "ssl_min_version=x", "sentinel_password=a"]
    ),
    st.text(max_size=8),
)


@given(scheme=st.sampled_from([*SCHEMES, "http", ""]), rest=st.lists(pieces, max_size=8).map("".join))
@example(scheme="redis", rest="[::1")
@example(scheme="redis+cluster", rest="%ff")
def test_no_bad_url_gets_through(scheme: str, rest: str) -> None:
    """Any URL makes a store, which connects to nothing, or is a ConfigurationError; nothing else is raised."""
    refused = refusal(f"{scheme}://{rest}")
    assert refused is None or refused.option in ("url", "operation_timeout")


@given(password=st.text(alphabet="/?#@:&=%,[]é0", min_size=12, max_size=20), scheme=st.sampled_from(sorted(SCHEMES)))
def test_an_unquoted_password_is_not_repeated(password: str, scheme: str) -> None:
    """Whatever an unquoted password makes of a URL, no message holds any part of it."""
    said = str(refusal(f"{scheme}://user:hunter{password}two@host/svc"))
    assert "hunter" not in said
    assert "two" not in said
