"""`get_tokens`, `iter_tokens`, `delete_tokens` and `get`; namespaces keep apart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.tokens import by_access, by_user, contents, make_token, user_of
from zoho_token_store import (
    ConfigurationError,
    CorruptRecord,
    InvalidToken,
    RedisTokenStore,
    TokenNotFound,
    TokenStoreError,
)
from zoho_token_store.keyspace import Keyspace


def fill(store: RedisTokenStore, number: int) -> list[str]:
    ids = []
    for index in range(number):
        token = make_token(f"user{index:03}", refresh=f"rt{index}", access=f"at{index}")
        store.save_token(token)
        ids.append(str(token.get_id()))
    return ids


def test_get_tokens_gives_everything(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """All tokens come as they are, fresh, due and without an access token, and no lease is taken."""
    tokens = [
        make_token("ada", refresh="rt1", access="at1", redirect="https://app/cb"),
        make_token("grace", refresh="rt2", access="at2", left=5),
        make_token("alan", refresh="rt3"),
        make_token("edith", access="at4"),
    ]
    for token in tokens:
        store.save_token(token)
    listed = {user_of(token): contents(token) for token in other.get_tokens()}
    assert listed == {user_of(token): contents(token) for token in tokens}
    assert other.stats()["leases"] == 0
    assert other.find_token(by_user("alan")).get_access_token() is None
    assert other.stats()["leases"] == 1


def test_an_empty_namespace_is_an_empty_list(store: RedisTokenStore) -> None:
    """Listing and deleting nothing is no error."""
    assert store.get_tokens() == []
    store.delete_tokens()
    assert list(store.iter_tokens()) == []


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 8, 500])
def test_iter_tokens_gives_each_once(store: RedisTokenStore, batch: int) -> None:
    """Whatever the batch, each token comes once, in order of id."""
    ids = fill(store, 7)
    listed = [token.get_id() for token in store.iter_tokens(batch=batch)]
    assert listed == sorted(ids)


def test_iter_tokens_is_lazy(store: RedisTokenStore) -> None:
    """It is a generator; tokens made or deleted while it runs do no harm."""
    ids = sorted(fill(store, 6))
    listing = store.iter_tokens(batch=2)
    assert isinstance(listing, Iterator)
    seen = [next(listing).get_id()]
    store.delete_token(ids[0])
    store.delete_token(ids[4])
    seen += [token.get_id() for token in listing]
    assert seen == [ids[0], *ids[1:4], ids[5]]


def test_what_cannot_be_read_is_told(store: RedisTokenStore, raw, namespace: str) -> None:
    """The others come all the same; without somebody who is told, it ends the listing."""
    ids = sorted(fill(store, 5))
    raw.hset(Keyspace(namespace).token(ids[1]), "fence", "x")
    told: list[TokenStoreError] = []
    assert [token.get_id() for token in store.iter_tokens(2, told.append)] == [ids[0], *ids[2:]]
    assert [getattr(error, "record_id", None) for error in told] == [ids[1]]
    with pytest.raises(CorruptRecord):
        list(store.iter_tokens())


@pytest.mark.parametrize("batch", [0, -1, 10_001, True, 2.0, "5", None])
def test_a_bad_batch_is_refused(store: RedisTokenStore, batch) -> None:
    """The message says what is allowed."""
    with pytest.raises(ConfigurationError, match="1 to 10000") as caught:
        list(store.iter_tokens(batch=batch))
    assert caught.value.option == "batch"


def test_get_is_a_look(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """``get`` shows a due token as it is and takes no lease, so the next find is given it."""
    token = make_token("ada", refresh="rt", access="at", left=5)
    store.save_token(token)
    for _ in range(5):
        assert contents(other.get(token.get_id())) == contents(token)
    assert other.stats()["leases"] == 0
    assert store.find_token_by_id(token.get_id()).get_access_token() is None


def test_an_id_alone_takes_no_lease(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """``find_token`` with nothing but an id is a look too, which is what ``OAuthToken.revoke`` needs."""
    token = make_token("ada", refresh="rt", access="at", left=5)
    store.save_token(token)
    asked = make_token(id=token.get_id(), client_id=None, secret=None)
    assert other.find_token(asked).get_refresh_token() == "rt"
    assert asked.get_refresh_token() == "rt"
    assert other.stats()["leases"] == 0


def test_get_by_user_is_a_look(store: RedisTokenStore, other: RedisTokenStore) -> None:
    """It gives the tokens of a user under every client, due ones too, takes no lease, and knows nobody else."""
    tokens = [
        make_token("ada", client_id=f"1000.{number}", refresh=f"rt{number}", access="at", left=5) for number in "12"
    ]
    for token in (*tokens, make_token("adam", refresh="rt")):
        store.save_token(token)
    found = sorted(other.get_by_user("ada"), key=lambda token: token.get_client_id())
    assert [contents(token) for token in found] == [contents(token) for token in tokens]
    assert other.get_by_user("eve") == other.get_by_user("ad\udc80") == []
    assert other.stats()["leases"] == 0
    store.delete_token(tokens[0].get_id())
    assert [contents(token) for token in other.get_by_user("ada")] == [contents(tokens[1])]


def test_one_token_of_a_user_that_cannot_be_read(store: RedisTokenStore, raw, namespace: str) -> None:
    """Those under other clients come all the same; without somebody who is told, it is raised."""
    tokens = [make_token("ada", client_id=f"1000.{number}", refresh=f"rt{number}") for number in "123"]
    for token in tokens:
        store.save_token(token)
    raw.hset(Keyspace(namespace).token(tokens[1].get_id()), "fence", "x")
    told: list[TokenStoreError] = []
    found = {token.get_client_id() for token in store.get_by_user("ada", told.append)}
    assert found == {"1000.1", "1000.3"}
    assert [getattr(error, "record_id", None) for error in told] == [tokens[1].get_id()]
    with pytest.raises(CorruptRecord):
        store.get_by_user("ada")


@pytest.mark.parametrize("name", [None, "", 7, b"ada", "\ud800"])
def test_a_user_name_that_is_none_is_refused(store: RedisTokenStore, name) -> None:
    """By the name of the argument."""
    with pytest.raises(InvalidToken) as caught:
        store.get_by_user(name)
    assert caught.value.field == "user_name"


class TestNamespaces:
    """Two namespaces share a Redis and never see each other."""

    @pytest.fixture
    def neighbour(self, make_store, namespace: str, store: RedisTokenStore) -> RedisTokenStore:
        """Return a store in another namespace whose name begins alike; the user ada is in the first."""
        store.save_token(make_token("ada", id="same", refresh="rt", grant="gt", access="at"))
        return make_store(f"{namespace}.b")

    def test_nothing_is_found_across(self, neighbour: RedisTokenStore) -> None:
        """No selector reaches another namespace."""
        for asked in (by_user("ada"), by_access("at"), make_token(refresh="rt"), make_token(grant="gt")):
            assert neighbour.find_token(asked) is None
        with pytest.raises(TokenNotFound):
            neighbour.find_token_by_id("same")
        assert neighbour.get_tokens() == []

    def test_the_same_token_can_be_in_both(self, store: RedisTokenStore, neighbour: RedisTokenStore) -> None:
        """The same id, user and credentials stand in both, each with its own life."""
        neighbour.save_token(make_token("ada", id="same", refresh="rt", grant="gt", access="theirs"))
        assert store.find_token_by_id("same").get_access_token() == "at"
        neighbour.delete_token("same")
        assert store.find_token(by_user("ada")).get_access_token() == "at"

    def test_delete_tokens_stays_inside(
        self, store: RedisTokenStore, neighbour: RedisTokenStore, raw, namespace: str
    ) -> None:
        """All tokens of one namespace go; the other's and everything else in Redis stay."""
        other_key = f"something-else:{{{namespace}}}"
        raw.set(other_key, "1")
        fill(neighbour, 7)
        neighbour.delete_tokens()
        assert neighbour.get_tokens() == []
        assert [token.get_id() for token in store.get_tokens()] == ["same"]
        assert raw.get(other_key) == "1"

    def test_a_lease_is_the_namespaces_own(self, store: RedisTokenStore, neighbour: RedisTokenStore) -> None:
        """One namespace's refresh holds up no other."""
        for each in (store, neighbour):
            each.save_token(make_token("ada", id="same", refresh="rt", access="due", left=5))
            assert each.find_token_by_id("same").get_access_token() is None


def test_a_record_under_an_id_that_had_ended_by_itself_is_listed(store: RedisTokenStore, wait_for) -> None:
    """The end of the earlier record is not that of the later one."""
    fleeting = make_token(access="at")
    store.save_token(fleeting)
    store.invalidate_access_token(fleeting.get_id())
    wait_for(lambda: store.get(fleeting.get_id()) is None)
    store.save_token(make_token("ada", id=fleeting.get_id(), refresh="rt"))
    for _ in range(2):
        assert [token.get_id() for token in store.get_tokens()] == [fleeting.get_id()]
