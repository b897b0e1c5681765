"""Namespaces in a cluster: spread over its masters, and moved while they are worked in."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest
from redis.crc import key_slot

from contract.tokens import make_token
from topologies import SLOTS, ClusterServers, wait_until
from topology.audit import faults
from topology.traffic import traffic
from zoho_token_store import RedisTokenStore

pytestmark = pytest.mark.topology

OpenStores = Callable[..., list[RedisTokenStore]]
WORKERS = 16


def test_namespaces_spread(cluster: ClusterServers, open_stores: OpenStores, namespace: str) -> None:
    """100 namespaces lie on all masters, each on that of its slot with all of its keys, and none sees another's."""
    names = [f"{namespace}.{number}" for number in range(100)]
    for name in names:
        (store,) = open_stores(1, cluster.url(), name)
        store.save_token(make_token(name, refresh="rt", access="at", id="same"))
    for name in names:
        (store,) = open_stores(1, cluster.url(3), name)
        (token,) = store.get_tokens()
        assert token.get_user_signature().get_name() == name
    homes = Counter(cluster.home(name).port for name in names)
    assert set(homes) == {node.port for node in cluster.masters()}
    assert min(homes.values()) >= 15
    keys = {}
    for node in cluster.masters():
        with node.client(decode_responses=True) as client:
            keys[node.port] = {key.split("{")[1].split("}")[0] for key in client.scan_iter("zts:*")}
    assert sorted(name for found in keys.values() for name in found) == sorted(names)


def test_a_slot_moves_under_load(cluster: ClusterServers, open_stores: OpenStores, namespace: str) -> None:
    """The slot of a namespace goes round all masters while 16 workers are at it: no error, nothing lost or wrong."""
    stores = open_stores(WORKERS, cluster.url(), namespace)
    slot = key_slot(namespace.encode())
    with traffic(stores) as seen:
        for _ in range(2):
            for target in cluster.masters():
                time.sleep(0.3)
                cluster.migrate(slot, target)
        time.sleep(0.3)
    assert not seen.wrong
    assert not seen.missing
    assert not seen.outages
    assert not seen.lost()
    assert faults(cluster.inside(namespace, decode_responses=True), namespace) == []
    assert sum(store.stats()["retries"] for store in stores) > 0, "they have met it"


def test_resharding_under_load(cluster: ClusterServers, open_stores: OpenStores, namespace: str) -> None:
    """Slots move between all masters, those of 16 workers' namespaces among them: no error, nothing lost or wrong."""
    names = [f"{namespace}.{number}" for number in range(WORKERS)]
    stores = [open_stores(1, cluster.url(), name)[0] for name in names]
    theirs = [key_slot(name.encode()) for name in names]
    rng = random.Random(1)
    with traffic(stores) as seen:
        for slot in [*theirs, *rng.sample(range(SLOTS), 20), *theirs]:
            cluster.migrate(slot, rng.choice(cluster.masters()))
    assert not seen.wrong
    assert not seen.missing
    assert not seen.outages
    assert not seen.lost()
    for name in names:
        assert faults(cluster.inside(name, decode_responses=True), name) == []


def test_the_feed_goes_along(cluster: ClusterServers, open_stores: OpenStores, namespace: str) -> None:
    """A near cache hears of changes while the slot is on its way, and after it has arrived."""
    near, other = (open_stores(1, cluster.url(), namespace, near_cache=bool(near))[0] for near in (1, 0))
    token = make_token("ada", refresh="rt", access="at0")
    other.save_token(token)

    def told(access: str) -> bool:
        return near.find_token_by_id(token.get_id()).get_access_token() == access

    wait_until(lambda: told("at0") and near.stats()["near_hits"] > 3, "the near cache answers")
    (target,) = [node for node in cluster.masters() if node is not cluster.home(namespace)][:1]
    cluster.migrate(key_slot(namespace.encode()), target)
    for turn in range(1, 4):
        token.set_access_token(f"at{turn}")
        other.save_token(token)
        wait_until(lambda access=f"at{turn}": told(access), "it is told", 3)
    hits = near.stats()["near_hits"]
    wait_until(lambda: told("at3") and near.stats()["near_hits"] > hits + 3, "it answers again")
    assert near.stats()["near_emptied"] == 0
