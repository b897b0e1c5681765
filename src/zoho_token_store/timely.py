"""HTTP within a deadline: ``requests``, whose own timeouts begin anew with every byte."""

from __future__ import annotations

import http.client
import io
import math
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from zoho_token_store.clock import SystemClock

IDLE = 60.0
"""Seconds for which a connection is kept unused. A firewall on the way forgets it after some minutes, and says nothing
to either end: the next request on it, an hour later, would wait in vain."""

_POOL = 8


@contextmanager
def deadline(at_most: float, clock: SystemClock) -> Iterator[None]:
    """Let every read and connection of this thread end in time, for as long as the context lasts.

    Args:
        at_most: Seconds.
        clock: This machine's clocks.
    """
    _call.ends = clock.monotonic() + at_most
    _call.now = clock.monotonic
    try:
        yield
    finally:
        _call.ends = math.inf


def time_left() -> float:
    """Return the seconds that are left of this thread's deadline."""
    return _call.left()


class _Call(threading.local):
    """When the call that a thread is in must end."""

    ends: float = math.inf
    now: Callable[[], float] = SystemClock().monotonic

    def left(self) -> float:
        """Return the seconds left."""
        return self.ends - self.now()


_call = _Call()


class _Reader(io.RawIOBase):
    """Reads from a socket until the call must end. A socket's own timeout begins anew with every byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = _call.left()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left if left < math.inf else None)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer whose status line, headers and body must come in time."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock))


class _Timely:
    """A connection that is used in time or not at all."""

    response_class = _Answer
    _used = 0.0

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        if _call.left() <= 0:  # its request would be sent when others may have taken over
            self.close()  # type: ignore[attr-defined]
            raise TimeoutError("timed out")

    def getresponse(self) -> Any:
        self._used = _call.now()
        return super().getresponse()  # type: ignore[misc]

    @property
    def is_connected(self) -> bool:
        """Whether it can be used again; its pool asks before each request (since urllib3 2.0)."""
        connected: bool = super().is_connected  # type: ignore[misc]
        return connected and _call.now() - self._used < IDLE


class _Plain(_Timely, HTTPConnection):  # type: ignore[misc]
    pass


class _Secure(_Timely, HTTPSConnection):  # type: ignore[misc]
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS = {"http": _PlainPool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    """Makes timely connections, directly and by proxies."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):  # these have pools of their own
            manager.pool_classes_by_scheme = _POOLS
        return manager


def make_session() -> requests.Session:
    """Return a session whose requests end in time; it keeps no cookies and follows no ``.netrc``."""
    session = requests.Session()
    session.mount("http://", _Adapter(pool_connections=_POOL, pool_maxsize=_POOL, max_retries=0))
    session.mount("https://", _Adapter(pool_connections=_POOL, pool_maxsize=_POOL, max_retries=0))
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # Left to itself requests looks into ~/.netrc, and puts what it finds there in the place of our own header.
    session.auth = _no_auth
    session.headers["Accept-Encoding"] = "identity"  # an answer is as long as it is
    return session


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
