"""The worked example of envelope encryption: what the document shows is run, with a key service that can be away."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken

from contract.tokens import contents, make_token, refreshed
from servers import Server
from zoho_token_store import Cipher, DecryptionFailed, RedisTokenStore, StoreUnavailable

DOCUMENT = Path(__file__).parents[2] / "docs" / "envelope.md"


class Service:
    """A key service; it counts what it is asked, and may be away."""

    def __init__(self) -> None:
        self._keys = {"one": Fernet(Fernet.generate_key()), "two": Fernet(Fernet.generate_key())}
        self.asked = 0
        self.away = False

    def generate_data_key(self, key_id: str) -> tuple[bytes, bytes]:
        """Return a data key and its wrapped form."""
        self._ask()
        key = Fernet.generate_key()[:32]
        return key, f"{key_id} ".encode() + self._keys[key_id].encrypt(key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return a data key."""
        self._ask()
        key_id, token = wrapped.decode().split(" ")
        try:
            return self._keys[key_id].decrypt(token.encode())
        except InvalidToken:
            raise ValueError("was not wrapped here") from None

    def disable(self, key_id: str) -> None:
        """Take a key away."""
        del self._keys[key_id]

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise ConnectionError("the key service is away")


@pytest.fixture(scope="module")
def envelope_cipher() -> Any:
    """Return the class of the document."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCUMENT), "exec"), names)  # noqa: S102 - it is ours
    return names["EnvelopeCipher"]


@pytest.fixture
def service() -> Service:
    """Return a key service."""
    return Service()


@pytest.fixture
def make_store(
    real_server: Server, namespace: str, service: Service, envelope_cipher: Any
) -> Iterator[Callable[..., RedisTokenStore]]:
    """Make stores, each with a cipher of its own, as in processes of their own."""
    with ExitStack() as stack:

        def make(key_id: str = "one", *, uses: int = 1000, **options: Any) -> RedisTokenStore:
            cipher = envelope_cipher(service, key_id, uses)
            assert isinstance(cipher, Cipher)
            return stack.enter_context(RedisTokenStore(real_server.client(3), namespace, cipher=cipher, **options))

        yield make


def ada() -> Any:
    return make_token("ada", refresh="rt", grant="gt", access="at")


def test_one_call_serves_for_many_records(make_store, service: Service) -> None:
    """A process asks once to write, and once for each other process whose records it reads."""
    writer, reader = make_store(), make_store()
    for number in range(20):
        token = make_token(f"user{number}", refresh=f"rt{number}", access=f"at{number}")
        writer.save_token(token)
        assert contents(reader.find_token_by_id(token.get_id())) == contents(token)
    assert service.asked == 3  # one data key of each, and one that the reader has had unwrapped


def test_a_data_key_is_used_up(make_store, service: Service) -> None:
    """After its uses there is another; what the old ones sealed can be read on."""
    store = make_store(uses=10)
    tokens = [make_token(f"user{number}", refresh=f"rt{number}") for number in range(10)]
    for token in tokens:
        store.save_token(token)
    assert service.asked >= 3
    assert [store.get(token.get_id()).get_refresh_token() for token in tokens] == [f"rt{n}" for n in range(10)]


def test_while_the_service_is_away_nobody_notices(make_store, service: Service) -> None:
    """As long as the data keys are known: look-ups and saves go on."""
    store, token = make_store(), ada()
    store.save_token(token)
    service.away = True
    store.save_token(refreshed(token, "at2"))
    assert store.find_token_by_id(token.get_id()).get_access_token() == "at2"


def test_a_process_that_needs_it_waits_as_for_redis(make_store, service: Service) -> None:
    """A new process cannot read, and its save is kept until the service is back."""
    token = ada()
    make_store().save_token(token)
    service.away = True
    fresh = make_store()
    with pytest.raises(StoreUnavailable, match="ConnectionError"):
        fresh.find_token_by_id(token.get_id())
    new = make_token("grace", refresh="rt-new")
    with pytest.raises(StoreUnavailable):
        fresh.save_token(new)
    service.away = False
    deadline = time.monotonic() + 10
    while new.get_id() is None or make_store().get(new.get_id()) is None:
        assert time.monotonic() < deadline, "the kept save is not stored"
        time.sleep(0.02)
    assert fresh.find_token_by_id(token.get_id()).get_refresh_token() == "rt"


def test_the_near_cache_goes_on(make_store, service: Service) -> None:
    """Tokens that the process has are handed out without the service."""
    token = ada()
    make_store().save_token(token)
    store = make_store(near_cache=True)
    deadline = time.monotonic() + 10
    while not store.stats()["near_hits"]:
        assert time.monotonic() < deadline
        store.find_token_by_id(token.get_id())
        time.sleep(0.01)
    service.away = True
    assert store.find_token_by_id(token.get_id()).get_access_token() == "at"


def test_the_services_key_changes(make_store, service: Service) -> None:
    """Records are moved to the new key; when the old one is gone they can still be read, and others name their key."""
    moved, left = ada(), make_token("grace", refresh="rt-left")
    make_store("one").save_token(moved)
    *_, done = make_store("two").rotate_keys()
    assert (done.moved, done.failed) == (1, ())
    make_store("one").save_token(left)
    service.disable("one")
    assert make_store("two").find_token_by_id(moved.get_id()).get_refresh_token() == "rt"
    with pytest.raises(DecryptionFailed) as caught:
        make_store("two").get(left.get_id())
    assert caught.value.key_id == "one"


def test_what_was_changed_does_not_open(envelope_cipher: Any, service: Service) -> None:
    """Neither the field nor the data key beside it, nor in another context."""
    cipher = envelope_cipher(service, "one")
    sealed = cipher.encrypt(b"token", b"context")
    key_id, wrapped, payload = sealed.split(".")
    for changed, context in (
        (sealed, b"another"),
        (f"{key_id}.{wrapped}.{payload[:-8]}AAAAAAA=", b"context"),
        (f"{key_id}.{wrapped[:-8]}AAAAAAA=.{payload}", b"context"),
        ("junk", b"context"),
    ):
        with pytest.raises(ValueError, match=r"."):
            cipher.decrypt(changed, context)
    assert cipher.decrypt(sealed, b"context") == b"token"
