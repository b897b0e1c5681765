"""A thousand workers at one expiry on a cluster: threads of a few processes, each with the SDK and one store."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import redis
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer

from benchmarks import tasks
from benchmarks.cluster import open_cluster
from benchmarks.crew import Crew, values
from benchmarks.figure import Figure, Spread
from benchmarks.tokens import LIFE, token_of
from zoho_token_store import RedisTokenStore
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.testing import FakeZoho

NAMES = ("crowd",)
NAMESPACE = "crowd"
REACH = 2.0
LATENCY = 1.5
"""Seconds that a refresh takes: long enough that everybody comes while one refreshes."""
POLL = 0.01
SENT = ("evalsha", "eval", "xread", "hello", "cluster|slots", "command|info")
"""What the workers send; everything else is what scripts run, or this process asks."""


class Expiry(NamedTuple):
    """What one expiry has cost.

    Attributes:
        refreshes: How often Zoho was asked.
        commands: How many commands the workers have sent to the server of the namespace.
        blocked: Most connections that were seen to block at one time.
        tokens: How many different access tokens they got.
        seconds: Until the last had it.
    """

    refreshes: int
    commands: int
    blocked: int
    tokens: int
    seconds: float


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure commands for each worker, refreshes, and connections that block.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer of all.
    """
    processes, threads, rounds = (4, 16, 2) if quick else (8, 125, 10)
    with (
        open_cluster() as cluster,
        Crew(processes) as crew,
        FakeZoho(expires_in=int(LIFE)) as zoho,
        tempfile.TemporaryDirectory(prefix="zoho-bench-") as resources,
    ):
        token = token_of(zoho, LIFE)
        with RedisTokenStore.from_url(cluster.url, NAMESPACE) as store:
            store.save_token(token)
        stage = tasks.Stage("redis", cluster.url, NAMESPACE, zoho.url, resources)
        crew.do(tasks.boot, stage, {"id": token.get_id()})
        zoho.faults.set(latency=LATENCY)
        with cluster.owner(NAMESPACE) as owner:
            seen = [_expire(owner, crew, zoho, token.get_id(), threads) for _ in range(rounds)]
    yield _figure(seen, processes, threads)


def _expire(owner: redis.Redis, crew: Crew, zoho: FakeZoho, record_id: str, threads: int) -> Expiry:
    owner.delete(Keyspace(NAMESPACE).access(record_id))
    asked, blocked = zoho.counters.refreshes, 0
    owner.config_resetstat()
    began = time.monotonic()
    crew.start(get_tokens, threads)
    while time.monotonic() < began + LATENCY:
        blocked = max(blocked, owner.info("clients")["blocked_clients"])
        time.sleep(POLL)
    replies = crew.finish()
    calls = owner.info("commandstats")
    commands = sum(calls.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in SENT)
    tokens = {token for got in values(replies) for token in got}
    ended = max(reply.ended_at for reply in replies)
    return Expiry(zoho.counters.refreshes - asked, commands, blocked, len(tokens), ended - began)


def get_tokens(threads: int) -> set[str]:
    """Have threads get the access token as the SDK does before each request; return what they got."""
    with ThreadPoolExecutor(threads) as pool:
        return set(pool.map(lambda _: Initializer.initializer.token.get_token(), range(threads)))


def _figure(seen: list[Expiry], processes: int, threads: int) -> Figure:
    workers = processes * threads
    spread = Spread.of([each.commands / workers for each in seen])
    refreshes, blocked = sum(each.refreshes for each in seen), max(each.blocked for each in seen)
    alike = all(each.tokens == 1 for each in seen)
    return Figure(
        "crowd",
        f"commands to Redis for each of {workers:,} workers at one expiry, {processes} processes, on a cluster",
        "at most 2, one refresh, one blocked connection for each process",
        spread,
        spread.p90 <= REACH and refreshes == len(seen) and blocked <= processes and alike,
        note=f"{len(seen)} expiries, {refreshes} refreshes, at most {blocked} blocked connections",
        details={"expiries": [each._asdict() for each in seen]},
    )
