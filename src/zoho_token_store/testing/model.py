"""What Zoho's accounts service knows: people, clients, codes and tokens, and the limits it puts on them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Hold every limit of Zoho's OAuth service, each one a setting.

    Sources: Zoho CRM API documentation, "OAuth 2.0: Token validity" and "Refreshing access tokens"; Zoho Accounts
    documentation, "OAuth 2.0: Token limits".

    Args:
        access_token_ttl: life of an access token, seconds. Answered as ``expires_in``, cut to whole seconds.
            The SDK refreshes by itself when fewer than 5 s are left, so with the SDK use at least 7.
        access_tokens_per_window: access tokens that one refresh token gives within a window.
        window: length of that window, seconds, from its first token.
        live_access_tokens: live access tokens per refresh token; one more drops the oldest.
        refresh_tokens_per_user: refresh tokens per user and client; one more drops the first.
        grant_code_ttl: life of an authorization code, seconds.
        revoke_drops_access_tokens: whether access tokens go with their revoked or dropped refresh token.

    Raises:
        ValueError: a number that is not positive.
    """

    access_token_ttl: float = 3600.0
    access_tokens_per_window: int = 10
    window: float = 600.0
    live_access_tokens: int = 15
    refresh_tokens_per_user: int = 20
    grant_code_ttl: float = 120.0
    revoke_drops_access_tokens: bool = True

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, bool) and not value > 0:
                raise ValueError(f"Limits.{item.name} must be greater than 0, not {value!r}")


@dataclass(frozen=True, slots=True)
class User:
    """Describe a person who can consent: email, CRM user id, organisation id (``zgid``)."""

    email: str
    user_id: str
    org_id: str


@dataclass(frozen=True, slots=True)
class Client:
    """Describe a registered client; without redirect URIs any is accepted, as with Zoho's self clients."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uris: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GrantCode:
    """Describe an authorization code that waits to be exchanged."""

    value: str = field(repr=False)
    client_id: str
    user: User
    scope: str
    redirect_uri: str | None
    offline: bool
    expires_at: float


@dataclass(frozen=True, slots=True)
class AccessToken:
    """Describe a live access token."""

    value: str = field(repr=False)
    client_id: str
    user: User
    scope: str
    expires_at: float


@dataclass(slots=True, eq=False)
class RefreshToken:
    """Hold one refresh token with its throttle window and its access tokens, oldest first.

    ``family`` is the fingerprint of the first refresh token of a rotation chain, so that one grant keeps one name.
    """

    value: str = field(repr=False)
    client_id: str
    user: User
    scope: str
    family: str
    window_started: float = float("-inf")
    issued_in_window: int = 0
    live: list[AccessToken] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """Describe what a token request was given; ``refresh_token`` only at an exchange or a rotation."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: int
    scope: str


class Refused(Exception):
    """Carry Zoho's error word for a token request that was refused, such as ``invalid_code``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Throttled(Refused):
    """Say that a refresh token has given all the access tokens of its window."""

    def __init__(self) -> None:
        super().__init__("Access Denied")


def fingerprint(secret: str) -> str:
    """Name a code or token without revealing it.

    Args:
        secret: a grant code or token.

    Returns:
        12 hexadecimal digits of its SHA-256.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:12]
