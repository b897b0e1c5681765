"""Zoho's OAuth rules, without I/O: who may have which token, and when the answer is no."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable

from .model import (
    AccessToken,
    Client,
    GrantCode,
    IssuedTokens,
    Limits,
    RefreshToken,
    Refused,
    Throttled,
    User,
    fingerprint,
)


class Accounts:
    """Keep clients, users, codes and tokens by Zoho's documented rules. Safe to share between threads.

    Args:
        limits: the limits to keep.
        clock: gives the time, seconds since the epoch.
        seed: makes codes and tokens the same in each run; None draws them from the system.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float], seed: int | None = None) -> None:
        self.limits = limits
        self._clock = clock
        self._random = random.SystemRandom() if seed is None else random.Random(seed)
        self._lock = threading.RLock()
        self._clients: dict[str, Client] = {}
        self._users: dict[str, User] = {}
        self._codes: dict[str, GrantCode] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self._held: dict[tuple[str, str], list[RefreshToken]] = {}  # by client and user, first issued first
        self._access: dict[str, AccessToken] = {}
        self._families: dict[str, str] = {}  # rotated tokens keep leading to the name of their grant

    def register_client(self, client_id: str, client_secret: str, redirect_uris: Iterable[str] = ()) -> Client:
        """Add or replace a client; see `Client` for the fields."""
        client = Client(client_id, client_secret, tuple(redirect_uris))
        with self._lock:
            self._clients[client_id] = client
        return client

    def client(self, client_id: str) -> Client | None:
        """Return the client of that id, if there is one."""
        return self._clients.get(client_id)

    def register_user(self, email: str, org_id: str = "60000000001") -> User:
        """Add a user, or return the one that has this email already.

        Args:
            email: the user's name at Zoho.
            org_id: the organisation's ``zgid``, digits.
        """
        with self._lock:
            if email not in self._users:
                self._users[email] = User(email, f"4150868{len(self._users) + 1:012d}", org_id)
            return self._users[email]

    def users(self) -> list[User]:
        """Return all users in order of registration."""
        with self._lock:
            return list(self._users.values())

    def issue_grant_code(
        self, client_id: str, user: str, scope: str, redirect_uri: str | None = None, offline: bool = True
    ) -> str:
        """Make an authorization code, as consent does.

        Args:
            client_id: a registered client.
            user: email; a new one is registered.
            scope: comma-separated scopes.
            redirect_uri: the exchange must repeat it; None binds to none.
            offline: whether the exchange gives a refresh token (``access_type=offline``).

        Raises:
            Refused: ``invalid_client``.
        """
        with self._lock:
            self._known_client(client_id)
            expires_at = self._clock() + self.limits.grant_code_ttl
            code = GrantCode(
                self._draw(), client_id, self.register_user(user), scope, redirect_uri, offline, expires_at
            )
            self._codes[code.value] = code
            return code.value

    def issue_refresh_token(self, client_id: str, user: str, scope: str) -> str:
        """Make a refresh token as if a code had been exchanged; arguments as for `issue_grant_code`."""
        with self._lock:
            self._known_client(client_id)
            return self._new_refresh(client_id, self.register_user(user), scope).value

    def issue_access_token(self, refresh_token: str) -> str:
        """Make an access token outside the throttle window, to start a test with.

        Raises:
            Refused: ``invalid_code`` for an unknown or revoked refresh token.
        """
        with self._lock:
            return self._new_access(self._known_refresh(refresh_token, None)).value

    def exchange(self, client_id: str, client_secret: str, code: str, redirect_uri: str | None) -> IssuedTokens:
        """Exchange a code, once, for an access token and, when offline, a refresh token.

        Raises:
            Refused: ``invalid_client``, ``invalid_client_secret``, ``invalid_code`` (unknown, used, too old, or
                another client's), ``invalid_redirect_uri`` (the code stays good).
        """
        with self._lock:
            client = self._authenticated(client_id, client_secret)
            grant = self._codes.get(code)
            if grant is None or grant.client_id != client_id or grant.expires_at <= self._clock():
                raise Refused("invalid_code")
            self._check_redirect(client, grant, redirect_uri)
            del self._codes[code]
            refresh = RefreshToken("", client_id, grant.user, grant.scope, "")
            if grant.offline:
                refresh = self._new_refresh(client_id, grant.user, grant.scope)
            return self._issued(self._new_access(refresh), refresh.value or None)

    def refresh(
        self, client_id: str, client_secret: str, refresh_token: str, *, rotate: bool = False, overlaps: bool = False
    ) -> IssuedTokens:
        """Give an access token for a refresh token.

        Args:
            client_id: the client that the refresh token was given to.
            client_secret: its secret.
            refresh_token: the refresh token.
            rotate: replace the refresh token by a new one and refuse the old one from now on. Zoho does not.
            overlaps: then let the old one go on working.

        Raises:
            Throttled: the window of this refresh token is used up.
            Refused: ``invalid_client``, ``invalid_client_secret``, ``invalid_code`` (unknown, revoked or dropped).
        """
        with self._lock:
            self._authenticated(client_id, client_secret)
            refresh = self._known_refresh(refresh_token, client_id)
            self._count_in_window(refresh)
            successor = self._rotate(refresh, overlaps) if rotate else None
            access = self._new_access(successor or refresh)
            return self._issued(access, successor.value if successor else None)

    def revoke(self, token: str) -> bool:
        """Revoke a refresh or access token; tell whether there was one."""
        with self._lock:
            refresh = self._refresh.get(token)
            if refresh is not None:
                self._drop(refresh)
                return True
            return self._access.pop(token, None) is not None

    def authenticate(self, access_token: str) -> AccessToken | None:
        """Return the live access token of that value; None is CRM's ``INVALID_TOKEN``."""
        with self._lock:
            access = self._access.get(access_token)
            return access if access is not None and access.expires_at > self._clock() else None

    def expire_access_tokens(self, refresh_token: str | None = None) -> int:
        """End access tokens before their time, so that CRM rejects them.

        Args:
            refresh_token: end those of this one only; None ends all.

        Returns:
            How many were ended.
        """
        with self._lock:
            values = list(self._access)
            if refresh_token is not None:
                values = [access.value for access in self._known_refresh(refresh_token, None).live]
            return sum(self._access.pop(value, None) is not None for value in values)

    def family(self, refresh_token: str) -> str:
        """Return the lasting name of a grant: the fingerprint of the first refresh token of its rotation chain."""
        name = fingerprint(refresh_token)
        return self._families.get(name, name)

    def _known_client(self, client_id: str) -> Client:
        client = self._clients.get(client_id)
        if client is None:
            raise Refused("invalid_client")
        return client

    def _authenticated(self, client_id: str, client_secret: str) -> Client:
        client = self._known_client(client_id)
        if client.client_secret != client_secret:
            raise Refused("invalid_client_secret")
        return client

    def _known_refresh(self, value: str, client_id: str | None) -> RefreshToken:
        refresh = self._refresh.get(value)
        if refresh is None or client_id not in (None, refresh.client_id):
            raise Refused("invalid_code")
        return refresh

    @staticmethod
    def _check_redirect(client: Client, grant: GrantCode, given: str | None) -> None:
        # A code from the console (a self client) is bound to no URI, and the SDK then sends none or any registered one.
        if grant.redirect_uri is not None and given != grant.redirect_uri:
            raise Refused("invalid_redirect_uri")
        if given is not None and client.redirect_uris and given not in client.redirect_uris:
            raise Refused("invalid_redirect_uri")

    def _count_in_window(self, refresh: RefreshToken) -> None:
        now = self._clock()
        if now >= refresh.window_started + self.limits.window:
            refresh.window_started, refresh.issued_in_window = now, 0
        if refresh.issued_in_window >= self.limits.access_tokens_per_window:
            raise Throttled
        refresh.issued_in_window += 1

    def _new_refresh(self, client_id: str, user: User, scope: str) -> RefreshToken:
        held = self._held.setdefault((client_id, user.email), [])
        if len(held) >= self.limits.refresh_tokens_per_user:
            self._drop(held[0])
        value = self._draw()
        refresh = RefreshToken(value, client_id, user, scope, fingerprint(value))
        self._refresh[value] = refresh
        held.append(refresh)
        return refresh

    def _new_access(self, refresh: RefreshToken) -> AccessToken:
        now = self._clock()
        expires_at = now + self.limits.access_token_ttl
        access = AccessToken(self._draw(), refresh.client_id, refresh.user, refresh.scope, expires_at)
        self._access[access.value] = access
        for old in [held for held in refresh.live if held.expires_at <= now]:
            self._access.pop(old.value, None)
        refresh.live = [held for held in refresh.live if held.value in self._access]
        refresh.live.append(access)
        while len(refresh.live) > self.limits.live_access_tokens:
            del self._access[refresh.live.pop(0).value]
        return access

    def _rotate(self, refresh: RefreshToken, overlaps: bool) -> RefreshToken:
        if overlaps:
            new = self._new_refresh(refresh.client_id, refresh.user, refresh.scope)
            new.family = refresh.family
        else:
            new = refresh
            del self._refresh[new.value]
            new.value = self._draw()
            self._refresh[new.value] = new
        self._families[fingerprint(new.value)] = new.family
        return new

    def _drop(self, refresh: RefreshToken) -> None:
        del self._refresh[refresh.value]
        self._held[refresh.client_id, refresh.user.email].remove(refresh)
        if self.limits.revoke_drops_access_tokens:
            for access in refresh.live:
                self._access.pop(access.value, None)

    def _issued(self, access: AccessToken, refresh_token: str | None) -> IssuedTokens:
        return IssuedTokens(access.value, refresh_token, int(self.limits.access_token_ttl), access.scope)

    def _draw(self) -> str:
        return f"1000.{self._random.getrandbits(128):032x}.{self._random.getrandbits(128):032x}"
