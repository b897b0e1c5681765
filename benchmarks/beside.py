"""How long a server leaves others without an answer: a PING, again and again, from a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

import redis

from benchmarks.server import BenchmarkServer

REST = 0.0005
"""Seconds between two of them."""
SLOW_US = 1000
"""Commands that take the server longer are remembered by it, microseconds."""


class Waits:
    """What was seen beside some work.

    Attributes:
        pings: How long each PING took, ms, the shortest first.
        slowest: The longest that the server was at one command, by its own clock, ms; 0 if none took a millisecond.
        processor_s: Processor time of the server and of this process together, which other work on the machine does not
            change, seconds.
    """

    def __init__(self) -> None:
        self.pings: list[float] = []
        self.slowest = 0.0
        self.processor_s = 0.0

    def at(self, share: float) -> float:
        """Return how long a share of them took at most, ms."""
        return self.pings[min(int(len(self.pings) * share), len(self.pings) - 1)]


@contextmanager
def pinging(server: BenchmarkServer) -> Iterator[Waits]:
    """Ask a server for as long as the context lasts; what was seen is there when it has ended.

    The server and who asks it come before all other processes of the machine, where the system lets them: how long they
    wait for a processor is not how long the server takes.
    """
    waits, context = Waits(), multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=_ask, args=(server.url, theirs), daemon=True)
    with server.client() as client:
        client.config_set("slowlog-log-slower-than", SLOW_US)
        client.config_set("slowlog-max-len", 100_000)
        server_process = client.info("server")["process_id"]
        _schedule(server_process, "SCHED_FIFO")
        process.start()
        ours.recv()  # it is connected
        client.slowlog_reset()
        spent = _processor_s(client)
        try:
            yield waits
        finally:
            waits.processor_s = _processor_s(client) - spent
            ours.send("enough")
            waits.pings = sorted(ours.recv())
            process.join()
            # Not before: a long list takes the server longer than what it tells of.
            waits.slowest = max((each["duration"] / 1000 for each in client.slowlog_get(100_000)), default=0.0)
            _schedule(server_process, "SCHED_OTHER")


def _schedule(process: int, policy: str) -> None:
    with suppress(AttributeError, OSError):  # not every system has it, nor every user the right
        os.sched_setscheduler(process, getattr(os, policy), os.sched_param(policy == "SCHED_FIFO"))


def _processor_s(client: redis.Redis) -> float:
    used = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"]) + time.process_time()


def _ask(url: str, pipe: Connection) -> None:
    took = []
    _schedule(os.getpid(), "SCHED_FIFO")
    with redis.Redis.from_url(url) as client:
        client.ping()
        pipe.send("connected")
        while not pipe.poll(REST):
            began = time.perf_counter()
            client.ping()
            took.append((time.perf_counter() - began) * 1000)
    pipe.send(took)
