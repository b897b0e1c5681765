"""TLS to a real Redis: what is verified, client certificates, and waiting; with certificates made here."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from certificates import Authority, Pair
from integration.desk import make_token
from integration.fleet import wait_until
from servers import Binary, Protocol, Server, client_for
from zoho_token_store import RedisTokenStore, StoreUnavailable, TokenDeleted, acl, events, feed, link, tls
from zoho_token_store.connection import Connections
from zoho_token_store.topology import topology_from_url

PASSWORD = "pa55word-in-a-url"
AT_ONCE = 5.0
"""How long an answer may take that waits for nothing, seconds; the budget of an operation is much longer here."""

by_protocol = pytest.mark.parametrize("protocol", [2, 3])


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make an authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def start_tls(
    start_server: Callable[..., Server], tls_binary: Binary, authority: Authority, namespace: str
) -> Callable[..., Server]:
    """Start servers with a certificate, whose worker may use the test's namespace."""

    def start(pair: Pair, *, asks: bool = False) -> Server:
        server = start_server(tls_binary, authority.server_options(pair, asks=asks), tls=True)
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "worker", *acl.worker(namespace), f">{PASSWORD}")
        return server

    return start


@pytest.fixture
def server(start_tls: Callable[..., Server], authority: Authority) -> Server:
    """Start a server with a good certificate."""
    return start_tls(authority.issue("server"))


def url_of(server: Server, protocol: Protocol = 2, host: str = "127.0.0.1", **options: object) -> str:
    """Return the URL of the worker on a server, with more options in the query."""
    query = "&".join(f"{name}={value}" for name, value in {"protocol": protocol, **options}.items())
    return f"rediss://worker:{PASSWORD}@{host}:{server.port}/0?{query}"


def connections(url: str) -> Connections:
    """Return connections as a store makes them for a URL."""
    return Connections(topology_from_url(url)[0].route("key"), 10.0)


def work(store: RedisTokenStore) -> None:
    """Save, find, list, invalidate, delete."""
    token = make_token(user="ada", client_id="c", client_secret="s", refresh_token="rt", access_token="at")
    store.save_token(token)
    assert store.find_token(make_token(user="ada")).get_refresh_token() == "rt"
    store.invalidate_access_token(token.get_id())
    assert [stored.get_id() for stored in store.get_tokens()] == [token.get_id()]
    store.delete_token(token.get_id())


def refusal(url: str, namespace: str) -> StoreUnavailable:
    """Return why a store cannot be used; it says so without delay, for good, and without the password."""
    begun = time.monotonic()
    with RedisTokenStore.from_url(url, namespace, operation_timeout=60) as store:
        with pytest.raises(StoreUnavailable) as caught:
            store.get_tokens()
        assert time.monotonic() - begun < AT_ONCE
        assert store.stats()["unavailable"] == 0
        assert store.stats()["retries"] <= 1
    assert not caught.value.passing
    errors: list[BaseException | None] = [caught.value, caught.value.cause, caught.value.__cause__]
    assert not any(PASSWORD in f"{error}{error!r}" for error in errors)
    return caught.value


class TestServersCertificate:
    """It is verified, and so is the name in it, unless the caller wishes otherwise."""

    @by_protocol
    def test_accepted(self, server: Server, authority: Authority, namespace: str, protocol: Protocol) -> None:
        """With the authority known and the name right, the worker's user gets in by its password and does its work."""
        with RedisTokenStore.from_url(url_of(server, protocol, ssl_ca_certs=authority.path), namespace) as store:
            work(store)

    @by_protocol
    def test_a_client_of_the_callers(
        self, server: Server, authority: Authority, namespace: str, protocol: Protocol
    ) -> None:
        """Its settings are taken over: TLS, user name and password, protocol."""
        settings: dict[str, Any] = {"ssl": True, "ssl_check_hostname": True, "ssl_ca_certs": authority.path}
        user = {"username": "worker", "password": PASSWORD}
        client = redis.Redis("127.0.0.1", server.port, protocol=protocol, **settings, **user)
        with RedisTokenStore(client, namespace) as store:
            work(store)
        client.close()

    @by_protocol
    def test_of_an_unknown_authority(self, server: Server, namespace: str, protocol: Protocol) -> None:
        """Nothing needs to be switched on for it to be refused."""
        error = refusal(url_of(server, protocol), namespace)
        assert "certificate of the Redis server is not accepted" in str(error)
        assert "certificate verify failed: " in str(error)

    @by_protocol
    def test_for_another_name(
        self, start_tls: Callable[..., Server], authority: Authority, namespace: str, protocol: Protocol
    ) -> None:
        """A certificate of the right authority is not enough: any server of the house has one."""
        server = start_tls(authority.issue("elsewhere", "redis.example.com"))
        error = refusal(url_of(server, protocol, ssl_ca_certs=authority.path), namespace)
        assert "certificate is not valid for '127.0.0.1'" in str(error)

    @by_protocol
    def test_expired(
        self, start_tls: Callable[..., Server], authority: Authority, namespace: str, protocol: Protocol
    ) -> None:
        """The error says so."""
        server = start_tls(authority.issue("expired", days=-1))
        error = refusal(url_of(server, protocol, ssl_ca_certs=authority.path), namespace)
        assert "certificate has expired" in str(error)

    def test_renewed_while_saves_wait(
        self, start_tls: Callable[..., Server], authority: Authority, namespace: str
    ) -> None:
        """A save that meets an expired certificate is kept, and stored as soon as the server has another one."""
        server, expired, good = start_tls(authority.issue("first")), *certificates(authority)
        with RedisTokenStore.from_url(url_of(server, ssl_ca_certs=authority.path), namespace) as store:
            work(store)
            renew(server, expired)
            with pytest.raises(StoreUnavailable, match="expired"):
                store.save_token(token := make_token(user="ada", refresh_token="rt"))
            renew(server, good)
            wait_until(lambda: stored(store, token.get_id()), "the save was not stored")


def certificates(authority: Authority) -> tuple[Pair, Pair]:
    """Return one that has expired, and a good one."""
    return authority.issue("second", days=-1), authority.issue("third")


def renew(server: Server, pair: Pair) -> None:
    """Give a running server another certificate, and end the connections that were made with the old one."""
    with server.client() as admin:
        admin.execute_command("CONFIG", "SET", "tls-cert-file", pair.certificate, "tls-key-file", pair.key)
        admin.client_kill_filter(_type="normal", skipme=True)


def stored(store: RedisTokenStore, record_id: str) -> bool:
    """Tell whether Redis has a record, by a look that stores no kept save itself."""
    return record_id in [token.get_id() for token in store.get_tokens()]


class TestLessThanVerified:
    """The caller's own choice, which works, and is not passed over in silence."""

    @pytest.fixture(autouse=True)
    def nothing_was_said_yet(self) -> Iterator[None]:
        """Forget what this process has warned of."""
        tls._warn.cache_clear()
        yield
        tls._warn.cache_clear()

    @by_protocol
    @pytest.mark.parametrize(
        ("option", "warning"),
        [({"ssl_cert_reqs": "none"}, "is not verified"), ({"ssl_check_hostname": "false"}, "name in the certificate")],
        ids=["ssl_cert_reqs=none", "ssl_check_hostname=false"],
    )
    def test_as_wished(
        self,
        start_tls: Callable[..., Server],
        authority: Authority,
        namespace: str,
        protocol: Protocol,
        option: dict[str, str],
        warning: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A certificate for another name will do; one warning is logged, for any number of stores and connections."""
        server = start_tls(authority.issue("other-name", "redis.example.com"))
        url = url_of(server, protocol, ssl_ca_certs=authority.path, **option)
        for _ in range(2):
            with RedisTokenStore.from_url(url, namespace, near_cache=True) as store:
                work(store)
        [said] = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert warning in said.message

    def test_nothing_is_said_of_what_is_verified(
        self, server: Server, authority: Authority, namespace: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A store that verifies logs nothing."""
        with RedisTokenStore.from_url(url_of(server, ssl_ca_certs=authority.path), namespace) as store:
            work(store)
        assert caplog.records == []


class TestClientsCertificate:
    """What a server asks for that does not let everybody in."""

    @pytest.fixture
    def server(self, start_tls: Callable[..., Server], authority: Authority) -> Server:
        """Start a server that asks."""
        return start_tls(authority.issue("asking"), asks=True)

    @by_protocol
    @pytest.mark.parametrize("password", [None, "key-pa55word"])
    def test_accepted(
        self, server: Server, authority: Authority, namespace: str, protocol: Protocol, password: str | None
    ) -> None:
        """With one of the right authority the store works; its key may be encrypted."""
        pair = authority.issue("client", password=password)
        files = {"ssl_ca_certs": authority.path, "ssl_certfile": pair.certificate, "ssl_keyfile": pair.key}
        options = files | ({"ssl_password": password} if password else {})
        with RedisTokenStore.from_url(url_of(server, protocol, **options), namespace) as store:
            work(store)

    @by_protocol
    def test_missing(self, server: Server, authority: Authority, namespace: str, protocol: Protocol) -> None:
        """The error says what the server wants, though its answer is often lost on the way."""
        error = refusal(url_of(server, protocol, ssl_ca_certs=authority.path), namespace)
        assert "the Redis server asks for a client certificate" in str(error)

    @by_protocol
    def test_of_an_unknown_authority(
        self, server: Server, authority: Authority, stranger: Authority, namespace: str, protocol: Protocol
    ) -> None:
        """The error says that the certificate is not accepted."""
        pair = stranger.issue("client")
        files = {"ssl_ca_certs": authority.path, "ssl_certfile": pair.certificate, "ssl_keyfile": pair.key}
        error = refusal(url_of(server, protocol, **files), namespace)
        assert "the Redis server does not accept the client certificate" in str(error)

    def test_what_was_lost_is_asked_for(self, server: Server, authority: Authority) -> None:
        """A connection that was cut off is explained by the server's objection; any other error stays what it is."""
        pair = authority.issue("client")
        cut_off = redis.ConnectionError("Error 8 while writing to socket. EOF occurred in violation of protocol.")
        refused = redis.ConnectionError("Error 111 connecting to 127.0.0.1. Connection refused.")
        without = connections(url_of(server, ssl_ca_certs=authority.path))
        assert "CERTIFICATE_REQUIRED" in str(without.explain(cut_off, 10.0))
        assert without.explain(cut_off, 0.0) is cut_off  # there is no time to ask
        assert without.explain(refused, 10.0) is refused
        files = {"ssl_certfile": pair.certificate, "ssl_keyfile": pair.key}
        url = url_of(server, ssl_ca_certs=authority.path, **files)
        assert connections(url).explain(cut_off, 10.0) is cut_off

    def test_renewed(self, server: Server, authority: Authority, namespace: str, tmp_path: Path) -> None:
        """The files are read for each new connection: a certificate that was renewed needs no new store."""
        files = Pair(str(tmp_path / "client.crt"), str(tmp_path / "client.key"))
        settings = {"ssl_ca_certs": authority.path, "ssl_certfile": files.certificate, "ssl_keyfile": files.key}
        put(authority.issue("expired", days=-1), files)
        with RedisTokenStore.from_url(url_of(server, **settings), namespace) as store:
            with pytest.raises(StoreUnavailable, match="does not accept the client certificate"):
                store.get_tokens()
            put(authority.issue("renewed"), files)
            work(store)


def put(pair: Pair, where: Pair) -> None:
    """Put certificate and key in the place of others."""
    for source, target in zip(pair, where, strict=True):
        shutil.copy(source, target)


def deleted(store: RedisTokenStore, record_id: str) -> bool:
    """Tell whether a store knows that a record was deleted."""
    try:
        store.find_token_by_id(record_id)
    except TokenDeleted:
        return True
    return False


class TestWaiting:
    """What blocks does so over TLS too."""

    @pytest.fixture(autouse=True)
    def long_reads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let reads block for a minute: who is not woken waits that long."""
        for module in (link, feed, events):
            monkeypatch.setattr(module, "BLOCK_MS", 60_000)
        monkeypatch.setattr(link, "LINE_TIMEOUT", 61.0)

    @by_protocol
    def test_for_a_refresh(self, server: Server, authority: Authority, namespace: str, protocol: Protocol) -> None:
        """One who waits for another's refresh is woken by its save."""
        url = url_of(server, protocol, ssl_ca_certs=authority.path)
        with (
            RedisTokenStore.from_url(url, namespace, lease_ttl=60.0, wait_timeout=120.0) as one,
            RedisTokenStore.from_url(url, namespace, lease_ttl=60.0, wait_timeout=120.0) as other,
            ThreadPoolExecutor(1) as pool,
        ):
            one.save_token(make_token(user="ada", refresh_token="rt"))
            winner = one.find_token(make_token(user="ada"))
            assert winner.get_access_token() is None
            waiting = pool.submit(other.find_token, make_token(user="ada"))
            with server.client() as admin:
                wait_until(lambda: admin.info("clients")["blocked_clients"] == 1, "nobody waits")
            begun = time.monotonic()
            winner.set_access_token("at")
            winner.set_expires_in(str(int((time.time() + 3600) * 1000)))
            one.save_token(winner)
            assert waiting.result(40).get_access_token() == "at"
            assert time.monotonic() - begun < 30  # not only when its read was over

    @by_protocol
    def test_for_events(self, server: Server, authority: Authority, namespace: str, protocol: Protocol) -> None:
        """The near cache follows the events, and its thread ends as soon as the store is closed."""
        url = url_of(server, protocol, ssl_ca_certs=authority.path)
        near = RedisTokenStore.from_url(url, namespace, near_cache=True)
        with near, RedisTokenStore.from_url(url, namespace) as other:
            token = make_token(user="ada", refresh_token="rt", access_token="at")
            other.save_token(token)
            wait_until(lambda: near.find_token_by_id(token.get_id()) and near.stats()["near_hits"], "no hit")
            other.delete_token(token.get_id())
            wait_until(lambda: deleted(near, token.get_id()), "the event was not seen")
            [thread] = [each for each in threading.enumerate() if each.name == "zoho-token-store-events"]
            time.sleep(0.05)  # until it is blocked
            near.close()
            thread.join(30)
            assert not thread.is_alive()

    def test_for_a_silent_server(self, server: Server, authority: Authority, namespace: str) -> None:
        """A handshake that is not answered ends with the budget."""
        url = url_of(server, ssl_ca_certs=authority.path)
        with RedisTokenStore.from_url(url, namespace, operation_timeout=0.4) as store, server.paused():
            begun = time.monotonic()
            with pytest.raises(StoreUnavailable) as caught:
                store.get_tokens()
            assert caught.value.passing
            assert time.monotonic() - begun < 20

    def test_for_a_server_that_comes_back(self, server: Server, authority: Authority, namespace: str) -> None:
        """A lost connection is replaced by a new one, as without TLS."""
        with RedisTokenStore.from_url(url_of(server, ssl_ca_certs=authority.path), namespace) as store:
            work(store)
            with server.client() as admin:
                admin.client_kill_filter(_type="normal", skipme=True)
            work(store)


def test_a_port_without_tls(authority: Authority, start_server: Callable[..., Server]) -> None:
    """A server that does not speak TLS is an outage, since it might be one; the call ends with its budget."""
    plain = start_server(tcp=True)
    url = url_of(plain, ssl_ca_certs=authority.path)
    with RedisTokenStore.from_url(url, "crm", operation_timeout=0.4) as store, pytest.raises(StoreUnavailable):
        store.ping()


def test_the_tls_port_without_tls(server: Server) -> None:
    """A TLS port lets nobody in who does not encrypt."""
    with pytest.raises(redis.ConnectionError):
        client_for(f"redis://127.0.0.1:{server.port}").ping()
