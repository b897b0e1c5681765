"""A fleet of processes through whatever befalls its servers: brief StoreUnavailable at most, and no damage afterwards.

The servers stand in a network of their own where one can be made: there a cable is pulled out, and whoever is cut off
goes on living. Everywhere, a server is frozen by SIGSTOP instead.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from redis.crc import key_slot

from contract.tokens import make_token
from integration.fleet import Fleet, Worker, do_all
from integration.replies import Toil
from segment import NO_NETWORK, Segment
from servers import Server
from topologies import SLOTS, ClusterServers, SentinelServers, TopologyPool, cut_off, wait_until
from zoho_token_store import RedisTokenStore

pytestmark = pytest.mark.topology

Servers = SentinelServers | ClusterServers
Silence = Callable[[Server], AbstractContextManager[None]]
WORKERS = 16
OBSERVERS = 2
BUDGET = 1.0
QUICK = {"operation_timeout": BUDGET, "lease_ttl": 2.0}
AWHILE = 1.0
"""Seconds for which work goes on before the trouble, and after it."""


@pytest.fixture(params=["sentinel", "cluster"])
def servers(request: pytest.FixtureRequest, network_pool: TopologyPool) -> Servers:
    """Give each set of servers, whole and empty."""
    made: Servers = network_pool.get_to_disturb(request.param)
    return made


@pytest.fixture
def cluster(network_pool: TopologyPool) -> ClusterServers:
    """Give the cluster, whole and empty."""
    made: ClusterServers = network_pool.get_to_disturb("cluster")
    return made


@pytest.fixture(params=["cut off", "frozen"])
def silence(request: pytest.FixtureRequest, segment: Segment | None) -> Silence:
    """Give a way to make a server silent for a block: by its cable, or by SIGSTOP."""
    if request.param == "frozen":
        return lambda server: server.paused()
    if segment is None:
        pytest.skip(NO_NETWORK)
    return lambda server: cut_off(segment, server)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Keep one template process for the session."""
    fleet = Fleet(tmp_path_factory.mktemp("sdk"))
    yield fleet
    fleet.close()


class Shift:
    """Workers that save, refresh and delete, and some that look up what their near caches have.

    Args:
        fleet: Where they come from.
        servers: What they work on.
        namespace: Theirs.
    """

    def __init__(self, fleet: Fleet, servers: Servers, namespace: str) -> None:
        self._servers, self._namespace = servers, namespace
        self._workers: list[Worker] = fleet.start(WORKERS)
        self._observers: list[Worker] = fleet.start(OBSERVERS)
        self._trouble = (0.0, 0.0)
        self._held = make_token("ada", refresh="rt", access="at")

    def begin(self) -> None:
        """Have all of them work for a while."""
        with self.store() as store:
            store.save_token(self._held)
        do_all(self._workers, "open", self._servers.url(), self._namespace, **QUICK)
        do_all(self._observers, "open", self._servers.url(), self._namespace, near_cache=True, **QUICK)
        do_all(self._observers, "warm", self._held.get_id())
        do_all(self._observers, "observe", self._held.get_id())
        for number, worker in enumerate(self._workers):
            worker.do("toil", number)
        time.sleep(AWHILE)

    def store(self, **options: Any) -> RedisTokenStore:
        """Return a store on the set."""
        return RedisTokenStore.from_url(self._servers.url(), self._namespace, **options)

    def excuse(self, began: float) -> None:
        """Let calls fail that were under way between a moment and now, or that may have met what it has left."""
        self._trouble = (began, time.monotonic() + 2 * BUDGET)

    def end(self) -> list[Toil]:
        """Have all of them work for another while, and check what must be true after any trouble."""
        back = time.monotonic()
        time.sleep(2 * BUDGET + AWHILE)
        toils: list[Toil] = do_all(self._workers, "toiled")
        views = do_all(self._observers, "observed")
        first, last = self._trouble
        kinds = Counter(trouble.failure.kind for toil in toils for trouble in toil.troubles)
        outside = [
            trouble
            for toil in toils
            for trouble in toil.troubles
            if not first <= trouble.ended or not trouble.began <= last
        ]
        assert kinds.keys() <= {"StoreUnavailable"}, kinds
        assert outside == []
        assert all(toil.went_well > back for toil in toils), "everybody works again"
        assert [view.outcomes(self._held.get_id()) for view in views] == [["at"]] * OBSERVERS
        with self.store(operation_timeout=10.0) as store:
            assert [finding for step in store.audit() for finding in step.findings] == []
            assert store.get(self._held.get_id()).get_refresh_token() == "rt"
        return toils


@pytest.fixture
def shift(fleet: Fleet, servers: Servers, namespace: str) -> Iterator[Shift]:
    """Give workers at work."""
    shift = Shift(fleet, servers, namespace)
    shift.begin()
    yield shift
    fleet.dispose()


def replace_home(servers: Servers, namespace: str, old: Server) -> None:
    """Return when another server has taken over."""
    wait_until(lambda: servers.home(namespace) is not old, "another is the master")


def test_resharding(fleet: Fleet, cluster: ClusterServers, namespace: str) -> None:
    """The namespace's slot, and others, move from master to master: nobody sees anything of it."""
    shift = Shift(fleet, cluster, namespace)
    shift.begin()
    chance = random.Random(1)
    slot = key_slot(namespace.encode())
    for _ in range(2):
        for target in cluster.masters():
            cluster.migrate(slot, target)
            for other in chance.sample(range(SLOTS), 5):
                cluster.migrate(other, chance.choice(cluster.masters()))
    shift.end()
    fleet.dispose()


def test_a_master_is_killed(shift: Shift, servers: Servers, namespace: str) -> None:
    """kill -9: a replica is promoted."""
    old, began = servers.home(namespace), time.monotonic()
    old.kill()
    replace_home(servers, namespace, old)
    shift.excuse(began)
    shift.end()


def test_a_failover_on_command(shift: Shift, servers: Servers, namespace: str) -> None:
    """As an operator does it, with the old master alive."""
    old, began = servers.home(namespace), time.monotonic()
    servers.fail_over(namespace)
    replace_home(servers, namespace, old)
    shift.excuse(began)
    shift.end()


def test_a_replica_is_away(shift: Shift, servers: Servers, namespace: str, silence: Silence) -> None:
    """Until it passes for dead, and is back: nobody sees anything of it."""
    with silence(servers.replicas(namespace)[0]):
        time.sleep(3.0)
    shift.end()


def test_a_master_is_away(shift: Shift, servers: Servers, namespace: str, silence: Silence) -> None:
    """From everybody: a replica is promoted, and the old master becomes its replica when it is back."""
    old, began = servers.home(namespace), time.monotonic()
    with silence(old):
        replace_home(servers, namespace, old)
        time.sleep(BUDGET)
    shift.excuse(began)
    shift.end()
