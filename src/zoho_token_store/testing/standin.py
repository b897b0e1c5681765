"""`StandIn`: the state of the stand-in and what tests do with it; serving it over HTTP is elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from .endpoints import Endpoints
from .faults import Faults
from .ledger import Counters, Ledger, RequestSeen, Traffic
from .model import Client, Limits, User
from .rules import Accounts

CLIENT_ID = "1000.STANDIN00000000000000000000000000"
CLIENT_SECRET = "stand-in-client-secret"
REDIRECT_URI = "http://localhost:5000/callback"
SCOPE = "ZohoCRM.modules.ALL,ZohoCRM.settings.ALL,ZohoCRM.users.READ,ZohoCRM.org.READ"
USER = "ada@example.com"


class StandIn:
    """Hold accounts, switches and ledger of one stand-in. `FakeZoho` adds the server and explains the arguments."""

    endpoints: Endpoints
    public_url: str | None

    def __init__(
        self, limits: Limits, client: Client, clock: Callable[[], float], seed: int | None, history: int
    ) -> None:
        self.client_id = client.client_id
        self.client_secret = client.client_secret
        self.redirect_uri = client.redirect_uris[0] if client.redirect_uris else None
        self.stopped = threading.Event()  # set while nothing is served, so that waiting requests end
        self._clock, self._offset = clock, 0.0
        self.faults = Faults()
        self.ledger = Ledger(self.now, time.monotonic, history)
        self.accounts = Accounts(limits, self.now, seed)
        self.accounts.register_client(client.client_id, client.client_secret, client.redirect_uris)
        self.accounts.register_user(USER)

    def now(self) -> float:
        """Return the stand-in's time, seconds since the epoch."""
        return self._clock() + self._offset

    def advance(self, seconds: float) -> None:
        """Let time pass at once for codes, tokens and throttle windows.

        Raises:
            ValueError: time does not go back.
        """
        if not seconds >= 0:
            raise ValueError(f"seconds must be 0 or more, not {seconds!r}")
        self._offset += seconds

    def register_client(self, client_id: str, client_secret: str, redirect_uris: Iterable[str] = ()) -> Client:
        """Add or replace a client; without redirect URIs any is accepted."""
        return self.accounts.register_client(client_id, client_secret, redirect_uris)

    def register_user(self, email: str, org_id: str = "60000000001") -> User:
        """Add a user, of the organisation with that ``zgid``, or return the one of that email."""
        return self.accounts.register_user(email, org_id)

    def issue_grant_code(
        self,
        user: str = USER,
        client_id: str | None = None,
        scope: str = SCOPE,
        redirect_uri: str | None = None,
        offline: bool = True,
    ) -> str:
        """Make a code as consent does; see `Accounts.issue_grant_code`. ``client_id`` None is the first client."""
        return self.accounts.issue_grant_code(client_id or self.client_id, user, scope, redirect_uri, offline)

    def issue_refresh_token(self, user: str = USER, client_id: str | None = None, scope: str = SCOPE) -> str:
        """Make a refresh token as if a code had been exchanged."""
        return self.accounts.issue_refresh_token(client_id or self.client_id, user, scope)

    def issue_access_token(self, refresh_token: str) -> str:
        """Make an access token outside the throttle window."""
        return self.accounts.issue_access_token(refresh_token)

    def expire_access_tokens(self, refresh_token: str | None = None) -> int:
        """Let CRM reject all access tokens, or those of one refresh token, from now on; return how many."""
        return self.accounts.expire_access_tokens(refresh_token)

    @property
    def counters(self) -> Counters:
        """Return the counters as they are now."""
        return self.ledger.counters()

    @property
    def requests(self) -> tuple[RequestSeen, ...]:
        """Return the remembered requests in the order in which they ended."""
        return self.ledger.requests()

    def traffic(self, token: str) -> Traffic:
        """Return what was seen of one grant, by any of its refresh tokens, or of one grant code."""
        return self.ledger.traffic(self.accounts.family(token))

    def max_in_flight(self, token: str | None = None) -> int:
        """Return the most token requests at the same time for one grant or code, or for any when None."""
        return self.ledger.max_in_flight() if token is None else self.traffic(token).max_in_flight

    def reset(self) -> None:
        """Set counters and history to nothing; tokens, windows and switches stay."""
        self.ledger.reset()
