"""Fill a namespace with many records in few round trips, by the store's own code or after its pattern."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks import copies
from benchmarks.server import BenchmarkServer
from benchmarks.tokens import full_token
from zoho_token_store.script import COMMIT, READ, Script

BATCH = 200
FEW = 10_000
"""Up to so many records each is saved; more are made after the pattern of the first."""


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
    store = server.store(namespace)
    if count > FEW:
        return copies.fill(server, copies.Layout(store.save_token, copies.short_id, store.close), count)
    link = PipelinedLink(server)
    store._repository._link = link  # type: ignore[assignment]  # the rest of the store stays as it is
    ids = []
    for number in range(count):
        token = full_token(number)
        store.save_token(token)
        ids.append(token.get_id())
    link.flush()
    link.close()
    store.close()
    return ids
