"""``audit`` and ``doctor`` on a Sentinel set and a cluster, and an audit whose namespace moves under it."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.crc import key_slot

from cli.program import PROGRAM
from contract.tokens import make_token
from topologies import ClusterServers, SentinelServers, wait_until
from zoho_token_store import RedisTokenStore
from zoho_token_store.keyspace import Keyspace, pointer

pytestmark = pytest.mark.topology

Servers = SentinelServers | ClusterServers
Run = Callable[..., subprocess.CompletedProcess[str]]
STRAY = 300
"""Pointers that lead nowhere."""


@pytest.fixture
def store(servers: Servers, namespace: str) -> Iterator[RedisTokenStore]:
    """Return a store with a few records."""
    with RedisTokenStore.from_url(servers.url(), namespace, operation_timeout=20.0) as store:
        for number in range(20):
            store.save_token(make_token(f"ada{number}", refresh=f"rt{number}", access=f"at{number}"))
        yield store


@pytest.fixture
def run(servers: Servers, namespace: str) -> Run:
    """Run the command in the store's surroundings."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        where = {"ZOHO_TOKEN_STORE_URL": servers.url(), "ZOHO_TOKEN_STORE_NAMESPACE": namespace}
        done = subprocess.run(
            [*PROGRAM, *arguments], env=os.environ | where, capture_output=True, text=True, timeout=60
        )
        assert "Traceback" not in done.stderr
        return done

    return run


def stray(servers: Servers, namespace: str) -> None:
    """Put pointers there that lead nowhere."""
    keys = Keyspace(namespace)
    with servers.inside(namespace) as client:
        for number in range(STRAY):
            client.set(keys.key(pointer("refresh", f"nobody's {number}")), f"no-such-id-{number}")


def move_on(servers: Servers, namespace: str) -> None:
    """Have the namespace go to another server, with all that it has."""
    old = servers.home(namespace)
    with old.client() as client:
        wait_until(lambda: client.execute_command("WAIT", 1, 500), "a replica has all")
    if isinstance(servers, ClusterServers):
        (target,) = [node for node in servers.masters() if node is not old][:1]
        servers.migrate(key_slot(namespace.encode()), target)
    else:
        old.kill()
    wait_until(lambda: servers.home(namespace) is not old, "another has it")


@pytest.mark.usefixtures("store")
def test_audit(servers: Servers, namespace: str, run: Run) -> None:
    """It finds nothing; then what was put there, and puts it right."""
    assert (run("audit").returncode, run("audit").stdout) == (0, "nothing is wrong\n")
    stray(servers, namespace)
    assert json.loads(run("audit", "--json", "--repair").stdout)["repaired"] == {"dangling": STRAY}
    assert run("audit").stdout == "nothing is wrong\n"


@pytest.mark.parametrize("phase", ["records", "keys"])
def test_the_namespace_moves_meanwhile(servers: Servers, namespace: str, store: RedisTokenStore, phase: str) -> None:
    """A cursor means nothing to another server: the walk begins anew there, and nothing is left out."""
    stray(servers, namespace)
    found: Counter[str] = Counter()
    moved = False
    for progress in store.audit(10):
        found.update(finding.record_id for finding in progress.findings)
        if progress.step == phase and progress.seen >= 10 and not moved:
            move_on(servers, namespace)
            moved = True
    assert moved
    assert found == {f"no-such-id-{number}": 1 for number in range(STRAY)}


def test_the_slot_is_on_its_way_all_the_time(cluster: ClusterServers, namespace: str) -> None:
    """Wherever the namespace is, nothing that is right is taken for wrong; repairs do no harm."""
    with RedisTokenStore.from_url(cluster.url(), namespace, operation_timeout=20.0) as store:
        tokens = [make_token(f"ada{number}", refresh=f"rt{number}", access="at") for number in range(20)]
        for token in tokens:
            store.save_token(token)
        walks = iter(range(100))
        for target in cluster.masters() * 2:
            audit = store.audit(5, repair=True)
            for _ in zip(walks, audit, strict=False):
                break
            cluster.migrate(key_slot(namespace.encode()), target, batch=5)
            assert [finding for step in audit for finding in step.findings] == []
        for number, token in enumerate(tokens):
            assert store.find_token(make_token(refresh=f"rt{number}")).get_id() == token.get_id()


def severities(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return what doctor has found."""
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return {each["check"]: each["severity"] for each in found}


@pytest.mark.usefixtures("store")
def test_doctor(servers: Servers, namespace: str, run: Run) -> None:
    """It asks the server that the namespace lives on, and counts the replicas of that one."""
    without = severities(run("doctor", "--json"))
    assert without["default-user"] == "warning", "the tests' servers have no password"
    assert without.keys() & {"replicas", "rights", "commands", "unknown", "persistence"} == set()
    have = len(servers.replicas(namespace))
    assert severities(run("doctor", "--json", "--min-replicas", str(have)))["replicas"] == "hint"
    lacking = run("doctor", "--json", "--min-replicas", str(have + 1))
    assert (lacking.returncode, severities(lacking)["replicas"]) == (3, "danger")


@pytest.mark.usefixtures("store")
def test_doctor_of_a_server_that_loses_tokens(servers: Servers, namespace: str, run: Run) -> None:
    """What the namespace's own server is told is found, whichever of them it is."""
    with servers.inside(namespace) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            done = run("doctor", "--json")
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "0")
    assert (done.returncode, severities(done)["eviction"]) == (3, "danger")


def test_doctor_when_nobody_is_there(servers: Servers, run: Run) -> None:
    """A set whose servers are all silent ends it in good time, with a word and without a trace."""
    for node in servers.nodes:
        node.pause()
    try:
        done = run("doctor")
    finally:
        for node in servers.nodes:
            node.resume()
    assert done.returncode == 4
    assert "does not answer" in done.stderr
