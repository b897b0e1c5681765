"""Who a worker is to Redis: name and password, credentials that change, and what is said when they are refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis.credentials import CredentialProvider

from integration.desk import make_token
from integration.fleet import wait_until
from servers import Backend
from zoho_token_store import ConfigurationError, RedisTokenStore, StoreUnavailable, acl

NAME = "worker-of-the-crm"
PASSWORD = "pa55word-of-a-worker"
NEXT = "the-next-pa55word"
SECRETS = (PASSWORD, NEXT, "wrong-pa55word")
AT_ONCE = 5.0
"""How long an answer may take that waits for nothing, seconds; the budget of an operation is much longer here."""


class Vault(CredentialProvider):
    """Knows the password of the day."""

    def __init__(self, password: str = PASSWORD) -> None:
        self.password = password
        self.asked = 0
        self.failing = 0

    def get_credentials(self) -> tuple[str, str]:
        """Return name and password; fails as often as it was told to."""
        self.asked += 1
        if self.failing > 0:
            self.failing -= 1
            raise LookupError(f"no {self.password} today")
        return NAME, self.password


@pytest.fixture(autouse=True)
def worker(server: Backend, namespace: str, request: pytest.FixtureRequest) -> Any:
    """Let a worker in, on each server by both protocols."""
    admin = server.client()
    admin.execute_command("ACL", "SETUSER", NAME, *acl.worker(namespace), f">{PASSWORD}")
    yield
    server.client().execute_command("ACL", "DELUSER", NAME)


@pytest.fixture
def url_of(server: Backend) -> Callable[[str], str]:
    """Return the URL of the server with a name and a password."""

    def url_of(user: str) -> str:
        return server.url.replace("unix://", f"unix://{user}@")

    return url_of


def refusal(url: str, namespace: str) -> str:
    """Return what is said to a store that may not enter; without delay, for good, and without any password."""
    begun = time.monotonic()
    with (
        RedisTokenStore.from_url(url, namespace, operation_timeout=60) as store,
        pytest.raises(StoreUnavailable) as caught,
    ):
        store.get_tokens()
    assert time.monotonic() - begun < AT_ONCE
    assert not caught.value.passing
    chain = [caught.value, caught.value.cause, caught.value.__cause__]
    assert not [secret for secret in SECRETS if secret in f"{chain}{list(map(str, chain))}"]
    return str(caught.value)


class TestRefused:
    """What is wrong is said."""

    @pytest.mark.parametrize("user", [f"{NAME}:wrong-pa55word", f"nobody:{PASSWORD}"], ids=["password", "name"])
    def test_a_wrong_password_or_name(self, url_of: Callable[[str], str], namespace: str, user: str) -> None:
        """Redis makes no difference between them, so that nobody can try which names there are."""
        assert "Redis does not accept the user name or the password" in refusal(url_of(user), namespace)

    def test_no_password(self, server: Backend, namespace: str) -> None:
        """A server that wants one says so."""
        server.client().config_set("requirepass", PASSWORD)
        try:
            assert "Redis asks for a password" in refusal(server.url, namespace)
        finally:
            admin = redis.Redis.from_url(server.url, password=PASSWORD)
            admin.config_set("requirepass", "")
            admin.close()

    @pytest.mark.parametrize("lost", ["-evalsha", "-hmget", "-xadd"])
    def test_no_right(
        self,
        server: Backend,
        url_of: Callable[[str], str],
        namespace: str,
        lost: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A user who may not run a command, in a script either, is told where the rules are; a lost save is logged."""
        server.client().execute_command("ACL", "SETUSER", NAME, lost)
        with RedisTokenStore.from_url(url_of(f"{NAME}:{PASSWORD}"), namespace, operation_timeout=60) as store:
            begun = time.monotonic()
            with pytest.raises(StoreUnavailable, match="zoho-tokens acl") as caught:
                store.save_token(make_token(user="ada", refresh_token="rt"))
            assert time.monotonic() - begun < AT_ONCE
        assert not caught.value.passing
        assert PASSWORD not in str(caught.value)
        assert "1 saves are lost" in caplog.text

    def test_another_namespace(self, url_of: Callable[[str], str]) -> None:
        """A user who is let into one namespace gets nothing of another."""
        assert "zoho-tokens acl" in refusal(url_of(f"{NAME}:{PASSWORD}"), "another")


class TestProviders:
    """Credentials that a provider of the caller's gives to each new connection."""

    @pytest.fixture
    def vault(self) -> Vault:
        """Give a provider."""
        return Vault()

    @pytest.fixture
    def store(self, server: Backend, namespace: str, vault: Vault) -> Any:
        """Make a store of a client with the provider."""
        client = server.client(credential_provider=vault)
        with RedisTokenStore(client, namespace, near_cache=True, operation_timeout=1.0) as store:
            yield store

    def test_rotation(self, store: RedisTokenStore, server: Backend, vault: Vault) -> None:
        """A new password is taken up by the next connection; workers and their near caches notice nothing."""
        token = make_token(user="ada", refresh_token="rt", access_token="at")
        store.save_token(token)
        wait_until(lambda: store.find_token_by_id(token.get_id()) and store.stats()["near_hits"], "no hit")
        admin = server.client()
        admin.execute_command("ACL", "SETUSER", NAME, "resetpass", f">{NEXT}")
        vault.password, asked = NEXT, vault.asked
        admin.execute_command("CLIENT", "KILL", "USER", NAME)
        store.invalidate_access_token(token.get_id())
        assert store.get(token.get_id()).get_access_token() is None
        assert vault.asked > asked
        hits = store.stats()["near_hits"]
        store.save_token(make_token(id=token.get_id(), access_token="at2"))
        wait_until(lambda: store.find_token_by_id(token.get_id()) and store.stats()["near_hits"] > hits, "no hit")

    def test_old_credentials(self, store: RedisTokenStore, server: Backend, vault: Vault) -> None:
        """A provider that lags behind is refused for that operation; the next one asks it again."""
        server.client().execute_command("ACL", "SETUSER", NAME, "resetpass", f">{NEXT}")
        with pytest.raises(StoreUnavailable, match="does not accept") as caught:
            store.get_tokens()
        assert not [secret for secret in SECRETS if secret in f"{caught.value}{caught.value.cause!r}"]
        vault.password = NEXT
        assert store.get_tokens() == []

    def test_a_provider_that_fails_for_a_moment(self, store: RedisTokenStore, vault: Vault) -> None:
        """It is asked again within the budget, as a server would be."""
        vault.failing = 2
        assert store.get_tokens() == []
        assert store.stats()["retries"] == 2

    def test_a_provider_that_fails(self, store: RedisTokenStore, vault: Vault) -> None:
        """In the end the error names the kind of its error, and not its words, which may hold anything."""
        vault.failing = 10**6
        with pytest.raises(StoreUnavailable, match=r"credential provider has failed \(LookupError\)") as caught:
            store.get_tokens()
        assert caught.value.passing
        chain = [caught.value, caught.value.cause, caught.value.__cause__]
        assert PASSWORD not in f"{chain}{list(map(str, chain))}"
        vault.failing = 0
        assert store.get_tokens() == []


def test_what_is_no_provider() -> None:
    """It is refused when the store is made."""
    with pytest.raises(ConfigurationError, match="credential_provider"):
        RedisTokenStore(redis.Redis(credential_provider=object()), "crm")  # type: ignore[arg-type]
