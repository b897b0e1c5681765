"""What Redis or the way there refuses for good, in words."""

from __future__ import annotations

import re

from redis import exceptions

_REASON = re.compile(r"\[SSL: ([^\]]+)\]")

_NO_RIGHT = ("ACL failure in script", "The user executing the script can't")


def refusal(error: Exception) -> str | None:
    """Return why asking again changes nothing; None if it may."""
    if isinstance(error, exceptions.AuthenticationError):
        # Of a name that it does not know Redis says the same as of a wrong password.
        missing = str(error).startswith(("Authentication required", "HELLO must be called"))
        return "Redis asks for a password" if missing else "Redis does not accept the user name or the password"
    if isinstance(error, (exceptions.NoPermissionError, exceptions.AuthorizationError)) or (
        isinstance(error, exceptions.ResponseError) and any(words in str(error) for words in _NO_RIGHT)
    ):
        return "the Redis user may not do what the store needs (`zoho-tokens acl` prints what that is)"
    return _tls_refusal(error) if isinstance(error, exceptions.ConnectionError) else None


def _tls_refusal(error: Exception) -> str | None:
    found = _REASON.search(str(error))
    reason = found[1] if found else ""
    if reason == "CERTIFICATE_VERIFY_FAILED":
        return "the certificate of the Redis server is not accepted"
    if "ALERT_CERTIFICATE_REQUIRED" in reason:
        return "the Redis server asks for a client certificate"
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return "the Redis server does not accept the client certificate"
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "what listens on the port of the Redis server does not speak TLS"
    if "HANDSHAKE_FAILURE" in reason or "PROTOCOL" in reason or "INSUFFICIENT_SECURITY" in reason:
        return "the Redis server and this client agree on no version of TLS or no cipher, or it asks for a certificate"
    return None
