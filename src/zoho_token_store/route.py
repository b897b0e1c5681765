"""The way to the one server that takes a namespace's writes: how it is found, and what says that it is another now."""

from __future__ import annotations

import random
import re
import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol

import redis
from redis import exceptions

from zoho_token_store.dialer import Address, Dialer
from zoho_token_store.directory import Directory, Found
from zoho_token_store.refusal import refusal

SHARES = 3
"""Into how many parts the time for finding out is divided: one that is silent costs one of them."""

_LEAST_TIMEOUT = 0.01

# What a server says that is, or may be, no master of this namespace any more.
_NOT_HERE = ("READONLY", "MASTERDOWN", "CLUSTERDOWN", "UNBLOCKED")


class Route(Protocol):
    """What a topology consists of."""

    def open(self, timeout: float, at_most: float) -> Any:
        """Return a connection to the server that takes the namespace's writes now.

        Args:
            timeout: Longest time that connecting, and any single read or write, may block, seconds.
            at_most: Seconds left for all of it.

        Raises:
            redis.RedisError: It cannot be found, or does not answer.
        """

    def leads_to(self, connection: Any) -> bool:
        """Return whether a connection that was opened earlier still leads to that server, as far as is known."""

    def learn(self, connection: Any, error: Exception) -> None:
        """Take note of what went wrong on a connection: the namespace may live elsewhere by now."""

    def detour(self, connection: Any, error: redis.ResponseError, timeout: float) -> Any:
        """Return a connection to where an error says that this one request is to be asked; None if it says no such."""

    def explain(self, error: Exception, at_most: float) -> Exception:
        """Return an error that says more, if the server has hung up on a new connection by TLS.

        Args:
            error: What has come of it.
            at_most: Seconds left.
        """

    def reset_after_fork(self) -> None:
        """Be usable in a forked child."""


class FixedRoute:
    """The way to a server that has one address for ever.

    Args:
        dialer: Makes connections to it.
    """

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer

    def open(self, timeout: float, at_most: float) -> Any:
        """Return a connection."""
        return self._dialer.dial(max(min(timeout, at_most), _LEAST_TIMEOUT))

    def leads_to(self, connection: Any) -> bool:
        """Return True: there is but one server."""
        return True

    def learn(self, connection: Any, error: Exception) -> None:
        """Nothing can be learnt."""

    def detour(self, connection: Any, error: redis.ResponseError, timeout: float) -> Any:
        """Return None: there is no other server."""
        return None

    def explain(self, error: Exception, at_most: float) -> Exception:
        """Ask the server what it objects to."""
        return self._dialer.explain(error, at_most)

    def reset_after_fork(self) -> None:
        """Nothing is remembered."""


class SoughtRoute:
    """The way to a server that has to be asked for, and that may change.

    Args:
        directory: What is asked, and how the answer is read.
        nodes: Who is asked; more may be learnt.
        asking: Makes connections to them.
        dialer: Makes connections to the server.
    """

    def __init__(self, directory: Directory, nodes: Sequence[Address], asking: Dialer, dialer: Dialer) -> None:
        self._directory = directory
        self._seeds = tuple(nodes)
        self._ring = deque(nodes)
        self._asking = asking
        self._dialer = dialer
        self._place: Address | None = None
        self._last: Address | None = None  # as above, and remembered when it is lost
        self._seeking = threading.Lock()

    def open(self, timeout: float, at_most: float) -> Any:
        """Find the server, unless it is known, and return a connection."""
        deadline = monotonic() + at_most
        place = self._last = self._place or self._find(min(timeout, at_most))
        connection = self._dialer.dial(max(min(timeout, deadline - monotonic()), _LEAST_TIMEOUT), place)
        if self._directory.proof:
            self._prove(connection)
        return connection

    def leads_to(self, connection: Any) -> bool:
        """Return whether a connection leads to where the namespace lives."""
        return bool(self._place == (connection.host, connection.port))

    def learn(self, connection: Any, error: Exception) -> None:
        """Follow MOVED, and forget a server that is gone or is no master any more."""
        if not self.leads_to(connection):
            return  # another thread has learnt of it
        kind, address = redirection(error)
        if kind == "MOVED":
            self._place = self._directory.locate(*address, Address(connection.host, connection.port))
        elif not isinstance(error, redis.ResponseError) or any(word in _words(error) for word in _NOT_HERE):
            self._place = None

    def detour(self, connection: Any, error: redis.ResponseError, timeout: float) -> Any:
        """Return a connection to the node that a slot is on its way to, if it says ASK."""
        kind, address = redirection(error)
        if kind != "ASK":
            return None
        place = self._directory.locate(*address, Address(connection.host, connection.port))
        return self._dialer.dial(timeout, place)

    def explain(self, error: Exception, at_most: float) -> Exception:
        """Ask the server that was known last what it objects to."""
        return self._dialer.explain(error, at_most, self._last) if self._last else error

    def reset_after_fork(self) -> None:
        """Have a lock of its own: the parent's may have been held."""
        self._seeking = threading.Lock()

    def _find(self, at_most: float) -> Address:
        """Ask until somebody knows; of many threads one asks for all."""
        deadline = monotonic() + at_most
        if not self._seeking.acquire(timeout=at_most):
            raise redis.TimeoutError("the server of the namespace is still being looked for")
        try:
            place = self._place  # once: another thread may learn meanwhile that it is gone
            if place is None:
                place = self._place = self._ask_all(deadline)
            return place
        finally:
            self._seeking.release()

    def _ask_all(self, deadline: float) -> Address:
        """Ask one after another, beginning with who has not been asked for longest, since views may be stale."""
        share = max((deadline - monotonic()) / min(len(self._ring), SHARES), _LEAST_TIMEOUT)
        failure: Exception = redis.TimeoutError("nobody says in time where the namespace lives")
        for node in tuple(self._ring):
            left = deadline - monotonic()
            if left <= 0:
                break
            self._ring.rotate(-1)
            try:
                found = self._read(self._ask(node, min(share, left)), node)
            except (redis.RedisError, OSError) as error:
                # What one refuses says more than that another is silent.
                if not refusal(failure):
                    failure = self._asking.explain(error, deadline - monotonic(), node)
                continue
            self._remember(found.others)
            return found.place
        raise failure

    def _read(self, reply: Any, node: Address) -> Found:
        try:
            return self._directory.read(reply, node)
        except (TypeError, ValueError, LookupError) as error:
            raise exceptions.InvalidResponse(type(error).__name__) from None

    def _ask(self, node: Address, timeout: float) -> Any:
        connection = self._asking.dial(timeout, node)
        try:
            return _told(connection, self._directory.question)
        finally:
            connection.disconnect()

    def _remember(self, nodes: list[Address]) -> None:
        """Ask these from now on, in any order: a whole fleet looks for a new master at the same moment."""
        if nodes:
            random.shuffle(nodes)
            self._ring = deque(dict.fromkeys((*nodes, *self._seeds)))

    def _prove(self, connection: Any) -> None:
        """Make sure that a connection leads to a master.

        Raises:
            redis.ConnectionError: It does not.
        """
        try:
            if not self._directory.proves(_told(connection, self._directory.proof)):
                raise redis.ConnectionError("the server that was named is not the master")
        except exceptions.NoPermissionError:
            pass  # who may not ask has to believe
        except (redis.RedisError, OSError) as error:
            self.learn(connection, error)
            connection.disconnect()
            raise


def redirection(error: Exception) -> tuple[str, tuple[str, int]]:
    """Return what a cluster's node says of where to ask instead: MOVED or ASK, host and port; or nothing.

    redis-py makes errors of a class of their own out of these, in newer releases in any connection.
    """
    kind, _, rest = _words(error).partition(" ")
    host, _, port = rest.split(" ")[-1].rpartition(":")
    if kind not in ("MOVED", "ASK") or re.fullmatch("[0-9]{1,5}", port) is None:
        return "", ("", 0)
    return kind, (host, int(port))


def _words(error: Exception) -> str:
    """Return a server's error with its code, which redis-py takes off when it knows it."""
    code = _CODES.get(type(error), "")
    return f"{code} {error}" if code else str(error)


_CODES = {
    exceptions.MovedError: "MOVED",
    exceptions.AskError: "ASK",
    exceptions.TryAgainError: "TRYAGAIN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ReadOnlyError: "READONLY",
}


def _told(connection: Any, question: Sequence[str | int]) -> Any:
    connection.send_command(*question)
    return connection.read_response()
