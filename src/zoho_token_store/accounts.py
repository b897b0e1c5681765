"""Zoho's accounts server over HTTP, with what the SDK lacks: an end to every call, and errors told apart.

A call is one request: nothing is repeated in here. Whether an answer means "never", "later" or "perhaps" is decided
by rule and not by the words of an error, which Zoho translates.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import requests
import urllib3

from zoho_token_store.clock import SystemClock
from zoho_token_store.site import Site, name_paths
from zoho_token_store.timely import deadline, make_session, time_left

CONNECT = 3.0
"""Longest time that connecting to one address, or a TLS handshake, may take, seconds."""

LARGEST = 1 << 20
"""Longest answer that is read, bytes."""

PERMANENT = frozenset(
    {
        "access_denied",
        "invalid_client",
        "invalid_client_secret",
        "invalid_code",
        "invalid_grant",
        "invalid_redirect_uri",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)
"""Codes after which the same request will never be granted: Zoho's, and those of RFC 6749 about credentials."""

ENDED = frozenset({"invalid_code", "invalid_grant", "invalid_token"})
"""What the server calls a token that was to be revoked and is worth nothing already."""

_CODE = re.compile(r"[a-z][a-z0-9_]*")
_PIECE = 1 << 16
_LONGEST_LIFE = 10 * 365 * 86400
# Long enough for any code, and shorter than Zoho's secrets and tokens: a server that echoed one would not be quoted.
_QUOTED = 40

# requests lets some errors of what it is made of through; the last two are what odd URLs end in.
_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    TypeError,
)


class Credentials(NamedTuple):
    """What is shown to the accounts server."""

    client_id: str | None = None
    client_secret: str | None = None
    refresh_token: str | None = None
    grant_token: str | None = None
    redirect_url: str | None = None

    def __repr__(self) -> str:
        return "Credentials(...)"


class Granted(NamedTuple):
    """What the accounts server has given.

    Attributes:
        access_token: The access token.
        expires_in: Seconds that it lives, from the arrival of the answer; None when nobody said.
        refresh_token: A new refresh token; None when the old one stays.
        api_domain: Where CRM is for this token; None when the record's shall stay.
    """

    access_token: str
    expires_in: float | None = None
    refresh_token: str | None = None
    api_domain: str | None = None

    def __repr__(self) -> str:
        rotated = "" if self.refresh_token is None else ", refresh_token=<secret>"
        return f"Granted(access_token=<secret>, expires_in={self.expires_in}{rotated}, api_domain={self.api_domain!r})"


class AccountsError(Exception):
    """Base of what a call may end in. Outside the package it is a cause at most; no message holds a secret."""


class Rejected(AccountsError):
    """The same request will never be granted.

    Attributes:
        code: The server's word for the reason, one of ``PERMANENT``.
    """

    def __init__(self, code: str) -> None:
        super().__init__(f"the accounts server has refused: {code}")
        self.code = code


class Throttled(AccountsError):
    """Too many requests.

    Attributes:
        retry_after: Seconds to wait, if the server said so.
    """

    def __init__(self, retry_after: float | None) -> None:
        super().__init__("the accounts server takes no more requests for now")
        self.retry_after = retry_after


class Transient(AccountsError):
    """No answer, or none that says anything for good."""


class Accounts:
    """Asks accounts servers for tokens, and CRM for the name of a user.

    Connections are kept and used again, by all threads. TLS certificates are verified always; proxies and the CA
    bundle come from the process environment, as ``requests`` does by itself, where a site names none.

    Args:
        timeout: Longest time that one call may take, seconds. The system's look-up of a host name knows no end of its
            own; a call that it has held up for so long is not sent.
        clock: This machine's clocks.
    """

    def __init__(self, timeout: float, clock: SystemClock) -> None:
        self._timeout = timeout
        self._clock = clock
        self._session = make_session()

    def refresh(self, site: Site, credentials: Credentials, at_most: float) -> Granted:
        """Have an access token for a refresh token.

        Args:
            site: Where to ask.
            credentials: Client id, client secret and refresh token.
            at_most: Seconds that the call may take in all.

        Raises:
            AccountsError: :class:`Rejected`, :class:`Throttled` or :class:`Transient`.
        """
        return self._grant(
            site,
            at_most,
            refresh_token=credentials.refresh_token,
            client_id=credentials.client_id,
            client_secret=credentials.client_secret,
            grant_type="refresh_token",
        )

    def exchange(self, site: Site, credentials: Credentials, at_most: float) -> Granted:
        """Have tokens for a grant code; arguments and errors as of :meth:`refresh`."""
        return self._grant(
            site,
            at_most,
            client_id=credentials.client_id,
            client_secret=credentials.client_secret,
            redirect_uri=credentials.redirect_url,
            grant_type="authorization_code",
            code=credentials.grant_token,
        )

    def revoke(self, site: Site, refresh_token: str, at_most: float) -> None:
        """End a refresh token; one that the server does not know, or not any more, has ended.

        Args:
            site: Where to ask.
            refresh_token: Which.
            at_most: Seconds that the call may take in all.

        Raises:
            AccountsError: See :meth:`refresh`.
        """
        _check_revoked(*self._post(site.revoke_url, site.proxies, at_most, {"token": refresh_token}))

    def user_name(self, site: Site, access_token: str, at_most: float) -> str | None:
        """Return the name that the installed SDK would give the token's user: the email, or ``email:zgid``.

        Args:
            site: Where to ask.
            access_token: Whose user is wanted.
            at_most: Seconds that both requests may take together.

        Returns:
            None when CRM does not say, for whatever reason, or the SDK would not ask.
        """
        paths = name_paths()
        if paths is None:
            return None
        try:
            with deadline(min(at_most, self._timeout), self._clock):
                user = self._ask_crm(site, access_token, paths.user, "users", "email", {"type": "CurrentUser"})
                if user is None or paths.org is None:
                    return user
                org = self._ask_crm(site, access_token, paths.org, "org", "zgid", {})
                return None if org is None else f"{user}:{org}"
        except AccountsError:
            return None

    def close(self) -> None:
        """Close the connections that are kept."""
        self._session.close()

    def reset_after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        self._session = make_session()

    def _grant(self, site: Site, at_most: float, **form: str | None) -> Granted:
        status, body = self._post(site.accounts_url, site.proxies, at_most, form)
        return _read_granted(status, body, keeps_domain=site.keeps_domain)

    def _post(
        self, url: str, proxies: Mapping[str, str] | None, at_most: float, form: Mapping[str, str | None]
    ) -> tuple[int, bytes]:
        with deadline(min(at_most, self._timeout), self._clock):
            # No redirects, as in the SDK's refresh: the form with its secrets goes to one place.
            status, headers, body = self._send("POST", url, proxies, data=form)
        if status == 429:
            raise Throttled(_retry_after(headers.get("Retry-After"), self._clock))
        return status, body

    def _ask_crm(
        self, site: Site, access_token: str, path: str, what: str, field: str, params: dict[str, str]
    ) -> str | None:
        """Return a field of the first of what CRM lists."""
        url, headers = site.crm_url + path, {"Authorization": f"Zoho-oauthtoken {access_token}"}
        status, _, body = self._send("GET", url, site.proxies, params=params, headers=headers)
        listed = _object(status, body).get(what)
        first = listed[0] if isinstance(listed, list) and listed else None
        value = first.get(field) if isinstance(first, dict) else None
        return value if isinstance(value, str) and value else None

    def _send(
        self, method: str, url: str, proxies: Mapping[str, str] | None, **content: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        left = time_left()
        if left <= 0:
            raise Transient("no time was left for the request")
        timeout = urllib3.Timeout(connect=min(CONNECT, left), total=left)
        failure: Transient
        cause: Exception | None
        try:
            with self._session.request(
                method,
                url,
                proxies=dict(proxies) if proxies else None,
                timeout=timeout,  # type: ignore[arg-type]  # requests hands it on
                allow_redirects=False,
                stream=True,
                **content,
            ) as response:
                return response.status_code, response.headers, _read_body(response)
        except _FAILURES as error:
            failure, cause = Transient(f"no answer that could be read ({type(error).__name__})"), _harmless(error)
        raise failure from cause  # out here, or what is not harmless would stay attached as the context


def _read_body(response: requests.Response) -> bytes:
    body = b""
    for piece in response.iter_content(_PIECE):
        body += piece
        if len(body) > LARGEST:
            response.close()
            raise Transient(f"the answer is longer than {LARGEST} bytes")
    return body


def _harmless(error: Exception) -> Exception | None:
    """Return an error without the request that it refers to, which holds the form; None when its words may tell."""
    if isinstance(error, (ValueError, TypeError)):
        return None  # about a URL, which it repeats; a proxy's holds a password
    if isinstance(error, requests.RequestException):
        error.request = error.response = None
    return error


def _read_granted(status: int, body: bytes, *, keeps_domain: bool) -> Granted:
    """Tell apart what the accounts server may answer."""
    answer = _object(status, body)
    access_token = _text(answer, "access_token")
    if access_token is None:
        raise _refusal(status, answer.get("error"))
    return Granted(
        access_token,
        _life(answer),
        _text(answer, "refresh_token"),
        None if keeps_domain else _text(answer, "api_domain"),
    )


def _check_revoked(status: int, body: bytes) -> None:
    """Raise an AccountsError unless the answer says that the token has ended, now or before."""
    answer = _object(status, body)
    error = answer.get("error")
    if answer.get("status") != "success" and not (isinstance(error, str) and error in ENDED):
        raise _refusal(status, error)


def _object(status: int, body: bytes) -> dict[str, Any]:
    if status >= 500:
        raise Transient(f"HTTP {status}")
    answer = None
    with suppress(ValueError, RecursionError):  # not turned into another error: json's own holds the whole body
        # Codes, tokens and numbers are ASCII; what is not, in whatever encoding, is text that is never shown.
        answer = json.loads(body.decode("utf-8-sig", "replace"))
    if not isinstance(answer, dict):
        raise Transient(f"HTTP {status} without a JSON object")
    return answer


def _refusal(status: int, error: object) -> AccountsError:
    if not isinstance(error, str) or not error:
        return Transient(f"HTTP {status} with neither a token nor an error")
    if error in PERMANENT:
        return Rejected(error)
    if _CODE.fullmatch(error) is None:
        return Throttled(None)  # "Access Denied" in the language of the account: codes are not translated
    return Transient(f"HTTP {status} with the error {error if len(error) <= _QUOTED else 'code of no known form'}")


def _text(answer: dict[str, Any], name: str) -> str | None:
    # Tokens go into headers and Redis, the domain into URLs: nothing else than printable ASCII may.
    value = answer.get(name)
    return value if isinstance(value, str) and value and value.isascii() and value.isprintable() else None


def _life(answer: dict[str, Any]) -> float | None:
    """Return the life of an access token in seconds, by the SDK's rule for the older form of answers."""
    value = answer.get("expires_in")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        life = float(value) / (1000 if "expires_in_sec" in answer else 1)
    except (ValueError, OverflowError):
        return None
    return life if 0 <= life <= _LONGEST_LIFE else None


def _retry_after(header: str | None, clock: SystemClock) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for, in either of its forms."""
    if header is None:
        return None
    if re.fullmatch(r"\d{1,9}", header, re.ASCII):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - clock.wall())
    except (ValueError, TypeError, OverflowError):
        return None
