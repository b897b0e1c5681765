"""`FakeZoho`: the stand-in as a server on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from .endpoints import Endpoints
from .handler import Handler
from .listener import Listener
from .model import Client, Limits
from .standin import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, StandIn


class FakeZoho(StandIn):
    """Stand in for Zoho's accounts, consent and CRM endpoints. Use as a context manager, or `start` and `stop`.

    State outlasts `stop`: a later `start` opens the same port again, as after an outage. One client is registered
    from the start, with the attributes ``client_id``, ``client_secret`` and ``redirect_uri``.

    Args:
        host: address to listen on.
        port: port to listen on; 0 picks a free one.
        limits: Zoho's limits.
        expires_in: life of access tokens, seconds, in place of the one in ``limits``.
        client: the client to register, in place of one with well-known values.
        api_domain: what token answers name as ``api_domain``; None is the URL by which the caller came.
        public_url: what the stand-in calls itself; None goes by each caller's Host header.
        clock: gives the time, seconds since the epoch; `advance` adds to it.
        seed: makes codes and tokens the same in each run.
        history: how many requests to remember.

    Raises:
        ValueError: a limit that is not positive.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        expires_in: float | None = None,
        client: Client | None = None,
        api_domain: str | None = None,
        public_url: str | None = None,
        clock: Callable[[], float] = time.time,
        seed: int | None = None,
        history: int = 10_000,
    ) -> None:
        limits = limits or Limits()
        if expires_in is not None:
            limits = replace(limits, access_token_ttl=expires_in)
        super().__init__(limits, client or Client(CLIENT_ID, CLIENT_SECRET, (REDIRECT_URI,)), clock, seed, history)
        self.endpoints = Endpoints(self.accounts, self.faults, api_domain)
        self.public_url = public_url and public_url.rstrip("/")
        self._host, self._port = host, port
        self._listener: Listener | None = None

    def __repr__(self) -> str:
        return f"<FakeZoho {self.url}>"

    def __enter__(self) -> FakeZoho:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Return the port; 0 until the first `start` when none was given."""
        return self._port

    @property
    def url(self) -> str:
        """Return the base URL; on all interfaces the one for this machine."""
        host = "127.0.0.1" if self._host in ("", "0.0.0.0") else self._host
        return self.public_url or f"http://{host}:{self._port}"

    def start(self) -> FakeZoho:
        """Listen and serve in the background; return once requests are accepted. Does nothing when it runs.

        Raises:
            OSError: the address cannot be had.
        """
        if self._listener is None:
            handler = type("ZohoHandler", (Handler,), {"zoho": self})
            self._listener = Listener((self._host, self._port), handler)
            self._port = self._listener.server_port
            self.stopped.clear()
            threading.Thread(target=self._listener.serve_forever, args=(0.02,), name="fake-zoho", daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop serving and close every connection, hanging ones too. Does nothing when it does not run."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self.stopped.set()
            listener.shutdown()
            listener.server_close()
            listener.close_connections()
