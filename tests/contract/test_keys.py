"""Keys that change while workers run: each step beside the one before it, nothing lost, no code spent twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest

from contract.tokens import OTHER_CLIENT, by_access, by_user, contents, make_token, refreshed
from servers import Server
from zoho_token_store import (
    AesGcmCipher,
    AmbiguousToken,
    ConfigurationError,
    DecryptionFailed,
    RedisTokenStore,
    TokenDeleted,
    TokenNotFound,
    UnsupportedSchema,
)
from zoho_token_store.codec import MARK
from zoho_token_store.keyring import new_key, read_key
from zoho_token_store.keyspace import Keyspace, pointer
from zoho_token_store.record import TokenRecord
from zoho_token_store.redis_repository import RedisRepository

OLD, NEW = new_key(), new_key()
NAMES = {"plain": "plain", OLD: "old", NEW: "new"}
POINTER_STEPS = [["plain"], ["plain", OLD], [OLD, "plain"], [OLD], [OLD, NEW], [NEW, OLD], [NEW]]
"""From digests without a key to one key and on to the next; two neighbours may run side by side."""
NEIGHBOURS = [*pairwise(POINTER_STEPS), *pairwise(POINTER_STEPS[::-1])]

Make = Callable[..., RedisTokenStore]


@pytest.fixture
def make(real_server: Server, namespace: str) -> Iterator[Make]:
    """Make stores in the test's namespace; each stands for a process of its own, with its own keys."""
    with ExitStack() as stack:

        def make(*keys: str, **options: Any) -> RedisTokenStore:
            if keys:
                options["cipher"] = AesGcmCipher(keys)
            return stack.enter_context(RedisTokenStore(real_server.client(3), namespace, **options))

        yield make


@pytest.fixture
def raw(real_server: Server) -> Iterator[Any]:
    """Return a client that looks underneath."""
    with real_server.client(3, decode_responses=True) as client:
        yield client


def full(number: int = 0) -> Any:
    return make_token(f"user{number}", refresh=f"rt{number}", grant=f"gt{number}", access=f"at{number}")


def ways(number: int = 0) -> dict[str, Any]:
    """Return every selector of such a token."""
    return {
        "user": by_user(f"user{number}"),
        "refresh": make_token(refresh=f"rt{number}"),
        "grant": make_token(grant=f"gt{number}"),
        "access": by_access(f"at{number}"),
    }


def rotate(store: RedisTokenStore) -> Any:
    *_, last = store.rotate_keys()
    return last


class TestEncryptionKeys:
    """One key follows another: first all can open with it, then all seal with it, then the old one goes."""

    def test_each_step_beside_the_one_before(self, make: Make) -> None:
        """Workers of two steps read what either writes."""
        steps = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]]
        for number, (one, other) in enumerate(pairwise(steps)):
            before, after = make(*one), make(*other)
            for writer, reader, n in ((before, after, 2 * number), (after, before, 2 * number + 1)):
                token = full(n)
                writer.save_token(token)
                assert contents(reader.find_token_by_id(token.get_id())) == contents(token)
            assert rotate(after).failed == ()

    def test_a_record_moves_when_it_is_saved(self, make: Make, raw: Any, namespace: str) -> None:
        """An ordinary refresh is enough: afterwards the new key alone opens it."""
        token = full()
        make(OLD).save_token(token)
        store = make(NEW, OLD)
        store.save_token(refreshed(store.find_token_by_id(token.get_id()), "at-new"))
        assert make(NEW).find_token_by_id(token.get_id()).get_access_token() == "at-new"
        assert read_key(OLD, "").id not in str(raw.hgetall(Keyspace(namespace).token(token.get_id())))

    def test_the_rest_is_moved_by_rotation(self, make: Make) -> None:
        """In batches, with its progress, and begun again it finds nothing to do."""
        tokens = [full(n) for n in range(25)]
        for token in tokens:
            make(OLD).save_token(token)
        store = make(NEW, OLD)
        assert [(step.total, step.seen, step.moved) for step in store.rotate_keys(batch=10)] == [
            (25, 0, 0),
            (25, 10, 10),
            (25, 20, 20),
            (25, 25, 25),
        ]
        assert (rotate(store).seen, rotate(store).moved) == (25, 0)
        for token in tokens:
            assert contents(make(NEW).get(token.get_id())) == contents(token)

    def test_it_goes_on_where_it_was_stopped(self, make: Make) -> None:
        """What was moved before is only looked at."""
        for n in range(20):
            make(OLD).save_token(full(n))
        store = make(NEW, OLD)
        steps = store.rotate_keys(batch=5)
        for _ in range(3):
            next(steps)
        del steps
        assert rotate(store).moved == 10

    def test_nothing_else_changes(self, make: Make, raw: Any, namespace: str) -> None:
        """Same revision, same lives, no event: whoever works with a record goes on, and no cache is emptied."""
        token = full()
        make(OLD).save_token(token)
        keys = Keyspace(namespace)
        worker = make(NEW, OLD)
        held = worker.find_token_by_id(token.get_id())
        rev, events = raw.hget(keys.token(token.get_id()), "rev"), raw.xlen(keys.events)
        lives = {key: raw.pttl(key) for key in raw.keys(keys.key("*"))}
        assert rotate(make(NEW, OLD)).moved == 1
        assert (raw.hget(keys.token(token.get_id()), "rev"), raw.xlen(keys.events)) == (rev, events)
        assert {key: raw.pttl(key) for key in raw.keys(keys.key("*"))} == pytest.approx(lives, abs=5000)
        worker.save_token(refreshed(held, "at-next"))
        assert worker.stats()["conflicts"] == 0
        assert make(NEW).find_token_by_id(token.get_id()).get_access_token() == "at-next"

    def test_what_cannot_be_opened_is_left_and_named(self, make: Make, raw: Any, namespace: str) -> None:
        """The others are moved all the same."""
        lost, kept = full(1), full(2)
        make(new_key()).save_token(lost)
        make(OLD).save_token(kept)
        before = raw.hgetall(Keyspace(namespace).token(lost.get_id()))
        done = rotate(make(NEW, OLD))
        assert (done.failed, done.moved) == ((lost.get_id(),), 1)
        assert raw.hgetall(Keyspace(namespace).token(lost.get_id())) == before

    def test_what_can_be_opened_no_more_when_its_turn_comes_is_left_too(
        self, make: Make, raw: Any, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Something else has written it after its page was read."""
        lost, kept = full(1), full(2)
        for token in (lost, kept):
            make(OLD).save_token(token)
        keys, rewrite = Keyspace(namespace), RedisRepository.rewrite

        def after_another(repository: RedisRepository, record: TokenRecord) -> bool:
            raw.hset(keys.token(lost.get_id()), mapping=raw.hgetall(keys.token(kept.get_id())))
            return rewrite(repository, record)

        monkeypatch.setattr(RedisRepository, "rewrite", after_another)
        done = rotate(make(NEW, OLD))
        assert (done.failed, done.seen, done.moved) == ((lost.get_id(),), 1, 1)

    @pytest.mark.parametrize("identity", [True, False])
    def test_the_identity_is_hidden_or_shown_from_the_next_rotation_on(self, make: Make, identity: bool) -> None:
        """The option may change like a key."""
        token = full()
        make(OLD, encrypt_identity=not identity).save_token(token)
        assert rotate(make(OLD, encrypt_identity=identity)).moved == 1
        assert rotate(make(OLD, encrypt_identity=identity)).moved == 0
        for selector in ways().values():
            found = make(OLD, encrypt_identity=not identity).find_token(selector)
            assert contents(found) == contents(token)


class TestMissingKey:
    """A worker without the key that a record is sealed with."""

    @pytest.mark.parametrize("keys", [(NEW,), ()], ids=["another key", "no key"])
    def test_it_is_told_which_and_changes_nothing(
        self, make: Make, raw: Any, namespace: str, keys: tuple[str, ...]
    ) -> None:
        """In every method; and no ciphertext passes for a token."""
        token = full()
        make(OLD).save_token(token)
        keyspace = Keyspace(namespace)
        record = raw.hgetall(keyspace.token(token.get_id()))
        store, id = make(*keys), token.get_id()
        for attempt in (
            lambda: store.find_token_by_id(id),
            lambda: store.find_token(by_user("user0")),
            lambda: store.find_token(make_token(refresh="rt0")),
            lambda: store.get(id),
            lambda: store.get_tokens(),
            lambda: store.save_token(make_token("user0", refresh="rt-new", access="at-new")),
            lambda: store.delete_token(id),
            lambda: store.invalidate_access_token(id),
        ):
            with pytest.raises(DecryptionFailed) as caught:
                attempt()
            assert (caught.value.record_id, caught.value.key_id) == (id, read_key(OLD, "").id)
        assert raw.hgetall(keyspace.token(id)) == record
        assert make(OLD).find_token_by_id(id).get_refresh_token() == "rt0"


class TestInTheClear:
    """A store that has been in the clear gets keys."""

    def test_it_is_refused_unless_that_is_asked_for(self, make: Make) -> None:
        """Else whoever can write to Redis could plant a token."""
        token = full()
        make().save_token(token)
        with pytest.raises(DecryptionFailed, match="clear") as caught:
            make(NEW).find_token_by_id(token.get_id())
        assert (caught.value.record_id, caught.value.key_id) == (token.get_id(), None)

    @pytest.mark.parametrize("way", ["id", "look", *ways()])
    def test_it_is_sealed_on_sight(self, make: Make, raw: Any, namespace: str, way: str) -> None:
        """One look-up, by whatever: the caller gets its token, and nothing is left in the clear."""
        token = full()
        make().save_token(token)
        store, id = make(NEW, migrate_plaintext=True), token.get_id()
        looks = {"id": lambda: store.find_token_by_id(id), "look": lambda: store.get(id)}
        found = looks[way]() if way in looks else store.find_token(ways()[way])
        assert contents(found) == contents(token)
        keys = Keyspace(namespace)
        lying = f"{raw.hgetall(keys.token(id))} {raw.get(keys.access(id))}"
        assert not any(secret in lying for secret in ("rt0", "gt0", "at0", "made-up-secret"))
        assert contents(make(NEW).find_token_by_id(id)) == contents(token)

    def test_two_see_it_at_once(self, make: Make) -> None:
        """Both seal it; what they write says the same."""
        token = full()
        make().save_token(token)
        stores = [make(NEW, migrate_plaintext=True) for _ in range(2)]
        for store in (*stores, make(NEW)):
            assert contents(store.find_token_by_id(token.get_id())) == contents(token)

    def test_a_release_without_keys_refuses_what_is_sealed(
        self, make: Make, raw: Any, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It must not hand a ciphertext out as a token; it says that it is too old, and leases nothing."""
        token = full()
        make(NEW).save_token(token)
        store = make()
        monkeypatch.setattr("zoho_token_store.redis_repository.SCHEMA", 1)  # what it passes as the newest that it knows
        with pytest.raises(UnsupportedSchema):
            store.find_token_by_id(token.get_id())
        assert raw.exists(Keyspace(namespace).lease(token.get_id())) == 0

    def test_a_lease_that_it_gave_is_used_by_the_next(self, make: Make) -> None:
        """A refresh that began in the clear goes on, and what it brings is sealed as soon as it is seen."""
        token = make_token("user0", refresh="rt0", access="at0", left=1)
        make().save_token(token)
        old, new = make(), make(NEW, migrate_plaintext=True)
        leased = old.find_token_by_id(token.get_id())
        assert leased.get_access_token() is None
        assert new.get(token.get_id()).get_refresh_token() == "rt0"  # and so it is sealed meanwhile
        old.save_token(refreshed(leased, "at1"))
        with pytest.raises(DecryptionFailed, match="access token is in the clear"):
            make(NEW).find_token_by_id(token.get_id())
        assert new.find_token_by_id(token.get_id()).get_access_token() == "at1"
        assert make(NEW).find_token_by_id(token.get_id()).get_access_token() == "at1"


class TestPointerKeys:
    """Digests in key names, under keys that change."""

    def test_no_digest_without_the_key(self, make: Make, raw: Any, namespace: str) -> None:
        """What a guess would be looked for under is not there; the keyed names are 128 bits like the plain ones."""
        make(pointer_keys=[NEW]).save_token(full())
        keys = Keyspace(namespace)
        kinds = {"user": "user0", "refresh": "rt0", "grant": "gt0", "access-token": "at0"}
        plain = {keys.key(pointer(kind, value)) for kind, value in kinds.items()}
        pointers = {key for key in raw.keys(keys.key("*")) if key.removeprefix(keys.key("")).partition(":")[0] in kinds}
        assert len(pointers) == len(plain)
        assert not pointers & plain
        assert {len(key) for key in pointers} == {len(key) for key in plain}

    @pytest.mark.parametrize(("one", "other"), NEIGHBOURS, ids=lambda keys: "+".join(map(NAMES.get, keys)))
    def test_two_steps_side_by_side_find_what_either_writes(self, make: Make, one: list[str], other: list[str]) -> None:
        """Made, renamed, refreshed, merged or deleted by one, it is so for the other, by every selector."""
        first, second = make(pointer_keys=one), make(pointer_keys=other)
        token = full()
        first.save_token(token)
        rotate(first)
        for selector in ways().values():
            assert second.find_token(selector).get_id() == token.get_id()
        second.save_token(refreshed(second.find_token_by_id(token.get_id()), "at-next", refresh="rt-next"))
        for selector in (make_token(refresh="rt-next"), make_token(refresh="rt0"), by_access("at-next")):
            assert first.find_token(selector).get_id() == token.get_id()
        assert first.find_token(by_access("at0")) is None
        other_client = make_token("user0", client_id=OTHER_CLIENT, refresh="rt-two")
        second.save_token(other_client)
        with pytest.raises(AmbiguousToken):
            first.find_token(by_user("user0"))
        first.delete_token(other_client.get_id())
        assert second.find_token(by_user("user0")).get_id() == token.get_id()
        second.delete_token(token.get_id())
        assert first.find_token(by_user("user0")) is None
        with pytest.raises(TokenDeleted):
            first.find_token(make_token(grant="gt0"))

    @pytest.mark.parametrize(("one", "other"), NEIGHBOURS, ids=lambda keys: "+".join(map(NAMES.get, keys)))
    def test_no_two_workers_are_elected_for_one_code(self, make: Make, one: list[str], other: list[str]) -> None:
        """Whatever keys they have, the second waits for the first, and finds what it has saved."""
        first = make(pointer_keys=one)
        second = make(pointer_keys=other, lease_ttl=0.5, wait_timeout=1)
        mine, theirs = make_token(grant="gt"), make_token(grant="gt")
        assert first.find_token(mine) is None  # elected
        with pytest.raises(Exception, match="within 1"):
            second.find_token(theirs)
        mine.set_refresh_token("rt")
        first.save_token(refreshed(mine, "at"))
        assert second.find_token(theirs).get_access_token() == "at"

    def test_a_whole_rotation(self, make: Make) -> None:
        """Step by step, with rotate_keys after each second key was added: no look-up is lost, to the end."""
        tokens = [full(n) for n in range(10)]
        for token in tokens:
            make(pointer_keys=POINTER_STEPS[0]).save_token(token)
        for keys in POINTER_STEPS:
            store = make(pointer_keys=keys)
            for n, token in enumerate(tokens):
                for selector in ways(n).values():
                    assert store.find_token(selector).get_id() == token.get_id(), keys
            rotate(store)

    def test_rotation_is_what_makes_the_step_safe(self, make: Make) -> None:
        """Without it, a key that leads has no pointers to what was saved before it was there."""
        make(pointer_keys=[OLD]).save_token(full())
        assert make(pointer_keys=[NEW, OLD]).find_token(by_user("user0")) is None
        assert rotate(make(pointer_keys=[OLD, NEW])).moved == 1
        assert make(pointer_keys=[NEW, OLD]).find_token(by_user("user0")) is not None

    def test_an_id_needs_no_pointer(self, make: Make) -> None:
        """By id a record is found whatever the keys, and one that is not there is missing."""
        token = full()
        make(pointer_keys=[OLD]).save_token(token)
        assert make(pointer_keys=[NEW]).find_token_by_id(token.get_id()).get_id() == token.get_id()
        with pytest.raises(TokenNotFound):
            make(pointer_keys=[NEW]).find_token_by_id("never-seen")


class TestConstruction:
    """Keys as they are given."""

    def test_from_the_environment(self, real_server: Server, namespace: str, raw: Any) -> None:
        """Both variables; what is written under them is sealed and keyed."""
        environ = {
            "ZOHO_TOKEN_STORE_URL": real_server.url,
            "ZOHO_TOKEN_STORE_NAMESPACE": namespace,
            "ZOHO_TOKEN_STORE_KEYS": f"{NEW},{OLD}",
            "ZOHO_TOKEN_STORE_POINTER_KEYS": NEW,
        }
        token = full()
        with RedisTokenStore.from_env(environ) as store:
            store.save_token(token)
        stored = raw.hget(Keyspace(namespace).token(token.get_id()), "refresh_token")
        assert stored.startswith(f"{MARK}{read_key(NEW, '').id}.")
        with RedisTokenStore.from_url(real_server.url, namespace, encryption_keys=[NEW]) as store:
            assert store.find_token(by_user("user0")) is None, "the pointer is keyed"
            assert store.find_token_by_id(token.get_id()).get_refresh_token() == "rt0"

    @pytest.mark.parametrize("variable", ["ZOHO_TOKEN_STORE_KEYS"])
    @pytest.mark.parametrize("value", ["", " , ", "not a key"])
    def test_an_empty_variable_is_no_way_to_go_without(self, variable: str, value: str) -> None:
        """Whoever names it wants encryption; a value that was lost on the way must not switch it off."""
        environ = {"ZOHO_TOKEN_STORE_URL": "redis://localhost", "ZOHO_TOKEN_STORE_NAMESPACE": "n", variable: value}
        with pytest.raises(ConfigurationError, match="encryption_keys"):
            RedisTokenStore.from_env(environ)

    def test_a_cipher_and_keys_are_one_too_many(self) -> None:
        """Which of them counts would be a guess."""
        with pytest.raises(ConfigurationError, match="beside a cipher"):
            RedisTokenStore.from_url("redis://localhost", "n", encryption_keys=[NEW], cipher=AesGcmCipher([NEW]))
