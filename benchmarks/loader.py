"""Fill a namespace with many records, by the store's own code and in few round trips."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from itertools import chain
from typing import Any

from benchmarks.crew import Crew
from benchmarks.server import BenchmarkServer
from benchmarks.tokens import full_token
from zoho_token_store.script import COMMIT, READ, Script

BATCH = 200
SHARE = 5_000
"""Records that one process saves at a time."""
PROCESSES = min(4, os.cpu_count() or 1)


class PipelinedLink:
    """Takes the place of the store's way to Redis while a namespace is filled that nobody else writes.

    Reads are answered as of an empty namespace, which is what the server would say of each new token. Writes are sent
    in batches; the server still compares what each was made from, and a batch with a refusal is an error.

    Args:
        server: Where to.
    """

    def __init__(self, server: BenchmarkServer) -> None:
        self._client = server.client()
        self._client.script_load(COMMIT.text)
        self._pipeline = self._client.pipeline(transaction=False)

    def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Answer a read, or take a write along."""
        now_ms = int(time.time() * 1000)
        if script is READ:
            strings = int(args[0])
            return [now_ms, [""] * strings, [[]] * ((len(keys) - strings) // 2)]
        assert script is COMMIT, script.name
        self._pipeline.evalsha(script.sha, len(keys), *keys, *args)
        if len(self._pipeline) >= BATCH:
            self.flush()
        return ["OK", now_ms]

    def flush(self) -> None:
        """Send what is left."""
        refused = [reply for reply in self._pipeline.execute() if reply[0] != "OK"]
        assert not refused, refused[0]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def fill(server: BenchmarkServer, namespace: str, count: int) -> list[str]:
    """Save ``count`` full tokens in an empty namespace; return their ids, in the order of their numbers."""
    if count <= SHARE:
        return _fill_part(server, namespace, 0, count)
    ids: list[str] = []
    with Crew(PROCESSES) as crew:
        for first in range(0, count, PROCESSES * SHARE):
            starts = [first + SHARE * worker for worker in range(PROCESSES)]
            shares = [(server, namespace, start, max(0, min(SHARE, count - start))) for start in starts]
            ids += chain.from_iterable(crew.share(_fill_part, shares))
    return ids


def _fill_part(server: BenchmarkServer, namespace: str, first: int, count: int) -> list[str]:
    store = server.store(namespace)
    link = PipelinedLink(server)
    store._repository._link = link  # type: ignore[assignment]  # the rest of the store stays as it is
    ids = []
    for number in range(first, first + count):
        token = full_token(number)
        store.save_token(token)
        ids.append(token.get_id())
    link.flush()
    link.close()
    store.close()
    return ids
