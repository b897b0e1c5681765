"""What is so of partitions alone; whatever else the suite says holds for them too."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from contract.local import PARTITIONS, PartitionedPlace
from contract.tokens import CLIENT, OTHER_CLIENT, by_user, make_token, refreshed
from contract.underneath import repository_of
from servers import Server
from topologies import TopologyPool
from zoho_token_store import (
    AmbiguousToken,
    ConfigurationError,
    InvalidToken,
    Memory,
    MemoryTokenStore,
    PartitionedTokenStore,
    StoreUnavailable,
    TokenNotFound,
    UnsupportedSchema,
)
from zoho_token_store.keyspace import NO_CLIENT, spread
from zoho_token_store.link import RedisLink


@pytest.fixture
def place() -> PartitionedPlace:
    """Give partitions in memory."""
    return PartitionedPlace("partitioned")


@pytest.fixture
def store(place: PartitionedPlace) -> Iterator[PartitionedTokenStore]:
    """Return a store over them."""
    with place.store("crm") as made:
        yield made


def stores_in(memory: Memory, count: int, first: int = 0) -> list[MemoryTokenStore]:
    """Return partitions of an application of so many."""
    return [MemoryTokenStore(memory, f"crm{count}.{number}") for number in range(first, count)]


def has_of(store: PartitionedTokenStore) -> list[int]:
    """Return how many tokens each partition has."""
    return [len(partition.get_tokens()) for partition in store.stores]


class TestUnreadable:
    """Records that this release cannot read."""

    @pytest.fixture
    def newer(self, store: PartitionedTokenStore) -> str:
        """Save a token of ada's under each of two clients; return the id of one that a newer release has written."""
        tokens = [make_token("ada", client_id=client, refresh=f"rt-{client}") for client in (CLIENT, OTHER_CLIENT)]
        for token in tokens:
            store.save_token(token)
        record_id = tokens[0].get_id()
        for partition in store.stores:
            with partition._repository._database.writing() as tables:
                records = tables._space.records
                if record_id in records:
                    record, ends_ms = records[record_id]
                    records[record_id] = record._replace(schema="99"), ends_ms
        return str(record_id)

    def test_a_users_others_are_found(self, store: PartitionedTokenStore, newer: str) -> None:
        """Who asks is told, in the thread that asks."""
        told: list[Any] = []
        found = store.get_by_user("ada", lambda error: told.append((error.record_id, threading.current_thread())))
        assert [token.get_client_id() for token in found] == [OTHER_CLIENT]
        assert told == [(newer, threading.current_thread())]
        with pytest.raises(UnsupportedSchema):
            store.get_by_user("ada")

    def test_it_is_left_and_can_be_deleted(self, store: PartitionedTokenStore, newer: str) -> None:
        """A token that comes from another store under its id is in conflict; deleting it takes its name."""
        (adoption,) = store.adopt([make_token("eve", id=newer, refresh="rt")])
        assert adoption.outcome == "conflict"
        assert store.delete_unreadable(newer)
        assert len(store.get_tokens()) == 1


class TestPlaces:
    """Which partition has what."""

    def test_a_client_is_in_one_partition(self, store: PartitionedTokenStore) -> None:
        """All tokens of a client are in its partition, another's in another; their ids lead there by themselves."""
        for number in range(10):
            store.save_token(make_token(f"user{number}", refresh=f"one{number}"))
            store.save_token(make_token(f"user{number}", client_id=OTHER_CLIENT, refresh=f"two{number}"))
        assert store.home(CLIENT) is not store.home(OTHER_CLIENT)
        for client in (CLIENT, OTHER_CLIENT):
            tokens = store.home(client).get_tokens()
            assert len(tokens) == 10
            assert {spread(token.get_id(), PARTITIONS) for token in tokens} == {spread(client, PARTITIONS)}
        assert sum(has_of(store)) == 20

    def test_a_key_of_ones_own(self, place: PartitionedPlace) -> None:
        """The tenant decides, whatever the client; what a tenant's partition gives is found by the whole, and back."""
        tenant = "first"
        partitions = [place.partition("crm", number) for number in range(PARTITIONS)]
        with PartitionedTokenStore(partitions, lambda token: tenant) as store:
            store.save_token(one := make_token("ada", refresh="rt1", access="at1"))
            tenant = "second"
            store.save_token(two := make_token("bob", refresh="rt2", access="at2"))
            assert store.home("first").get(one.get_id()).get_refresh_token() == "rt1"
            assert store.home("second").get(two.get_id()).get_refresh_token() == "rt2"
            assert store.home("first") is not store.home("second")
            store.home("first").save_token(three := make_token("joan", refresh="rt3", access="at3"))
            assert store.find_token_by_id(three.get_id()).get_access_token() == "at3"

    def test_what_has_no_key_is_found_everywhere(self, store: PartitionedTokenStore, place: PartitionedPlace) -> None:
        """By a user name, an access token or an id alone; and what was stored without a client by one that has one."""
        store.save_token(token := make_token("ada", refresh="rt", access="at"))
        with place.store("crm") as other:
            assert other.find_token(by_user("ada")).get_id() == token.get_id()
            assert other.find_token(make_token(access="at", client_id=None, secret=None)).get_id() == token.get_id()
            other.save_token(nameless := make_token(refresh="rt2", access="at2", client_id=None, secret=None))
            assert store.find_token(make_token(refresh="rt2")).get_id() == nameless.get_id()

    def test_a_chosen_id(self, store: PartitionedTokenStore, place: PartitionedPlace) -> None:
        """An id of the caller's own leads nowhere by itself; it is looked for once, and then remembered."""
        chosen = next(f"chosen{n}" for n in range(99) if spread(f"chosen{n}", PARTITIONS) != spread(CLIENT, PARTITIONS))
        store.save_token(make_token("ada", id=chosen, refresh="rt", access="at"))
        assert store.home(CLIENT).get(chosen).get_refresh_token() == "rt"
        with place.store("crm") as other:
            assert other.find_token_by_id(chosen).get_access_token() == "at"
            assert other._partitions.of_id(chosen) == spread(CLIENT, PARTITIONS)
            with pytest.raises(TokenNotFound):
                other.find_token_by_id("unknown")
            other.delete_token(chosen)
        assert store.get_tokens() == []

    def test_a_save_goes_back_to_where_its_token_came_from(self, store: PartitionedTokenStore) -> None:
        """Without a look anywhere else, whatever the token says by then."""
        store.save_token(make_token("ada", refresh="rt", access="at", left=3))
        leased = store.find_token(by_user("ada"))
        assert leased.get_access_token() is None
        leased.set_client_id(None)
        store.save_token(refreshed(leased, "at2"))
        assert has_of(store)[spread(CLIENT, PARTITIONS)] == 1
        assert store.find_token(by_user("ada", CLIENT)).get_access_token() == "at2"

    def test_one_credential_under_two_clients(self, store: PartitionedTokenStore) -> None:
        """Also in another partition it is refused, since all are asked before a new record is made."""
        store.save_token(make_token("ada", refresh="rt", access="at"))
        with pytest.raises(InvalidToken) as caught:
            store.save_token(make_token("ada", client_id=OTHER_CLIENT, refresh="rt"))
        assert caught.value.field == "client_id"
        assert sum(has_of(store)) == 1


class TestNumber:
    """How many partitions there are is written down."""

    def test_another_number_is_refused(self) -> None:
        """Before anything is read or written."""
        memory = Memory()
        with PartitionedTokenStore([MemoryTokenStore(memory, f"crm.{number}") for number in range(4)]) as four:
            four.save_token(make_token("ada", refresh="rt"))
            four.ping()
        with PartitionedTokenStore([MemoryTokenStore(memory, f"crm.{number}") for number in range(5)]) as five:
            for act in (five.ping, lambda: five.find_token(make_token("ada")), five.get_tokens, five.delete_tokens):
                with pytest.raises(ConfigurationError) as caught:
                    act()
                assert caught.value.option == "stores"
                assert "'0of4', and not '0of5'" in str(caught.value) or act != five.ping

    def test_another_order_is_refused(self, place: PartitionedPlace) -> None:
        """Each partition knows which it is."""
        with place.store("crm") as store:
            store.ping()
        turned = [place.partition("crm", number) for number in reversed(range(PARTITIONS))]
        with PartitionedTokenStore(turned) as store, pytest.raises(ConfigurationError):
            store.find_token(make_token("ada"))

    @pytest.mark.parametrize("stores", [[], [object()], None], ids=["none", "no stores", "not a list"])
    def test_what_are_no_partitions(self, stores: Any) -> None:
        """A clear error in place of one that comes later."""
        with pytest.raises(ConfigurationError) as caught:
            PartitionedTokenStore(stores)
        assert caught.value.option == "stores"

    def test_one_store_twice(self) -> None:
        """It would answer for two partitions."""
        with MemoryTokenStore() as one, pytest.raises(ConfigurationError):
            PartitionedTokenStore([one, one])

    @pytest.mark.parametrize("number", [0, 257, True, "16"])
    def test_numbers_that_cannot_be(self, number: Any) -> None:
        """1 to 256."""
        with pytest.raises(ConfigurationError) as caught:
            PartitionedTokenStore.from_url("redis://nowhere.invalid", "crm", number)
        assert caught.value.option == "partitions"

    @pytest.mark.parametrize("urls", [[], None, 5], ids=["none", "None", "a number"])
    def test_urls_that_cannot_be(self, urls: Any) -> None:
        """One, or a list of some."""
        with pytest.raises(ConfigurationError) as caught:
            PartitionedTokenStore.from_url(urls, "crm", 4)
        assert caught.value.option == "urls"

    @pytest.mark.parametrize("key", ["tenant", 5])
    def test_keys_that_cannot_be(self, key: Any) -> None:
        """A key is made by a function, and is text; of one that is not, nothing is stored."""
        with MemoryTokenStore() as one, pytest.raises(ConfigurationError):
            PartitionedTokenStore([one], key)
        with PartitionedTokenStore(stores_in(Memory(), 2), lambda token: 5) as store:  # type: ignore[arg-type,return-value]
            with pytest.raises(InvalidToken) as caught:
                store.save_token(make_token("ada", refresh="rt"))
            assert caught.value.field == "key"
            assert store.get_tokens() == []

    def test_twice_as_many(self) -> None:
        """Copied to new namespaces all keep their ids, and each is found by id, by user, and by its refresh token."""
        memory = Memory()
        old = PartitionedTokenStore(stores_in(memory, 4))
        for number in range(40):
            old.save_token(make_token(f"user{number}", client_id=f"client{number % 9}", refresh=f"rt{number}"))
        with PartitionedTokenStore(stores_in(memory, 8)) as new:
            for token in old.iter_tokens():
                new.save_token(token)
            assert [token.get_id() for token in new.iter_tokens()] == [token.get_id() for token in old.iter_tokens()]
            assert len([count for count in has_of(new) if count]) > 4
        with PartitionedTokenStore(stores_in(memory, 8)) as another:
            for token in old.iter_tokens():
                assert another.get(token.get_id()).get_refresh_token() == token.get_refresh_token()
                named = by_user(token.get_user_signature().get_name(), token.get_client_id())
                assert another.find_token(named).get_id() == token.get_id()
        old.close()


class TestAway:
    """A partition that does not answer."""

    @pytest.fixture
    def away(self, store: PartitionedTokenStore, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
        """Let the partition of the suite's client be away, until the patches are undone."""

        def refuse(*_: Any, **__: Any) -> Any:
            raise StoreUnavailable("it is away")

        for name in ("load", "commit", "refresh", "find", "get", "pages"):
            monkeypatch.setattr(repository_of(store), name, refuse)
        return monkeypatch

    @pytest.mark.parametrize("id", [None, "chosen"])
    def test_a_save_is_kept_for_it(
        self, store: PartitionedTokenStore, place: PartitionedPlace, away: pytest.MonkeyPatch, id: str | None
    ) -> None:
        """As with one store: the caller is told, and the save is made when it answers again."""
        id = id and next(
            each for n in range(99) if spread(each := f"{id}{n}", PARTITIONS) == spread(CLIENT, PARTITIONS)
        )
        token = make_token("ada", refresh="rt-1", access="at-1", id=id)
        with pytest.raises(StoreUnavailable):
            store.save_token(token)
        assert store.stats()["saves_kept"] == 1
        away.undo()
        assert store.find_token(by_user("ada")).get_refresh_token() == "rt-1"
        with place.store("crm") as other:
            assert other.find_token(by_user("ada")).get_refresh_token() == "rt-1"

    def test_other_keys_go_on(self, store: PartitionedTokenStore, away: pytest.MonkeyPatch) -> None:
        """A login of another client is saved and found; whoever needs an answer of all is told that there is none."""
        store.save_token(make_token("ada", refresh="rt-2", access="at-2", client_id=OTHER_CLIENT))
        assert store.find_token(by_user("ada", OTHER_CLIENT)).get_access_token() == "at-2"
        for ask in (store.get_tokens, lambda: store.get_by_user("ada"), lambda: store.peek(make_token(refresh="rt-9"))):
            with pytest.raises(StoreUnavailable):
                ask()

    def test_all_are_asked_at_once(self, store: PartitionedTokenStore) -> None:
        """Many that are away take no longer than one; those that answer are heard."""
        together = threading.Barrier(PARTITIONS)

        def ask(number: int) -> int:
            together.wait(10)
            if number == 1:
                raise StoreUnavailable("it is away")
            return number

        first, away, *others = store._partitions.ask(range(PARTITIONS), ask)
        assert (first, others) == (0, [*range(2, PARTITIONS)])
        assert isinstance(away, StoreUnavailable)

    def test_a_fallback_is_refused(self, store: PartitionedTokenStore) -> None:
        """A partition would take over by id what belongs to another."""
        with MemoryTokenStore() as old, pytest.raises(ConfigurationError) as caught:
            PartitionedTokenStore([MemoryTokenStore(None, "a", fallback=old), MemoryTokenStore(None, "b")])
        assert caught.value.option == "fallback"


class TestTogether:
    """What is asked of all partitions."""

    def test_counters_and_all_tokens(self, store: PartitionedTokenStore) -> None:
        """Counters are added up; tokens come in order of id, however few are read at a time, and go all at once."""
        for number in range(20):
            store.save_token(make_token(f"user{number}", client_id=f"client{number}", refresh=f"rt{number}"))
        assert store.stats()["saves"] == 20
        ids = [token.get_id() for token in store.iter_tokens(batch=2)]
        assert ids == sorted(ids)
        assert len(ids) == 20
        store.delete_tokens()
        assert store.get_tokens() == []

    def test_a_user_under_two_clients(self, store: PartitionedTokenStore) -> None:
        """All that a user has is found, whichever partitions it is in; a look takes the one that is meant."""
        store.save_token(make_token("ada", refresh="rt-1", id="b"))
        store.save_token(make_token("ada", refresh="rt-2", id="a", client_id=OTHER_CLIENT))
        assert [token.get_id() for token in store.get_by_user("ada")] == ["a", "b"]
        assert store.peek(make_token("ada", client_id=OTHER_CLIENT)).get_id() == "a"
        assert store.peek(make_token(refresh="rt-1")).get_id() == "b"
        with pytest.raises(AmbiguousToken):
            store.peek(make_token("ada", client_id=None))

    def test_a_login_minds_no_namesakes_under_other_keys(self, place: PartitionedPlace) -> None:
        """With a key of one's own: two tenants have the user, a third logs in without saying by which client."""
        tenant = ""
        partitions = [place.partition("crm", number) for number in range(PARTITIONS)]
        with PartitionedTokenStore(partitions, lambda token: tenant) as store:
            for number, tenant in enumerate(("a", "b")):
                store.save_token(make_token("ada", refresh=f"rt-{number}", client_id=f"1000.{tenant}"))
            tenant = next(
                each for n in range(99) if store.home(each := f"c{n}") not in (store.home("a"), store.home("b"))
            )
            code = make_token("ada", grant="gt-1", client_id=None)
            assert store.find_token(code) is None
            store.save_token(refreshed(code, "at-1", refresh="rt-9"))
            assert store.home(tenant).get(code.get_id()).get_refresh_token() == "rt-9"

    def test_tokens_are_adopted_where_they_belong(self, store: PartitionedTokenStore) -> None:
        """Each where its own record is, else in the partition of its client, also with the id of another's token."""
        arriving = [
            make_token("ada", refresh="rt-1", access="at-1", id="1"),
            make_token("bob", refresh="rt-2", access="at-2", id="1", client_id=OTHER_CLIENT),
            make_token("eve", refresh="rt-3", access="at-3", id="3"),
        ]
        assert [each.outcome for each in store.adopt(arriving, dry_run=True)] == ["created"] * 3
        assert has_of(store) == [0] * PARTITIONS
        assert [each.outcome for each in store.adopt(arriving)] == ["created"] * 3
        assert [each.outcome for each in store.adopt(arriving)] == ["left"] * 3
        assert (has_of(store)[spread(CLIENT, PARTITIONS)], has_of(store)[spread(OTHER_CLIENT, PARTITIONS)]) == (2, 1)
        ambiguous = make_token("ada", client_id=None, refresh="rt-4", access="at-4", id="9")
        store.save_token(make_token("ada", refresh="rt-5", client_id=OTHER_CLIENT))
        assert [each.outcome for each in store.adopt([ambiguous, arriving[0]])] == ["conflict", "left"]

    def test_keys_are_rotated_in_all(self, place: PartitionedPlace, store: PartitionedTokenStore) -> None:
        """One rotation, told as one."""
        for number in range(7):
            store.save_token(make_token(f"user{number}", client_id=f"client{number}", refresh=f"rt{number}"))
        steps = list(store.rotate_keys())
        assert {step.total for step in steps} == {7}
        assert (steps[-1].seen, steps[-1].moved, steps[-1].failed) == (7, 0, ())
        assert [step.seen for step in steps] == sorted(step.seen for step in steps)

    def test_no_client_is_a_key(self) -> None:
        """The key of what has none is none that a client id could be taken for in a user pointer."""
        assert spread("", 256) != spread(NO_CLIENT, 256)


class TestRoundTrips:
    """What look-ups and saves cost."""

    @pytest.fixture
    def requests(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Return the scripts that are run, in their order."""
        seen: list[str] = []
        run = RedisLink.run

        def noted(link: RedisLink, script: Any, *args: Any) -> Any:
            seen.append(script.name)
            return run(link, script, *args)

        monkeypatch.setattr(RedisLink, "run", noted)
        return seen

    def test_one_each_when_warm(self, real_server: Server, namespace: str, requests: list[str]) -> None:
        """A look-up by id or by user within the client, and the save of a refresh: one request."""
        with PartitionedTokenStore.from_url(real_server.url, namespace, PARTITIONS) as store:
            store.save_token(token := make_token("ada", refresh="rt", access="at"))
            numbers = count(2)
            calls: list[Callable[[], Any]] = [
                lambda: store.find_token_by_id(token.get_id()),
                lambda: store.find_token(by_user("ada", CLIENT)),
                lambda: store.save_token(refreshed(store.get(token.get_id()), f"at{next(numbers)}")),
            ]
            for call, most in zip(calls, ["find-5", "find-5", "refresh-5"], strict=True):
                call()
                requests.clear()
                call()
                assert [name for name in requests if not name.startswith("read")] == [most]
            requests.clear()
            store.find_token_by_id(token.get_id())
            store.find_token(by_user("ada", CLIENT))
            assert len(requests) == 2


class TestInRedis:
    """Each partition is a namespace like any other."""

    def test_there_is_nothing_to_repair(self, real_server: Server, namespace: str) -> None:
        """An audit of each partition finds nothing, and the mark stays readable whatever pointer keys come."""
        keys = [[], [bytes(32), "plain"], [bytes(32)]]
        for number, pointer_keys in enumerate(keys):
            with PartitionedTokenStore.from_url(
                real_server.url, namespace, PARTITIONS, pointer_keys=pointer_keys
            ) as store:
                store.save_token(make_token("ada", client_id=f"client{number}", refresh=f"rt{number}"))
                list(store.rotate_keys())
                audits = [progress for partition in store.stores for progress in partition.audit()]
                found = {finding.kind for progress in audits for finding in progress.findings}
                assert found <= ({"unclaimed"} if pointer_keys else set())  # names under keys of before
        more = PartitionedTokenStore.from_url(real_server.url, namespace, PARTITIONS + 1)
        with more, pytest.raises(ConfigurationError):
            more.ping()

    def test_several_urls_take_turns(self, real_server: Server, namespace: str) -> None:
        """Every other partition is in the other database."""
        urls = [f"{real_server.url}?db={number}" for number in (0, 1)]
        with PartitionedTokenStore.from_url(urls, namespace, 4) as store:
            store.ping()
        for number, url in enumerate(urls):
            with PartitionedTokenStore.from_url(url, namespace, 4) as store:
                for partition in range(4):
                    mark = f"zts:{{{namespace}.{partition}}}:partition"
                    is_there = store.stores[partition]._link.ask("EXISTS", mark)
                    assert bool(is_there) == (partition % 2 == number)


@pytest.mark.topology
def test_partitions_spread_over_a_cluster(topology_pool: TopologyPool, namespace: str) -> None:
    """One URL of a cluster: the partitions are on all of its masters, and tokens are found on each."""
    cluster = topology_pool.get("cluster")
    with PartitionedTokenStore.from_url(cluster.url(), namespace, 16) as store:
        tokens = [make_token("ada", client_id=f"client{number}", refresh=f"rt{number}") for number in range(16)]
        for token in tokens:
            store.save_token(token)
        assert {store.find_token_by_id(token.get_id()).get_refresh_token() for token in tokens} == {
            f"rt{number}" for number in range(16)
        }
        slots = {key_slot(f"{{{namespace}.{number}}}".encode()) * 3 // REDIS_CLUSTER_HASH_SLOTS for number in range(16)}
        assert slots == {0, 1, 2}
