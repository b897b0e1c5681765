"""What `OAuthToken.get_token` of SDK 8.0 does before every CRM request, with Zoho replaced by the simulated one."""

from __future__ import annotations

from typing import Any

from simulation.process import Process
from zoho_token_store import TokenStoreError
from zoho_token_store.zoho_sdk import UserSignature


def get_token(process: Process, token: Any) -> Any:
    """Return the token object whose access token the SDK would send.

    Raises:
        TokenStoreError: Of a look-up; those of a save are swallowed, as the SDK swallows them.
        ZohoError: No access token.
    """
    found = None
    if token.get_id() is not None:
        found = process.find_by_id(token.get_id())
        if found is not None:
            token.merge_objects(token, found)
    else:
        found = process.find(token)
    current = token if found is None else found
    if not current.get_access_token():
        _spend(process, current)
        _save(process, current)
    elif current.get_expires_in() and int(current.get_expires_in()) - int(process.clock.wall() * 1000) < 5000:
        _take(process, current, process.world.zoho.refresh(process, current.get_refresh_token()))
        _save(process, current)
    elif not current.get_expires_in() and current.get_id() is None:
        _save(process, current)
    return current


def _spend(process: Process, token: Any) -> None:
    """Refresh, or exchange the grant code."""
    zoho = process.world.zoho
    if token.get_refresh_token():
        _take(process, token, zoho.refresh(process, token.get_refresh_token()))
    else:
        _take(process, token, zoho.exchange(process, token.get_grant_token()))


def _take(process: Process, token: Any, issued: Any) -> None:
    token.set_access_token(issued.access_token)
    token.set_expires_in(str(int((process.clock.wall() + issued.expires_in) * 1000)))
    if issued.refresh_token:
        token.set_refresh_token(issued.refresh_token)


def _save(process: Process, token: Any) -> None:
    if token.get_user_signature() is None and process.find_user:
        token.set_user_signature(UserSignature(process.world.zoho.user_of(process, token.get_access_token())))
    try:
        process.save(token)
    except TokenStoreError:
        pass  # the SDK logs it, and goes on
