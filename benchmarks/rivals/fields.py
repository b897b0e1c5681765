"""A token as a dictionary of texts, and back: what somebody writes who keeps tokens in Redis by hand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from zoho_token_store.zoho_sdk import OAuthToken, UserSignature

SPARE_MS = 5_000
"""Under so much life the SDK refreshes."""
PLAIN = (
    "id", "client_id", "client_secret", "refresh_token", "grant_token", "access_token", "expires_in", "redirect_url",
    "api_domain",
)  # fmt: skip
_GETTERS = [(name, getattr(OAuthToken, f"get_{name}")) for name in PLAIN]
_SETTERS = [(name, getattr(OAuthToken, f"set_{name}")) for name in PLAIN]


def fields_of(token: Any) -> dict[str, str]:
    """Return the fields that a token has."""
    fields = {name: value for name, get in _GETTERS if (value := get(token)) is not None}
    if token.get_user_signature() is not None:
        fields["user_name"] = token.get_user_signature().get_name()
    return fields


def new_token(fields: Mapping[str, str]) -> Any:
    """Return a token with these fields."""
    token = OAuthToken.__new__(OAuthToken)
    for name, set_field in _SETTERS:
        set_field(token, fields.get(name))
    name = fields.get("user_name")
    token.set_user_signature(None if name is None else UserSignature(name))
    return token


def fill(token: Any, fields: Mapping[str, str]) -> Any:
    """Give a token what it lacks."""
    for name, set_field in _SETTERS:
        if name in fields and getattr(token, f"get_{name}")() is None:
            set_field(token, fields[name])
    if token.get_user_signature() is None and "user_name" in fields:
        token.set_user_signature(UserSignature(fields["user_name"]))
    return token


def is_fresh(fields: Mapping[str, str]) -> bool:
    """Return whether the SDK would use the access token."""
    ends_ms = int(fields.get("expires_in", 0))
    return "access_token" in fields and ends_ms - time.time() * 1000 > SPARE_MS


def pointers_of(token: Any) -> list[str]:
    """Return the keys that lead to a token's id, the SDK's first choice first."""
    signature = token.get_user_signature()
    found = (
        ("user", signature and signature.get_name()),
        ("grant", token.get_grant_token()),
        ("refresh", token.get_refresh_token()),
    )
    return [f"{kind}:{value}" for kind, value in found if value]
