"""The one way to Redis: a script is run within a time budget, or :class:`StoreUnavailable` is raised."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import redis
from redis import exceptions

try:
    import hiredis
except ImportError:
    hiredis = None  # type: ignore[assignment]  # an extra

from zoho_token_store.clock import SystemClock
from zoho_token_store.connection import Connections
from zoho_token_store.errors import ConfigurationError, StoreClosed, StoreUnavailable
from zoho_token_store.refusal import refusal
from zoho_token_store.route import Route, redirection
from zoho_token_store.script import Script
from zoho_token_store.stats import Stats

# redis-py packs with it too, after looking at each argument twice.
_pack: Any = getattr(hiredis, "pack_command", None)

LEAST_VERSION = (6, 2)
COMMANDS = ("eval", "evalsha", "xadd", "xread", "xrevrange", "zadd", "zrangebylex", "pexpireat", "hset")
"""What the scripts and the waiting need and a managed service may have taken away."""

BLOCK_MS = 1000
"""Longest time that one blocking read takes, ms."""

PROMPT = 0.5
"""Longest time that is waited for the answer to what may get lost, seconds."""

LINE_TIMEOUT = BLOCK_MS / 1000 + 0.5
"""Longest time that a :class:`Line` waits for an answer, seconds."""

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25

# A server in transition says these; "-OOM" too, since memory comes back when keys expire. redis-py has classes of
# its own for some, in newer releases for more.
_TRANSITIONS = (exceptions.ReadOnlyError, exceptions.TryAgainError, exceptions.ClusterDownError,
                exceptions.MasterDownError, exceptions.AskError)  # fmt: skip
_PASSING = ("MOVED", "ASK ", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED", "BUSY",
            "OOM", "NOREPLICAS", "MISCONF",
            "max number of clients", "command not allowed when used memory")  # fmt: skip


def read_info(reply: object) -> dict[str, str]:
    """Return what a reply to ``INFO`` says, by name."""
    pairs = (line.partition(":") for line in str(reply).splitlines())
    return {name: value for name, _, value in pairs}


class RedisLink:
    """Runs scripts, and waits on streams.

    Args:
        route: Leads to the server of the namespace.
        budget: Seconds for one exchange, its retries included.
        clock: This machine's clocks.
        stats: Where retries are counted.
    """

    def __init__(self, route: Route, budget: float, clock: SystemClock, stats: Stats) -> None:
        self._route = route
        self._budget = budget
        self._clock = clock
        self._stats = stats
        # A silent server is found out after half of the budget, which leaves the other half for another attempt.
        self._connections = Connections(route, budget / 2)
        self._blocking = Connections(route, budget / 2 + BLOCK_MS / 1000)
        self._checked = False
        self._exchange: Callable[..., Any] = ask

    def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run a script, again if need be: every script gives the same outcome when it is repeated.

        Raises:
            StoreUnavailable: Redis has not taken it within the budget.
        """
        deadline = self._deadline()
        if not self._checked:
            self._check_server(deadline)
        request = (len(keys), *keys, *args)
        try:
            return self._retried(deadline, "EVALSHA", script.sha, *request)
        except exceptions.NoScriptError:
            return self._retried(deadline, "EVAL", script.text, *request)

    def run_once(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> bool:
        """Run a script for what may get lost: on a connection that is at hand, without retry or much of a wait.

        Returns:
            Whether it was run; not if no connection is at hand: all are in use, or Redis has not answered last.

        Raises:
            StoreUnavailable: Redis refuses, or has not answered soon enough, and may have run it.
        """
        if not self._connections.at_hand:
            return False
        request = (len(keys), *keys, *args)
        try:
            try:
                self._connections.use(PROMPT, _ask_promptly, "EVALSHA", script.sha, *request)
            except exceptions.NoScriptError:
                self._connections.use(PROMPT, _ask_promptly, "EVAL", script.text, *request)
        except (redis.RedisError, OSError) as error:
            why = refusal(error) or f"Redis has not taken it ({type(error).__name__})"
            raise StoreUnavailable(why, cause=error, passing=passing(error)) from error
        return True

    def wait(self, stream: str, after: str, at_most_ms: int) -> None:
        """Block until a stream is written after an id, or a time has passed; an error only ends the wait."""
        block_ms = max(1, min(at_most_ms, BLOCK_MS))
        try:
            read = ("XREAD", "COUNT", 1, "BLOCK", block_ms, "STREAMS", stream, after)
            self._blocking.use(self._blocking.timeout, ask, *read)
        except (redis.RedisError, OSError):
            self._clock.sleep(_LONGEST_PAUSE * random.random())  # noqa: S311 - spreads load, guards nothing

    def line(self) -> Line:
        """Return a connection of its own to the same server."""
        return Line(self._route)

    def ask(self, *command: str | int) -> Any:
        """Run one command, again if need be, and return the answer.

        Raises:
            StoreUnavailable: Redis has not answered within the budget.
        """
        deadline = self._deadline()
        if not self._checked:
            self._check_server(deadline)
        return self._retried(deadline, *command)

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()
        self._blocking.close()

    def reset_after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        self._route.reset_after_fork()
        self._connections.reset_after_fork()
        self._blocking.reset_after_fork()

    def _deadline(self) -> float:
        """Return until when an operation that begins now may last, by the monotonic clock."""
        return self._clock.monotonic() + self._budget

    def _retried(self, deadline: float, *request: str | int) -> Any:
        left, pause = deadline - self._clock.monotonic(), _FIRST_PAUSE
        for attempt in count(1):
            try:
                return self._connections.use(left, self._exchange, *request)
            except (redis.RedisError, OSError) as failure:
                if isinstance(failure, exceptions.NoScriptError) and request[0] == "EVALSHA":
                    raise  # to any other request it is a refusal like others
                error: Exception = failure
                if attempt > 1:  # the first may have been made on a connection that had been idle, and closed for that
                    error = self._connections.explain(failure, deadline - self._clock.monotonic())
                left = deadline - self._clock.monotonic() - pause
                if left <= 0 or not passing(error):
                    raise self._unavailable(error) from error
            self._stats.count("retries")
            self._clock.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311 - spreads load, guards nothing
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        if passing(error):
            self._stats.count("unavailable")
            hint = (
                "; its cluster has the namespace elsewhere, which redis+cluster:// follows"
                if redirection(error)[0]
                else ""
            )
            return StoreUnavailable(f"Redis has not answered usefully within {self._budget:g} s{hint}", cause=error)
        return StoreUnavailable(refusal(error) or "Redis refuses", cause=error, passing=False)

    def _check_server(self, deadline: float) -> None:
        """Refuse a server that lacks what the scripts use; asked once, at the first use."""
        info = self._told(deadline, "INFO", "server")
        version = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", read_info(info).get("redis_version", ""))
        if version and (int(version[1]), int(version[2])) < LEAST_VERSION:
            raise ConfigurationError("url", f"the server is Redis {version[0]}; 6.2 or newer is needed")
        known = self._told(deadline, "COMMAND", "INFO", *COMMANDS)
        told = known if isinstance(known, list) else []
        lacking = [name for name, what in zip(COMMANDS, told, strict=False) if what is None]
        if lacking:
            raise ConfigurationError("url", f"the server has no command {', '.join(lacking)}")
        self._checked = True

    def _told(self, deadline: float, *question: str) -> Any:
        """Return what the server says of itself; None if it does not tell this user, and the scripts will find out."""
        try:
            return self._retried(deadline, *question)
        except StoreUnavailable as error:
            if error.passing or not isinstance(error.cause, redis.ResponseError):
                raise
            return None


class Line:
    """One connection for one thread that blocks on it, and that another thread may hang up.

    Nothing is tried again: what goes wrong is what the caller wants to know.

    Args:
        route: Leads to the server.
    """

    def __init__(self, route: Route) -> None:
        self._connections = Connections(route, LINE_TIMEOUT)
        self._closed = False
        self._connection: Any = None

    def ask(self, *command: str | int) -> Any:
        """Send one command and return the answer; connects if need be.

        Raises:
            StoreClosed: The line was hung up.
            redis.RedisError: Whatever went wrong.
        """
        return self._connections.use(LINE_TIMEOUT, self._exchange, *command)

    @property
    def host(self) -> str | None:
        """The host that the last question went to; None for a Unix socket, or if there was none."""
        return getattr(self._connection, "host", None)

    def close(self) -> None:
        """Hang up: who waits for an answer gets an error at once."""
        self._closed = True
        self._connections.close()
        if self._connection:
            with contextlib.suppress(Exception):  # its thread may be closing it at this moment
                self._connection.disconnect()

    def reset_after_fork(self) -> None:
        """Leave the parent's connection to the parent."""
        self._connections.reset_after_fork()
        self._connection = None

    def _exchange(self, connection: Any, *command: str | int) -> Any:
        self._connection = connection
        connection.connect()
        if self._closed:  # meanwhile: there was nothing to hang up
            raise StoreClosed
        return ask(connection, *command)


def ask(connection: Any, *command: str | int) -> Any:
    """Send one command on a connection, and return the answer."""
    connection.send_packed_command(_packed(connection, command), check_health=False)
    return _answer(connection)


def _ask_promptly(connection: Any, *command: str | int) -> Any:
    """Do the same, and wait no longer than ``PROMPT``, whatever the connection's own timeout is."""
    connection.send_packed_command(_packed(connection, command), check_health=False)
    if not connection.can_read(PROMPT):
        raise exceptions.TimeoutError
    return _answer(connection)


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except (redis.RedisError, OSError):
        raise
    except Exception as error:  # what a parser stumbles over, in bytes that are none of the protocol's
        raise exceptions.InvalidResponse(type(error).__name__) from None


def _packed(connection: Any, command: tuple[str | int, ...]) -> Any:
    if not _pack:
        return connection.pack_command(*command)
    try:
        return [_pack(command)]
    except UnicodeEncodeError:  # bytes that were read as no UTF-8 go back as they were
        words = (word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word for word in command)
        return [_pack(tuple(words))]


def passing(error: Exception) -> bool:
    """Return whether asking again later may help, as against what Redis refuses for good."""
    if refusal(error):
        return False
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError, *_TRANSITIONS)):
        return True
    return isinstance(error, redis.ResponseError) and any(
        word in f"{type(error).__name__} {error}" for word in _PASSING
    )
