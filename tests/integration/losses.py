"""Losing the n-th message of an operation, and comparing what is stored afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import redis

from proxy import FaultyProxy
from servers import Server

Lost = Literal["request", "reply"]


class NthFault(FaultyProxy):
    """Loses one script call, counted from when it was told to, and lets all others through.

    Attributes:
        lost: How many messages were lost.
    """

    def __init__(self, server: Server) -> None:
        super().__init__(server.socket_path)
        self._fault: Lost = "reply"
        self._before = -1
        self.lost = 0

    def lose(self, fault: Lost, before: int) -> None:
        """Lose a message.

        Args:
            fault: Which part of the exchange.
            before: How many script calls go well before it.
        """
        self._fault, self._before, self.lost = fault, before, 0

    def take(self, command: str) -> Lost | None:
        """Say what shall happen to one request."""
        if command not in ("EVALSHA", "EVAL"):
            return None
        self._before -= 1
        if self._before != -1:
            return None
        self.lost += 1
        return self._fault


def dump(client: redis.Redis, namespace: str) -> dict[str, list[Any]]:
    """Return everything that a namespace holds, by kind of key, without what differs from run to run.

    What was counted differs, too: attempts are among it, and when it was told depends on the time that they took.

    Args:
        client: Of a server with decoded replies.
        namespace: Which.
    """
    kinds: dict[str, list[Any]] = {}
    for key in client.scan_iter(f"*{{{namespace}}}*"):
        kind = key.split("}:", 1)[1].split(":")[0]
        if kind == "counted":
            continue
        kinds.setdefault(kind, []).append(_value(client, key))
    return {kind: sorted(values, key=repr) for kind, values in sorted(kinds.items())}


def _value(client: redis.Redis, key: str) -> Any:
    kind = client.type(key)
    if kind == "hash":
        hash_ = client.hgetall(key)
        counted = len(hash_.get("ops", "").split())  # the operations that the record remembers
        varying = {"rev", "fence", "meta", "ops", "owner", "nonce", "until_ms"}
        fixed = {name: value for name, value in hash_.items() if name not in varying}
        return fixed | {"ops": counted, "fields": sorted(hash_)}
    if kind == "stream":
        return [fields["event"] for _, fields in client.xrange(key)]
    if kind == "zset":
        return client.zcard(key)
    # Ids are drawn at random, and times differ.
    without_ids = re.sub(r"(?<![\w-])[\w-]{16}(?![\w-])", "<id>", client.get(key))
    return re.sub(r"\d{6,}", "<number>", without_ids)


def each_message() -> Iterator[int]:
    """Yield 0, 1, 2 and so on, as far as any operation goes."""
    yield from range(20)
