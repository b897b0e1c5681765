"""A Sentinel set and a cluster that speak TLS and nothing else, Sentinels and the way between servers included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.crc import key_slot

from certificates import Authority
from contract.tokens import by_user, make_token, refreshed
from servers import Binary
from topologies import ClusterServers, SentinelServers, wait_until
from zoho_token_store import RedisTokenStore, StoreUnavailable

pytestmark = [
    pytest.mark.topology,
    # Python leaves a socket to its collector whose other end is reset between connecting and the TLS handshake.
    pytest.mark.filterwarnings("ignore:.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"),
]

Servers = SentinelServers | ClusterServers
MAKERS: dict[str, Callable[..., Servers]] = {"sentinel": SentinelServers, "cluster": ClusterServers}
PLAIN = "redis+"


@pytest.fixture(scope="module", params=MAKERS)
def servers(request: pytest.FixtureRequest, tls_binary: Binary, authority: Authority) -> Iterator[Servers]:
    """Give each set of servers, whole."""
    options = authority.server_options(authority.issue(f"set-{request.param}"))
    made = MAKERS[request.param](tls_binary, tls=options).start()
    yield made
    made.stop()


def url_of(servers: Servers, authority: Authority) -> str:
    """Return the set's URL, with TLS."""
    return servers.url().replace(PLAIN, "rediss+") + f"&ssl_ca_certs={authority.path}"


def work(store: RedisTokenStore, user: str) -> Any:
    """Save, find, refresh; return the token."""
    store.save_token(make_token(user, refresh=f"rt {user}", access="at"))
    store.save_token(refreshed(store.find_token(by_user(user)), "at2"))
    found = store.find_token(by_user(user))
    assert (found.get_refresh_token(), found.get_access_token()) == (f"rt {user}", "at2")
    return found


def test_work_goes_on_through_a_failover(servers: Servers, authority: Authority, namespace: str) -> None:
    """Saves that replicas acknowledge, the near cache, and a master that dies: all of it by TLS."""
    url = url_of(servers, authority)
    with RedisTokenStore.from_url(url, namespace, operation_timeout=20.0, near_cache=True, min_replicas=1) as store:
        ada = work(store, "ada")
        old = servers.home(namespace)
        old.kill()
        wait_until(lambda: servers.home(namespace) is not old, "another is the master")
        assert store.find_token_by_id(ada.get_id()).get_refresh_token() == "rt ada"
        servers.repair()
        work(store, "bob")
        wait_until(lambda: not list(store.audit())[-1].findings, "nothing is wrong")


def test_a_slot_moves(servers: Servers, authority: Authority, namespace: str) -> None:
    """From node to node, by TLS; behind Sentinels the master moves."""
    with RedisTokenStore.from_url(url_of(servers, authority), namespace, operation_timeout=20.0) as store:
        ada = work(store, "ada")
        old = servers.home(namespace)
        if isinstance(servers, ClusterServers):
            (target,) = [node for node in servers.masters() if node is not old][:1]
            servers.migrate(key_slot(namespace.encode()), target)
        else:
            servers.fail_over()
        wait_until(lambda: servers.home(namespace) is not old, "another has it")
        assert store.find_token_by_id(ada.get_id()).get_refresh_token() == "rt ada"


def test_of_an_unknown_authority(servers: Servers, namespace: str, tmp_path: Any) -> None:
    """A certificate that cannot be verified is refused at once, in words."""
    stranger = Authority(tmp_path, "stranger")
    with (
        RedisTokenStore.from_url(url_of(servers, stranger), namespace, operation_timeout=20.0) as store,
        pytest.raises(StoreUnavailable, match="certificate") as caught,
    ):
        store.ping()
    assert not caught.value.passing


def test_without_tls(servers: Servers, namespace: str) -> None:
    """A URL without TLS leads nowhere."""
    with (
        RedisTokenStore.from_url(servers.url(), namespace, operation_timeout=1.0) as store,
        pytest.raises(StoreUnavailable),
    ):
        store.ping()
