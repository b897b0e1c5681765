"""Tokens as an application and the SDK make them, and what is in those that come back."""

from __future__ import annotations

import time
from typing import Any

from zoho_token_store.zoho_sdk import OAuthToken, UserSignature

CLIENT = "1000.ONE"
OTHER_CLIENT = "1000.TWO"
SECRET = "made-up-secret"
HOUR = 3600.0


def epoch_ms(left: float) -> str:
    """Return an expiry as the SDK writes it, ``left`` seconds from now."""
    return str(int((time.time() + left) * 1000))


def make_token(
    user: str | None = None,
    *,
    client_id: str | None = CLIENT,
    secret: str | None = SECRET,
    refresh: str | None = None,
    grant: str | None = None,
    access: str | None = None,
    left: float | None = HOUR,
    id: str | None = None,
    redirect: str | None = None,
    domain: str | None = None,
) -> Any:
    """Return an ``OAuthToken``; one with an access token gets an expiry ``left`` seconds from now, None for none."""
    token = OAuthToken(client_id="c", client_secret="s", refresh_token="r")
    # By setters, since the constructor insists on what an application normally has.
    token.set_client_id(client_id)
    token.set_client_secret(secret)
    token.set_refresh_token(refresh)
    token.set_grant_token(grant)
    token.set_access_token(access)
    token.set_id(id)
    token.set_redirect_url(redirect)
    token.set_api_domain(domain)
    token.set_user_signature(None if user is None else UserSignature(user))
    if access is not None and left is not None:
        token.set_expires_in(epoch_ms(left))
    return token


def by_user(user: str, client_id: str | None = None) -> Any:
    """Return what an application passes that knows nothing but a user."""
    return make_token(user, client_id=client_id, secret=None)


def by_access(access: str) -> Any:
    """Return what an application passes that has nothing but an access token."""
    return make_token(access=access, left=None, client_id=None, secret=None)


def refreshed(token: Any, access: str, left: float = HOUR, refresh: str | None = None) -> Any:
    """Do to a token what the SDK does after Zoho's answer; return it."""
    token.set_access_token(access)
    token.set_expires_in(epoch_ms(left))
    if refresh is not None:
        token.set_refresh_token(refresh)
    return token


def user_of(token: Any) -> str | None:
    """Return a token's user name."""
    signature = token.get_user_signature()
    return None if signature is None else signature.get_name()


def contents(token: Any) -> dict[str, str | None]:
    """Return all that is in a token, without its expiry, which depends on when it is asked."""
    names = ("id", "client_id", "client_secret", "refresh_token", "grant_token", "redirect_url", "api_domain")
    read = {name: getattr(token, f"get_{name}")() for name in (*names, "access_token")}
    return {**read, "user": user_of(token)}


def seconds_left(token: Any) -> float:
    """Return how long a token lives by its own expiry."""
    return int(token.get_expires_in()) / 1000 - time.time()
