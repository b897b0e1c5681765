"""What is refused for good, in words; what may pass is not."""

from __future__ import annotations

import pytest
from redis import exceptions

from zoho_token_store.refusal import refusal


def tls_error(reason: str) -> exceptions.ConnectionError:
    """Return an error as redis-py makes it of one of Python's."""
    return exceptions.ConnectionError(f"Error 1 connecting to redis:6379. [SSL: {reason}] some words (_ssl.c:1006).")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (exceptions.AuthenticationError("Authentication required."), "asks for a password"),
        (exceptions.AuthenticationError("HELLO must be called with the client already authenticated"), "asks for"),
        (
            exceptions.AuthenticationError("invalid username-password pair or user is disabled."),
            "does not accept the user",
        ),
        (exceptions.NoPermissionError("this user has no permissions to run the 'eval' command"), "zoho-tokens acl"),
        (exceptions.AuthorizationError("no"), "zoho-tokens acl"),
        (exceptions.ResponseError("ACL failure in script: No permissions to access a key"), "zoho-tokens acl"),
        (
            exceptions.ResponseError("Error running script (call to f_1): The user executing the script can't access"),
            "zoho-tokens acl",
        ),
        (tls_error("CERTIFICATE_VERIFY_FAILED"), "certificate of the Redis server is not accepted"),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "asks for a client certificate"),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), "does not accept the client certificate"),
        (tls_error("SSLV3_ALERT_BAD_CERTIFICATE"), "does not accept the client certificate"),
        (tls_error("SSL/TLS_ALERT_CERTIFICATE_EXPIRED"), "does not accept the client certificate"),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), "no version of TLS or no cipher"),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), "no version of TLS or no cipher"),
        (tls_error("UNSUPPORTED_PROTOCOL"), "no version of TLS or no cipher"),
        (tls_error("WRONG_VERSION_NUMBER"), "does not speak TLS"),
    ],
    ids=str,
)
def test_refused(error: Exception, words: str) -> None:
    """Asking again changes nothing, and the words say what would."""
    assert words in (refusal(error) or "")


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("Error 111 connecting to redis:6379. Connection refused."),
        exceptions.ConnectionError(
            "Error 8 while writing to socket. EOF occurred in violation of protocol (_ssl.c:2427)."
        ),
        tls_error("UNEXPECTED_EOF_WHILE_READING"),
        tls_error("TLSV1_ALERT_INTERNAL_ERROR"),
        tls_error("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
        exceptions.TimeoutError("Timeout connecting to server"),
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
        OSError("away"),
    ],
    ids=str,
)
def test_not_refused(error: Exception) -> None:
    """What may be different a moment later is not called a refusal, and neither is what is not known."""
    assert refusal(error) is None
