"""The Zoho SDK's ``OAuthToken`` and our records: the only module that knows how the SDK's token works.

Checked against ``zohocrmsdk`` 5.0, 6.0, 7.0 and 8.0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from zoho_token_store.clock import ServerClock
from zoho_token_store.errors import InvalidToken
from zoho_token_store.lease import Lease
from zoho_token_store.match import TokenData
from zoho_token_store.record import TokenRecord
from zoho_token_store.zoho_sdk import OAuthToken, UserSignature

MOST_CHARACTERS = 1 << 20
"""Longest field that is stored."""

_FIND_USER = "_OAuthToken__find_user"
# The SDK copies attributes between tokens whose names contain "id", "access_token" and the like (merge_objects): this
# one contains none of them.
_CARRIED = "_carried"


class Carried(NamedTuple):
    """What a token that was handed out brings back when it is saved.

    Attributes:
        origin: Stands for the store that handed it out, without keeping it alive.
        record: The record as it was; None when there was none, and the token is the caller's own.
        lease: The lease that goes with it.
        spent: The refresh token that the lease was given to spend; a new one may have taken its place since.
    """

    origin: object
    record: TokenRecord | None
    lease: Lease | None
    spent: str | None = None

    def __repr__(self) -> str:
        return f"Carried(record={self.record!r}, lease={self.lease!r}, ...)"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy of a token, or one sent to another process, brings back nothing: a lease is for one object.
        return _nothing, ()


def _nothing() -> None:
    return None


def read_token(token: object) -> TokenData:
    """Return what an ``OAuthToken`` says.

    Raises:
        InvalidToken: It is not an ``OAuthToken``, or one of its fields cannot be stored.
    """
    if not isinstance(token, OAuthToken):
        raise InvalidToken("token", f"must be an OAuthToken of the Zoho CRM SDK, not {type(token).__name__}")
    signature = token.get_user_signature()
    name = signature.get_name() if signature is not None else None
    expires_in = token.get_expires_in()
    return TokenData(
        _text("id", token.get_id()),
        _text("user_signature", name),
        _text("client_id", token.get_client_id()),
        _text("client_secret", token.get_client_secret()),
        _text("refresh_token", token.get_refresh_token()),
        _text("grant_token", token.get_grant_token()),
        _text("redirect_url", token.get_redirect_url()),
        _text("api_domain", token.get_api_domain()),
        _text("access_token", token.get_access_token()),
        None if expires_in is None else str(expires_in),
    )


def _text(field: str, value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidToken(field, f"must be text or None, not {type(value).__name__}")
    if len(value) > MOST_CHARACTERS:
        raise InvalidToken(field, f"is longer than {MOST_CHARACTERS} characters")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidToken(field, "cannot be written as UTF-8") from None
    return value


def expires_ms(data: TokenData) -> int:
    """Return when a caller's access token expires, ms since the epoch by this machine's clock; 0 if nobody knows."""
    try:
        return int(float(data.expires_in or "0")) if data.access_token else 0
    except (ValueError, OverflowError):
        return 0


def make_token(record: TokenRecord, clock: ServerClock, *, usable: bool, like: Any = None) -> Any:
    """Return a new ``OAuthToken`` of a record.

    It is built by the constructor: tokens made past it lack what ``Initializer.switch_user`` needs.

    Args:
        record: What is stored.
        clock: Translates the expiry to this machine's clock.
        usable: Whether it gets the access token; without one the SDK refreshes, and saves that same object.
        like: The caller's token, whose ``find_user`` the new one takes over.
    """
    access = record.access if usable else None
    token = OAuthToken(
        client_id=record.client_id,
        client_secret=record.client_secret,
        grant_token=record.grant_token,
        refresh_token=record.refresh_token,
        redirect_url=record.redirect_url,
        id=record.id,
        access_token=access and access.token,
        user_signature=None if record.user_name is None else UserSignature(record.user_name),
        api_domain=record.api_domain,
    )
    if access and access.expires_ms:
        token.set_expires_in(str(clock.to_here_ms(access.expires_ms)))
    if like is not None and hasattr(like, _FIND_USER):
        setattr(token, _FIND_USER, getattr(like, _FIND_USER))
    return token


def token_of(data: TokenData) -> Any:
    """Return a new ``OAuthToken`` that says just this; the constructor would insist on more for some of it."""
    token = OAuthToken(client_id="-", client_secret="-", refresh_token="-")  # noqa: S106 - taken away again
    for name in ("id", "client_id", "client_secret", "refresh_token", "grant_token", "redirect_url", "api_domain"):
        getattr(token, f"set_{name}")(getattr(data, name))
    token.set_user_signature(None if data.user_name is None else UserSignature(data.user_name))
    token.set_access_token(data.access_token)
    token.set_expires_in(data.expires_in)
    return token


def stamp_token(attributes: dict[str, Any], like: Any = None) -> Any:
    """Return a new ``OAuthToken`` with the attributes of one that was made before: a tenth of the time.

    Args:
        attributes: All of them, so that nothing is missing that the constructor would have set.
        like: The caller's token, whose ``find_user`` the new one takes over.
    """
    token = _new(OAuthToken)
    token.__dict__ = attributes.copy()
    if like is not None and hasattr(like, _FIND_USER):
        setattr(token, _FIND_USER, getattr(like, _FIND_USER))
    return token


_new = object.__new__


def fill_token(token: Any, found: Any) -> None:
    """Give a caller's token the id and what it lacks of what was found.

    A usable access token takes the place of its own; a token that it has is never taken away, since 32 threads may
    share the object.

    Args:
        token: The caller's.
        found: The one that :func:`make_token` has made.
    """
    token.set_id(found.get_id())
    # Written out: by name, in a loop, it takes four times as long, before every request.
    if not token.get_client_id():
        token.set_client_id(found.get_client_id())
    if not token.get_client_secret():
        token.set_client_secret(found.get_client_secret())
    if not token.get_grant_token():
        token.set_grant_token(found.get_grant_token())
    if not token.get_refresh_token():
        token.set_refresh_token(found.get_refresh_token())
    if not token.get_redirect_url():
        token.set_redirect_url(found.get_redirect_url())
    if not token.get_api_domain():
        token.set_api_domain(found.get_api_domain())
    if token.get_user_signature() is None:
        token.set_user_signature(found.get_user_signature())
    if found.get_access_token():
        token.set_access_token(found.get_access_token())
        token.set_expires_in(found.get_expires_in())


def wants_name(token: Any) -> bool:
    """Return whether the SDK would look up the name of a token's user (``find_user``); SDK 5.0 never does."""
    return bool(getattr(token, _FIND_USER, False))


_REJECTED = ("INVALID_TOKEN", "AUTHENTICATION_FAILURE")


def rejects_token(response: Any) -> bool:
    """Return whether a response of the SDK says that CRM has rejected the access token: an object, not an exception.

    Other answers with HTTP 401, such as a scope that is missing, would not get better with another access token.
    """
    if not callable(getattr(response, "get_status_code", None)) or response.get_status_code() != 401:
        return False
    code = getattr(response.get_object(), "get_code", None)
    return bool(callable(code) and getattr(code(), "get_value", code)() in _REJECTED)


def set_id(token: Any, record_id: str) -> None:
    """Tell a token under which id it is stored."""
    token.set_id(record_id)


def give_up_lease(token: Any, origin: object) -> None:
    """Take from a caller's token the lease of an earlier look-up: a later one has found a record."""
    brought = carried(token, origin)
    if brought and brought.lease:
        carry(token, brought._replace(lease=None, spent=None))


def carry(token: Any, carried: Carried) -> None:
    """Attach to a token what it shall bring back."""
    setattr(token, _CARRIED, carried)


def origin_of(token: Any) -> object:
    """Return what stands for the store that has handed a token out; None if none of ours has."""
    brought = getattr(token, _CARRIED, None)
    return brought.origin if isinstance(brought, Carried) else None


def carried(token: Any, origin: object) -> Carried | None:
    """Return what a token brings back to a store, if that store has handed it out."""
    brought = getattr(token, _CARRIED, None)
    return brought if isinstance(brought, Carried) and brought.origin is origin else None
