"""`ZohoControl`: steer and read a stand-in that runs in another process."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from .ledger import Counters, RequestSeen, Traffic
from .model import fingerprint


class ControlError(Exception):
    """Say that the stand-in refused a control request, and why."""


class ZohoControl:
    """Talk to the ``/_control/`` endpoints of a stand-in. Holds no connection; threads and forks may share it.

    Args:
        url: base URL of the stand-in.
        timeout: of each request, seconds.
    """

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        self.url = url.rstrip("/")
        self._address = urlsplit(url)
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<ZohoControl {self.url}>"

    def wait_ready(self, timeout: float = 10.0) -> None:
        """Return once the stand-in answers.

        Args:
            timeout: how long to wait, seconds.

        Raises:
            TimeoutError: it did not answer in that time.
        """
        until = time.monotonic() + timeout
        while True:
            try:
                self._call("GET", "health")
                return
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() >= until:
                    raise TimeoutError(f"no stand-in answers at {self.url}") from error
                time.sleep(0.02)

    def state(self) -> dict[str, Any]:
        """Return counters, traffic by fingerprint, most in flight, switches and limits."""
        state: dict[str, Any] = self._call("GET", "state")
        return state

    def counters(self) -> Counters:
        """Return the counters as they are now."""
        return Counters(**self._call("GET", "counters"))

    def requests(self) -> tuple[RequestSeen, ...]:
        """Return the remembered requests in the order in which they ended."""
        return tuple(RequestSeen(**seen) for seen in self._call("GET", "requests"))

    def traffic(self, token: str) -> Traffic:
        """Return what was seen of one grant or code.

        Args:
            token: a grant code, or the first refresh token of the grant; it does not leave this process.
        """
        return Traffic(**self.state()["traffic"].get(fingerprint(token), {}))

    def max_in_flight(self, token: str | None = None) -> int:
        """Return the most token requests at the same time for one grant or code, or for any when None."""
        return int(self.state()["max_in_flight"]) if token is None else self.traffic(token).max_in_flight

    def set_faults(self, **switches: Any) -> None:
        """Change standing switches; see `FaultSettings`."""
        self._call("POST", "faults", switches)

    def fail_next(self, times: int | None = 1, **options: Any) -> None:
        """Let the next requests fail; see `Faults.fail_next`."""
        self._call("POST", "fail", {"times": times, **options})

    def clear_faults(self) -> None:
        """Put all switches back and drop planned failures."""
        self._call("POST", "clear-faults")

    def reset(self) -> None:
        """Set counters and history to nothing."""
        self._call("POST", "reset")

    def advance(self, seconds: float) -> None:
        """Let time pass at once for codes, tokens and throttle windows."""
        self._call("POST", "advance", {"seconds": seconds})

    def register_client(self, client_id: str, client_secret: str, redirect_uris: tuple[str, ...] = ()) -> None:
        """Add or replace a client."""
        options = {"client_id": client_id, "client_secret": client_secret, "redirect_uris": redirect_uris}
        self._call("POST", "client", options)

    def register_user(self, email: str, **options: str) -> None:
        """Add a user; see `FakeZoho.register_user`."""
        self._call("POST", "user", {"email": email, **options})

    def issue_grant_code(self, **options: Any) -> str:
        """Make a code; see `FakeZoho.issue_grant_code`."""
        return str(self._call("POST", "grant-code", options)["value"])

    def issue_refresh_token(self, **options: Any) -> str:
        """Make a refresh token; see `FakeZoho.issue_refresh_token`."""
        return str(self._call("POST", "refresh-token", options)["value"])

    def issue_access_token(self, refresh_token: str) -> str:
        """Make an access token outside the throttle window."""
        return str(self._call("POST", "access-token", {"refresh_token": refresh_token})["value"])

    def expire_access_tokens(self, refresh_token: str | None = None) -> int:
        """Let CRM reject all access tokens, or those of one refresh token, from now on; return how many."""
        return int(self._call("POST", "expire", {"refresh_token": refresh_token})["value"])

    def _call(self, method: str, name: str, options: dict[str, Any] | None = None) -> Any:
        # Not urllib.request: that would go through a proxy of the environment.
        kind = http.client.HTTPSConnection if self._address.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._address.hostname or "127.0.0.1", self._address.port, timeout=self._timeout)
        try:
            body = json.dumps(options or {}).encode() if method == "POST" else None
            connection.request(method, f"/_control/{name}", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ControlError(answer["error"])
        return answer
