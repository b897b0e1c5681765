"""A user who may do no more than the documents say: on a cluster, and behind Sentinels with a password of their own."""

from __future__ import annotations

from typing import Any

import pytest
from redis.crc import key_slot

from contract.tokens import by_user, make_token
from topologies import ClusterServers, SentinelServers
from zoho_token_store import RedisTokenStore, acl

pytestmark = pytest.mark.topology


def rules(namespace: str) -> list[str]:
    """Return the rules for a worker, which are the same everywhere."""
    return [*acl.worker(namespace, waitaof=True), ">password"]


def work(store: RedisTokenStore) -> Any:
    """Save, find, list, delete; return the token."""
    token = make_token("ada", refresh="rt", access="at")
    store.save_token(token)
    assert store.find_token(by_user("ada")).get_refresh_token() == "rt"
    assert len(store.get_tokens()) == 1
    return token


def test_on_a_cluster(cluster: ClusterServers, namespace: str) -> None:
    """By the rules a worker works, waits for replicas, and goes along when its slot moves."""
    for node in cluster.nodes:
        with node.client() as client:
            client.execute_command("ACL SETUSER", "worker", *rules(namespace))
    try:
        url = cluster.url().replace("://", "://worker:password@")
        with RedisTokenStore.from_url(url, namespace, min_replicas=1, near_cache=True, operation_timeout=10.0) as store:
            token = work(store)
            (target,) = [node for node in cluster.masters() if node is not cluster.home(namespace)][:1]
            cluster.migrate(key_slot(namespace.encode()), target)
            store.delete_token(token.get_id())
            work(store)
    finally:
        for node in cluster.nodes:
            with node.client() as client:
                client.execute_command("ACL DELUSER", "worker")


def test_behind_sentinels(sentinels: SentinelServers, namespace: str) -> None:
    """Servers and Sentinels have different passwords."""
    for node in sentinels.nodes:
        with node.client() as client:
            client.execute_command("ACL SETUSER", "worker", *rules(namespace))
    for watcher in sentinels.watchers:
        with watcher.client() as client:
            client.execute_command(
                "ACL SETUSER", "looker", "on", ">theirs", "-@all", "+sentinel|get-master-addr-by-name"
            )
    try:
        url = (
            sentinels.url().replace("://", "://worker:password@") + "&sentinel_username=looker&sentinel_password=theirs"
        )
        with RedisTokenStore.from_url(url, namespace, min_replicas=1, near_cache=True, operation_timeout=10.0) as store:
            work(store)
    finally:
        for server in (*sentinels.nodes, *sentinels.watchers):
            with server.client() as client:
                client.execute_command("ACL DELUSER", "worker", "looker")
