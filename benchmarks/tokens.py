"""Tokens as Zoho's are: the same lengths, and no two alike."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import Any

from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import OAuthToken, UserSignature

CLIENT_ID = "1000.".ljust(35, "C")
CLIENT_SECRET = "5" * 42
REDIRECT_URL = "https://app.example.com/zoho/".ljust(40, "r")
API_DOMAIN = "https://sandbox.zohoapis.com"
LIFE = 3600.0
"""Life of an access token, seconds."""


def secret(kind: str, number: int) -> str:
    """Return a token of 70 characters: ``1000.<32 digits>.<32 digits>``."""
    digits = sha256(f"{kind} {number}".encode()).hexdigest()
    return f"1000.{digits[:32]}.{digits[32:]}"


def user_name(number: int) -> str:
    """Return a user name as SDK 8 makes it, 31 characters."""
    return f"u{number:06}@example.com:60012345678"


def expires_in(life: float = LIFE) -> str:
    """Return an expiry as the SDK has it: epoch milliseconds, as text."""
    return str(int((time.time() + life) * 1000))


def full_token(number: int) -> Any:
    """Return a token with every field but an id, fresh for an hour."""
    token = OAuthToken(
        user_signature=UserSignature(user_name(number)),
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        grant_token=secret("grant", number),
        refresh_token=secret("refresh", number),
        redirect_url=REDIRECT_URL,
        api_domain=API_DOMAIN,
        access_token=secret("access", number),
    )
    token.set_expires_in(expires_in())
    return token


def token_of(zoho: FakeZoho, life: float) -> Any:
    """Return a token as an earlier run would have left it: with a new grant of Zoho's, and just refreshed.

    Args:
        zoho: Whose.
        life: Of its access token, seconds.
    """
    token = full_token(0)
    token.set_client_id(zoho.client_id)
    token.set_client_secret(zoho.client_secret)
    token.set_api_domain(zoho.url)
    token.set_refresh_token(zoho.issue_refresh_token())
    token.set_access_token(zoho.issue_access_token(token.get_refresh_token()))
    token.set_expires_in(expires_in(life))
    return token


def named_token(number: int) -> Any:
    """Return what a worker looks up by user name: a new token that says nothing else."""
    return OAuthToken(user_signature=UserSignature(user_name(number)))


def fields(token: Any) -> dict[Any, str]:
    """Return the ten fields of a saved token, as somebody would put them into a hash."""
    values = {
        "id": token.get_id(),
        "user_name": token.get_user_signature().get_name(),
        "client_id": token.get_client_id(),
        "client_secret": token.get_client_secret(),
        "refresh_token": token.get_refresh_token(),
        "grant_token": token.get_grant_token(),
        "access_token": token.get_access_token(),
        "expires_in": token.get_expires_in(),
        "redirect_url": token.get_redirect_url(),
        "api_domain": token.get_api_domain(),
    }
    return {name: str(value) for name, value in values.items()}


def row(number: int) -> tuple[str, ...]:
    """Return the fields of a full token in the order of the SDK's own stores; its id is its number + 1."""
    return (
        str(number + 1),
        user_name(number),
        CLIENT_ID,
        CLIENT_SECRET,
        secret("refresh", number),
        secret("access", number),
        secret("grant", number),
        expires_in(),
        REDIRECT_URL,
        API_DOMAIN,
    )
