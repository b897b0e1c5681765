"""Ways to a store: URL, environment, a client of the caller's; and its end."""

from __future__ import annotations

import pytest
import redis

from contract.tokens import by_user, make_token
from servers import Backend
from zoho_token_store import ConfigurationError, CoordinatedTokenStore, RedisTokenStore, StoreUnavailable, TokenNotFound
from zoho_token_store.errors import StoreClosed
from zoho_token_store.keyspace import Keyspace

PASSWORD = "pa55word-in-a-url"


def work(store: RedisTokenStore) -> None:
    """Save, find, list, refresh and delete."""
    token = make_token("ada", refresh="rt-ü", access="at", left=5)
    store.save_token(token)
    assert store.find_token(by_user("ada")).get_refresh_token() == "rt-ü"
    store.invalidate_access_token(token.get_id())
    assert [stored.get_id() for stored in store.get_tokens()] == [token.get_id()]
    store.delete_token(token.get_id())
    store.ping()


class TestClients:
    """A client that the caller hands over lends its settings; what it does with replies is its own affair."""

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"decode_responses": True},
            {"decode_responses": False},
            {"encoding": "latin-1"},
            {"encoding": "ascii", "encoding_errors": "ignore", "decode_responses": True},
            {"socket_timeout": None},
            {"client_name": "app", "health_check_interval": 1},
        ],
        ids=str,
    )
    def test_the_callers_settings_do_not_matter(self, backend: Backend, namespace: str, options) -> None:
        """Decoding on or off, another encoding, other timeouts: the store works the same."""
        client = backend.client(**options)
        with RedisTokenStore(client, namespace) as store:
            work(store)
        client.close()

    def test_the_callers_client_goes_on_working(self, backend: Backend, namespace: str) -> None:
        """Using and closing the store leaves the caller's client as it was."""
        client = backend.client(decode_responses=True)
        mine = Keyspace(namespace).key("mine")
        client.set(mine, "ü")
        with RedisTokenStore(client, namespace) as store:
            work(store)
        assert client.get(mine) == "ü"
        client.close()

    def test_what_is_no_client_is_refused(self, namespace: str) -> None:
        """Anything but a synchronous client of one server is refused at construction."""
        for wrong in (None, "redis://localhost", object(), redis.asyncio.Redis()):
            with pytest.raises(ConfigurationError, match=r"redis\.Redis") as caught:
                RedisTokenStore(wrong, namespace)  # type: ignore[arg-type]
            assert caught.value.option == "client"


class TestUrls:
    """Stores made from a URL or from the environment."""

    def test_unix_socket(self, server: Backend, namespace: str) -> None:
        """A ``unix://`` URL, on each real server by both protocols."""
        assert server.url.startswith("unix://")
        with RedisTokenStore.from_url(server.url, namespace=namespace) as store:
            work(store)

    def test_tcp_with_a_password(self, start_server, namespace: str) -> None:
        """A ``redis://`` URL with a password and a database."""
        url = f"{start_server(tcp=True, password=PASSWORD).tcp_url}/1"
        with RedisTokenStore.from_url(url, namespace=namespace) as store:
            work(store)

    def test_from_env(self, real_server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """URL and namespace come from the environment, options from the call."""
        monkeypatch.setenv("ZOHO_TOKEN_STORE_URL", real_server.url)
        monkeypatch.setenv("ZOHO_TOKEN_STORE_NAMESPACE", namespace)
        with RedisTokenStore.from_env(tombstone_ttl=60) as store:
            work(store)
        with real_server.client(decode_responses=True) as client:
            tombs = list(client.scan_iter(f"zts:{{{namespace}}}:gone:*"))
            assert tombs
            assert all(0 < client.ttl(key) <= 60 for key in tombs)

    @pytest.mark.parametrize("missing", ["ZOHO_TOKEN_STORE_URL", "ZOHO_TOKEN_STORE_NAMESPACE"])
    def test_a_missing_variable_is_named(self, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        """Without one of the two, the error says which."""
        monkeypatch.setenv("ZOHO_TOKEN_STORE_URL", "redis://localhost")
        monkeypatch.setenv("ZOHO_TOKEN_STORE_NAMESPACE", "crm")
        monkeypatch.delenv(missing)
        with pytest.raises(ConfigurationError, match=missing):
            RedisTokenStore.from_env()

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "localhost:6379",
            f"http://:{PASSWORD}@localhost",
            f"redis://:{PASSWORD}@localhost:port/0",
            f"redis://:{PASSWORD}@localhost:99999/0",
            f"redis://:{PASSWORD}@[::1/0",
            f"redis://:{PASSWORD}@localhost/0?db=first",
            f"redis://:{PASSWORD}@localhost/0?socket_timeout=long",
            f"redis://:{PASSWORD}@localhost/0?colour=red",
            f"redis://:{PASSWORD}@localhost/0?ssl_cert_reqs=none",
            None,
            b"redis://localhost",
        ],
    )
    def test_a_bad_url_is_refused(self, url) -> None:
        """What cannot be used is refused at construction, without repeating the password."""
        with pytest.raises(ConfigurationError) as caught:
            RedisTokenStore.from_url(url, namespace="crm")
        assert caught.value.option == "url"
        assert PASSWORD not in str(caught.value)
        assert PASSWORD not in repr(caught.value.__cause__)

    def test_a_refused_password_is_not_repeated(self, start_server, namespace: str) -> None:
        """Wrong credentials are an error at once, with the server's reason and without the password."""
        server = start_server(tcp=True, password="another")
        url = server.tcp_url.replace("another", PASSWORD)
        with (
            RedisTokenStore.from_url(url, namespace=namespace, operation_timeout=30) as store,
            pytest.raises(StoreUnavailable) as caught,
        ):
            store.ping()
        chain = [caught.value, caught.value.cause, caught.value.__cause__]
        assert not any(PASSWORD in f"{error}{error!r}" for error in chain)
        assert isinstance(caught.value.cause, redis.AuthenticationError)

    def test_nobody_listens(self, tmp_path) -> None:
        """Without a server every call ends within its budget, with the last error as the cause."""
        url = f"unix://{tmp_path}/none"
        with RedisTokenStore.from_url(url, namespace="crm", operation_timeout=0.1) as store:
            for call in (store.ping, store.get_tokens, lambda: store.find_token_by_id("x")):
                with pytest.raises(StoreUnavailable) as caught:
                    call()
                assert isinstance(caught.value.cause, redis.ConnectionError)


class TestClosing:
    """After its end a store refuses to work."""

    def test_a_closed_store_says_so(self, store: CoordinatedTokenStore) -> None:
        """Every call on a closed store is an error of its own; closing again is none."""
        token = make_token("ada", refresh="rt", access="at")
        store.save_token(token)
        store.close()
        store.close()
        calls = (
            store.ping,
            store.get_tokens,
            store.delete_tokens,
            lambda: store.find_token(by_user("ada")),
            lambda: store.find_token_by_id(token.get_id()),
            lambda: store.get(token.get_id()),
            lambda: store.save_token(make_token("grace", refresh="rt2")),
            lambda: store.delete_token(token.get_id()),
            lambda: store.invalidate_access_token(token.get_id()),
        )
        for call in calls:
            with pytest.raises(StoreClosed):
                call()

    def test_a_context_manager_closes(self, store: CoordinatedTokenStore) -> None:
        """``with`` gives the store itself and closes it, also after an error, which it lets through."""
        with pytest.raises(TokenNotFound), store as same:
            same.find_token_by_id("nowhere")
        assert same is store
        with pytest.raises(StoreClosed):
            store.ping()

    def test_closing_a_store_that_did_nothing(self, backend: Backend, namespace: str) -> None:
        """A store that was never used connects to nothing, not even when it is closed."""
        RedisTokenStore(backend.client(), namespace).close()
        with RedisTokenStore.from_url("unix:///nowhere/at/all", namespace="crm"):
            pass
