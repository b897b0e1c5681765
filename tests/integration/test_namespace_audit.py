"""What can be wrong with a namespace, made by hand: `store.audit` finds it, puts it right, and breaks nothing."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from contract.tokens import make_token, refreshed
from integration.fleet import Worker, do_all
from servers import Backend, Server
from topologies import Home
from zoho_token_store import RedisTokenStore
from zoho_token_store.damage import Sight
from zoho_token_store.fingerprints import Fingerprints
from zoho_token_store.keyring import new_key, read_pointer_keys
from zoho_token_store.keyspace import Keyspace, pointer, tombstone
from zoho_token_store.redis_repository import Seen

POINTER_KEYS = [new_key(), new_key()]
SEALED = {"encryption_keys": [new_key()], "pointer_keys": POINTER_KEYS, "encrypt_identity": True}

FOR_EVER = "9" * 18


class Bench:
    """A namespace with a few records, and a way to damage it.

    Args:
        server: Where.
        namespace: Its name.
        options: Of its store.
    """

    def __init__(self, server: Backend | Server | Home, namespace: str, options: dict[str, Any]) -> None:
        self.store = RedisTokenStore.from_url(server.url, namespace, **options)
        self.raw: redis.Redis = server.client(decode_responses=True)
        self.keys = Keyspace(namespace, read_pointer_keys(options.get("pointer_keys", ())))
        self.tokens = {user: self.save(user) for user in ("ada", "bob", "cyd", "dan")}
        fleeting = make_token("eve", access="at-eve", left=5000)
        self.store.save_token(fleeting)
        self.tokens["eve"] = fleeting
        self.merged = self._merge()

    def save(self, user: str) -> Any:
        """Save a full record."""
        token = make_token(user, refresh=f"rt-{user}", grant=f"gt-{user}", access=f"at-{user}")
        self.store.save_token(token)
        return token

    def _merge(self) -> str:
        """Have ada's record and another become one; return the id that leads there from then on."""
        other = make_token(refresh="rt-other", access="at-other")
        self.store.save_token(other)
        both = {self.id("ada"), str(other.get_id())}
        self.store.save_token(make_token(refresh="rt-ada", id=other.get_id()))
        (stays,) = {token.get_id() for token in self.store.get_tokens()} & both
        self.tokens["ada"] = self.store.get(stays)
        (goes,) = both - {stays}
        return goes

    def id(self, user: str) -> str:
        """Return the id of a user's record."""
        return str(self.tokens[user].get_id())

    def token(self, user: str) -> str:
        """Return the key of a user's record."""
        return self.keys.token(self.id(user))

    def named(self, kind: str, value: str) -> str:
        """Return the leading key of a pointer."""
        return self.keys.key(pointer(kind, value))

    def audit(self, **options: bool) -> Counter[str]:
        """Return how much of what was found."""
        return Counter(finding.kind for step in self.store.audit(2, **options) for finding in step.findings)

    def left(self, **options: bool) -> Counter[str]:
        """Repair, and return what could not be repaired."""
        steps = self.store.audit(2, repair=True, **options)
        return Counter(finding.kind for step in steps for finding in step.findings if not finding.repaired)

    def check_all_is_found(self) -> None:
        """Check that every record is found by everything that leads to it, and listed."""
        for user, token in self.tokens.items():
            selectors = [{"user": user}, {"refresh": f"rt-{user}"}, {"grant": f"gt-{user}"}]
            for selector in selectors[: 1 if user == "eve" else 3]:
                found = self.store.find_token(make_token(**selector))
                assert found is not None, (user, selector)
                assert found.get_id() == token.get_id(), (user, selector)
            assert self.store.find_token_by_id(self.id(user)).get_id() == token.get_id()
        assert self.store.find_token_by_id(self.merged).get_id() == self.id("ada")
        assert {token.get_id() for token in self.store.get_tokens()} == {self.id(user) for user in self.tokens}


@pytest.fixture(params=[{}, SEALED], ids=["clear", "sealed"])
def bench(request: pytest.FixtureRequest, server: Backend, namespace: str) -> Iterator[Bench]:
    """Give a namespace on each server, with and without keys."""
    made = Bench(server, namespace, request.param)
    yield made
    made.store.close()


Damage = Callable[[Bench], Any]


def lead_elsewhere(bench: Bench) -> None:
    """Have one user's pointer say what another's says."""
    bench.raw.set(bench.named("user", "bob"), bench.raw.get(bench.named("user", "cyd")))


DAMAGES: dict[str, tuple[Damage, dict[str, int]]] = {
    "a pointer to no record": (
        lambda bench: bench.raw.set(bench.keys.key("refresh:" + "x" * 22), "no-such-id"),
        {"dangling": 1},
    ),
    "a user's pointer to no record": (
        lambda bench: bench.raw.set(bench.keys.key("user:" + "x" * 22), "-:no-such-id"),
        {"dangling": 1},
    ),
    "a user's pointer that says nothing": (
        lambda bench: bench.raw.set(bench.keys.key("user:" + "x" * 22), "nothing"),
        {"dangling": 1},
    ),
    "an entry beside another": (
        lambda bench: bench.raw.append(bench.named("user", "bob"), " -:no-such-id"),
        {"dangling": 1},
    ),
    "no refresh pointer": (lambda bench: bench.raw.delete(bench.named("refresh", "rt-bob")), {"missing": 1}),
    "no grant pointer": (lambda bench: bench.raw.delete(bench.named("grant", "gt-bob")), {"missing": 1}),
    "no user pointer": (lambda bench: bench.raw.delete(bench.named("user", "bob")), {"missing": 1}),
    "no access pointer": (lambda bench: bench.raw.delete(bench.named("access-token", "at-bob")), {"missing": 1}),
    "no pointer to what ends": (lambda bench: bench.raw.delete(bench.named("user", "eve")), {"missing": 1}),
    "a pointer to another's": (
        lambda bench: bench.raw.set(bench.named("refresh", "rt-bob"), bench.id("cyd")),
        {"mismatched": 1},
    ),
    "a pointer to an id that was merged": (
        lambda bench: bench.raw.set(bench.named("refresh", "rt-ada"), bench.merged),
        {"mismatched": 1},
    ),
    "a user's pointer to another's": (lead_elsewhere, {"mismatched": 1}),
    "a record that is not listed": (lambda bench: bench.raw.zrem(bench.keys.ids, bench.id("bob")), {"unlisted": 1}),
    "an end that is not listed": (lambda bench: bench.raw.zrem(bench.keys.expiring, bench.id("eve")), {"unlisted": 1}),
    "another end than is listed": (
        lambda bench: bench.raw.zadd(bench.keys.expiring, {bench.id("eve"): int(FOR_EVER)}),
        {"unlisted": 1},
    ),
    "an entry without a record": (lambda bench: bench.raw.zadd(bench.keys.ids, {"no-such-id": 0}), {"stale": 1}),
    "an end without a record": (
        lambda bench: bench.raw.zadd(bench.keys.expiring, {"no-such-id": int(FOR_EVER)}),
        {"stale": 1},
    ),
    "an end of what does not end": (
        lambda bench: bench.raw.zadd(bench.keys.expiring, {bench.id("bob"): int(FOR_EVER)}),
        {"stale": 1},
    ),
    "a lease without end": (
        lambda bench: bench.raw.hset(bench.keys.lease(bench.id("bob")), "until_ms", FOR_EVER),
        {"endless": 1},
    ),
    "a stream without end": (
        lambda bench: bench.raw.xadd(bench.keys.wake(bench.id("bob")), {"a": "b"}),
        {"endless": 1},
    ),
    "a budget without end": (lambda bench: bench.raw.set(bench.keys.calls("refresh:x"), "1"), {"endless": 1}),
    "an access part without end": (lambda bench: bench.raw.persist(bench.keys.access(bench.id("bob"))), {"endless": 1}),
    "an access pointer without end": (
        lambda bench: bench.raw.persist(bench.named("access-token", "at-bob")),
        {"endless": 1},
    ),
    "a tombstone without end": (
        lambda bench: bench.raw.set(bench.keys.key(tombstone("no-such-id")), "deleted 5"),
        {"endless": 1},
    ),
    "a fleeting record without end": (lambda bench: bench.raw.persist(bench.token("eve")), {"endless": 1}),
    "an older tombstone": (
        lambda bench: bench.raw.set(bench.keys.key(tombstone(bench.id("bob"))), "deleted 5", ex=600),
        {"contradicted": 1},
    ),
    "a redirect of what is there": (
        lambda bench: bench.raw.set(bench.keys.key(tombstone(bench.id("bob"))), f"merged {bench.id('cyd')}"),
        {"contradicted": 1},
    ),
    "a redirect to nowhere": (
        lambda bench: bench.raw.set(bench.keys.key(tombstone("some-id")), "merged no-such-id"),
        {"redirect": 1},
    ),
    "a redirect to somebody": (
        lambda bench: bench.raw.set(bench.keys.key(tombstone("some-id")), f"merged {bench.id('cyd')}"),
        {"redirect": 1},
    ),
    "no redirect": (lambda bench: bench.raw.delete(bench.keys.key(tombstone(bench.merged))), {"redirect": 1}),
    "an access part alone": (lambda bench: bench.raw.set(bench.keys.access("no-such-id"), "0 1 x"), {"orphaned": 1}),
}
"""Damages, and what is found of them."""


def test_nothing_is_found_where_nothing_is_wrong(bench: Bench) -> None:
    """After saves, a merge, a deletion, a lease, a claimed code and an invalidation."""
    bench.store.delete_token(bench.save("fay").get_id())
    bench.store.invalidate_access_token(bench.id("bob"))
    assert bench.store.find_token_by_id(bench.id("bob")).get_access_token() is None
    assert bench.store.find_token(make_token(grant="never-seen")) is None
    assert bench.audit() == bench.left() == Counter()


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found_and_repaired(bench: Bench, name: str) -> None:
    """It is told and left alone without `repair`; with it all is as before, and a second audit finds nothing."""
    damage, found = DAMAGES[name]
    damage(bench)
    before = snapshot(bench)
    assert bench.audit() == found
    assert snapshot(bench) == before
    assert bench.audit(repair=True) == found
    assert bench.audit() == Counter()
    bench.check_all_is_found()


def snapshot(bench: Bench) -> dict[str, Any]:
    """Return all that is stored in a namespace."""
    with redis.Redis(**connection_of(bench)) as client:
        return {key: (client.dump(key), client.pttl(key) >= 0) for key in client.scan_iter(bench.keys.pattern)}


def connection_of(bench: Bench) -> dict[str, Any]:
    """Return settings of a client that answers with bytes."""
    settings = bench.raw.connection_pool.connection_kwargs
    return {"unix_socket_path": settings["path"]}


def test_all_damages_at_once(bench: Bench) -> None:
    """Whatever has befallen one record together is repaired together."""
    for damage, _ in DAMAGES.values():
        damage(bench)
    assert bench.left() == Counter()
    assert bench.audit() == Counter()
    bench.check_all_is_found()


def test_under_every_pointer_key(server: Backend, namespace: str) -> None:
    """A pointer that is missing or wrong under a key that does not lead is one that is missing or wrong."""
    bench = Bench(server, namespace, SEALED)
    other = Keyspace(namespace, read_pointer_keys(POINTER_KEYS[::-1]))
    bench.raw.delete(other.key(pointer("user", "bob")))
    bench.raw.set(other.key(pointer("refresh", "rt-bob")), bench.id("cyd"))
    assert bench.audit() == {"missing": 1, "mismatched": 1}
    assert bench.left() == bench.audit() == Counter()
    bench.store.close()


def test_a_deletion_is_the_later_word(bench: Bench) -> None:
    """A record that an old dump has brought back after its deletion is deleted again."""
    zombie = bench.tokens.pop("bob")
    key = bench.keys.token(zombie.get_id())
    with redis.Redis(**connection_of(bench)) as client:
        dump = client.dump(key)
        bench.store.delete_token(zombie.get_id())
        client.restore(key, 0, dump)
    assert bench.audit()["contradicted"] == 1
    assert bench.left() == bench.audit() == Counter()
    assert not bench.raw.exists(key)
    bench.check_all_is_found()


def test_what_was_merged_is_merged_again(bench: Bench) -> None:
    """A record that an old dump has brought back after it was merged goes into the same one, with what it had."""
    lost = make_token("gus", refresh="rt-gus", access="at-gus")
    bench.store.save_token(lost)
    other = make_token(refresh="rt-new")
    bench.store.save_token(other)
    keys = {bench.keys.token(each.get_id()): each.get_id() for each in (lost, other)}
    with redis.Redis(**connection_of(bench)) as client:
        dumps = {key: client.dump(key) for key in keys}
        bench.store.save_token(make_token(refresh="rt-gus", id=other.get_id()))
        (gone,) = [key for key in keys if not client.exists(key)]
        client.restore(gone, 0, dumps[gone])
    assert bench.audit()["contradicted"] == 1
    assert bench.left() == bench.audit() == Counter()
    assert not bench.raw.exists(gone)
    (stays,) = {*keys.values()} - {keys[gone]}
    assert bench.store.find_token_by_id(keys[gone]).get_id() == stays
    for refresh in ("rt-gus", "rt-new"):
        assert bench.store.find_token(make_token(refresh=refresh)).get_id() == stays


def test_what_no_key_makes_is_left_unless_asked(bench: Bench) -> None:
    """A pointer to a live record that does not hold it may be one of a key that is not here."""
    bench.raw.set(forged := bench.keys.key("refresh:" + "x" * 22), bench.id("bob"))
    assert bench.audit() == bench.left() == {"unclaimed": 1}
    assert bench.raw.exists(forged)
    assert bench.left(unclaimed=True) == bench.audit() == Counter()
    assert not bench.raw.exists(forged)
    bench.check_all_is_found()


def test_without_the_fleets_pointer_keys_nothing_is_removed(server: Backend, namespace: str) -> None:
    """An operator who has forgotten them adds pointers that nobody needs, and takes none away."""
    bench = Bench(server, namespace, SEALED)
    before = set(snapshot(bench))
    bare = {name: value for name, value in SEALED.items() if name != "pointer_keys"}
    with RedisTokenStore.from_url(server.url, namespace, **bare) as store:
        assert {finding.kind for step in store.audit(repair=True) for finding in step.findings} == {
            "missing",
            "unclaimed",
        }
    assert set(snapshot(bench)) > before
    bench.check_all_is_found()
    bench.store.close()


def test_what_it_does_not_know_is_left(bench: Bench) -> None:
    """Keys of a kind or type that this release does not know, and records that it cannot read."""
    bench.raw.set(bench.keys.key("novelty:1"), "x")
    bench.raw.hset(bench.keys.key("refresh:" + "x" * 22), "a", "b")
    bench.raw.hset(bench.token("bob"), "schema", "9")
    bench.raw.hdel(bench.token("cyd"), "rev")
    before = snapshot(bench)
    assert bench.audit() == bench.left(unclaimed=True) == {"unknown": 2, "unreadable": 2}
    assert snapshot(bench) == before


def test_a_partial_restore(bench: Bench) -> None:
    """From a dump that is older and lacks some keys: whatever is restored is found by everything again."""
    chance = random.Random(7)
    with redis.Redis(**connection_of(bench)) as client:
        dumps = {key: (client.dump(key), client.pttl(key)) for key in client.scan_iter(bench.keys.pattern)}
        for user in ("bob", "cyd"):
            bench.store.save_token(refreshed(bench.tokens[user], f"newer-{user}", refresh=f"newer-{user}"))
        for key, (dump, left_ms) in dumps.items():
            client.delete(key)
            if chance.random() < 0.6 or b":token:" in key or b":access:" in key:
                client.restore(key, max(left_ms, 0), dump)
    assert sum(bench.audit().values()) > 3
    assert bench.left(unclaimed=True) == bench.audit() == Counter()
    if not bench.raw.exists(bench.token("eve")):
        del bench.tokens["eve"]
    bench.check_all_is_found()


def test_no_script_looks_at_much(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large a batch is: the server is never held for long."""
    sizes = []
    run = bench.store._link.run
    monkeypatch.setattr(
        bench.store._link, "run", lambda script, keys, args: sizes.append(len(keys)) or run(script, keys, args)
    )
    for number in range(150):
        bench.save(f"user{number}")
    sizes.clear()
    list(bench.store.audit(10_000, repair=True))
    assert max(sizes) <= 212


@pytest.mark.parametrize("kills", [50, pytest.param(1000, marks=pytest.mark.soak)])
def test_nothing_is_wrong_after_kills(
    home: Server | Home, namespace: str, start_workers: Callable[[int], list[Worker]], kills: int
) -> None:
    """Workers are killed at random moments of saves, merges, invalidations and deletions: nothing at all is found."""
    chance = random.Random(kills)
    alive: list[Worker] = []
    for number in range(kills + 4):
        (worker,) = start_workers(1)
        worker.do("open", home.url, namespace)
        worker.start("churn", number, 3600.0)
        alive.append(worker)
        if len(alive) > 4:
            time.sleep(chance.uniform(0, 0.02))  # a random moment is what this is about
            alive.pop(0).dispose()
    for worker in alive:
        worker.dispose()
    with RedisTokenStore.from_url(home.url, namespace) as store:
        assert [finding for step in store.audit() for finding in step.findings] == []
        assert any(True for _ in store.events().read().events)


def test_repairing_under_load(
    home: Server | Home, namespace: str, start_workers: Callable[[int], list[Worker]]
) -> None:
    """Eight workers save, refresh and delete; damage is made and repaired; no call fails and nothing is left wrong."""
    bench = Bench(home, namespace, {})
    workers = start_workers(8)
    do_all(workers, "open", home.url, namespace)
    for number, worker in enumerate(workers):
        worker.start("churn", number, 4.0)
    deadline, rounds = time.monotonic() + 3.5, 0
    while time.monotonic() < deadline:
        list(DAMAGES.values())[rounds % len(DAMAGES)][0](bench)
        bench.left()
        rounds += 1
    failures = [failure for worker in workers for failure in worker.finish().value]
    assert failures == []
    assert bench.left() == bench.audit() == Counter()
    for user, token in bench.tokens.items():
        assert bench.store.find_token_by_id(token.get_id()) is not None, user
    bench.store.close()


def test_what_is_seen_shows_no_token() -> None:
    """An access part that was looked at is in no representation."""
    sight = Sight()
    sight.keys["key"] = Seen("string", 5, "1 2 secret")
    assert "secret" not in repr(sight.keys)


def test_fingerprints() -> None:
    """What was added is known, all else is not; more may be added after a question."""
    known = Fingerprints()
    assert known.missing(["a"]) == ["a"]
    known.add(map(str, range(5000)))
    assert known.missing(["4999", "x", "0"]) == ["x"]
    known.add(["x"])
    assert known.missing(["4999", "x", "y"]) == ["y"]


def test_what_a_refresh_in_the_last_moments_leaves(bench: Bench) -> None:
    """The pointer of the access token that went is left to its end, which is near: it is nothing wrong."""
    token = make_token("fay", refresh="rt-fay", access="at-fay", left=5)
    bench.store.save_token(token)
    bench.store.save_token(refreshed(bench.store.find_token_by_id(token.get_id()), "at-fay-2"))
    assert bench.raw.exists(bench.named("access-token", "at-fay"))
    assert bench.audit() == Counter()
    bench.store.delete_token(token.get_id())
    assert bench.audit() == Counter()
