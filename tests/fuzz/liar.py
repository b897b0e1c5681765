"""A server in Redis's place that answers whatever a test makes up: nothing below the connection is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import redis

from zoho_token_store import RedisTokenStore, script
from zoho_token_store.clock import SystemClock
from zoho_token_store.script import Script

Reply = Callable[[str, list[str]], Any]
"""Makes the reply to a script, by its name, or to a command; an exception is raised. The arguments are text."""

_SCRIPTS = {each.sha: each.name for each in vars(script).values() if isinstance(each, Script)}
_NAMES = {each.text: each.name for each in vars(script).values() if isinstance(each, Script)}


class LeapingClock(SystemClock):
    """A clock that moves only when somebody sleeps, or asks Redis."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000 + self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)


class LeapingEvent(threading.Event):
    """An event whose waits take no time."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


class Liar:
    """Leads to itself: topology, route and connection in one.

    Args:
        reply: Says what it answers.
        clock: Moved by each answer, so that whoever goes on asking comes to an end.
    """

    socket_timeout = None

    def __init__(self, reply: Reply, clock: LeapingClock) -> None:
        self._reply = reply
        self._clock = clock
        self._asked: list[str] = []

    def route(self, key: str) -> Liar:
        return self

    def open(self, timeout: float, at_most: float) -> Liar:
        return self

    def leads_to(self, connection: Any) -> bool:
        return True

    def learn(self, connection: Any, error: Exception) -> None:
        pass

    def detour(self, connection: Any, error: redis.ResponseError, timeout: float) -> None:
        pass

    def explain(self, error: Exception, at_most: float) -> Exception:
        return error

    def reset_after_fork(self) -> None:
        pass

    def connect(self) -> None:
        pass

    def disconnect(self) -> None:
        pass

    def pack_command(self, *command: str | int) -> list[bytes]:
        return list(redis.connection.PythonRespSerializer(6000, _encode).pack(*command))

    def send_packed_command(self, packed: list[bytes], check_health: bool = True) -> None:
        self._asked = _words(b"".join(packed))

    def read_response(self) -> Any:
        self._clock.sleep(0.001)
        name, *args = self._asked
        if name in ("EVALSHA", "EVAL"):
            name, *args = {**_SCRIPTS, **_NAMES}[args[0]], *args[1:]
        reply = self._reply(name, args)
        if isinstance(reply, Exception):
            raise reply
        return reply


def _encode(word: str | int) -> bytes:
    return str(word).encode("utf-8", "surrogateescape")


def _words(packed: bytes) -> list[str]:
    """Return the words of a packed command."""
    words, rest = [], packed.partition(b"\r\n")[2]
    while rest:
        length, _, rest = rest.partition(b"\r\n")
        size = int(length[1:])
        words.append(rest[:size].decode("utf-8", "surrogateescape"))
        rest = rest[size + 2 :]
    return words


def lying_store(reply: Reply, **options: Any) -> RedisTokenStore:
    """Return a store that has such a server in Redis's place."""
    clock = LeapingClock()
    store = RedisTokenStore.__new__(RedisTokenStore)
    store._connect(Liar(reply, clock), "crm", {"redact_sdk_log": False, **options}, clock)
    return store
