"""The accounts server over HTTP: what is sent, what every answer means, and when a call ends."""

from __future__ import annotations

import email.utils
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests

from web_server import Reply, WebServer, answer, forward, serving
from zoho_token_store import accounts as accounts_module
from zoho_token_store import site as site_module
from zoho_token_store import timely
from zoho_token_store.accounts import (
    LARGEST,
    PERMANENT,
    Accounts,
    AccountsError,
    Credentials,
    Granted,
    Rejected,
    Throttled,
    Transient,
)
from zoho_token_store.clock import SystemClock
from zoho_token_store.site import NamePaths, Site
from zoho_token_store.testing import FakeZoho, Limits

IN_TIME = 20.0
"""Longest time that a call may take which is expected to end well, seconds."""
FOR_EVER = 10.0
"""A call that takes this long has not heeded its deadline, seconds."""
SECRETS = Credentials("client-id-word", "client-secret-word", "refresh-word", "grant-word", "http://callback-word.test")
THROTTLED = {
    "en": {
        "error": "Access Denied",
        "error_description": "You have made too many requests continuously. Please try again after some time.",
        "status": "failure",
    },
    "zh": {"error": "拒绝访问", "error_description": "您已连续提出过多请求，请稍后再试。", "status": "failure"},
}


class Clock(SystemClock):
    """The machine's, ahead by as much as a test wants."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture
def serve() -> Iterator[Callable[..., WebServer]]:
    """Start servers."""
    with ExitStack() as stack:
        yield lambda *how: stack.enter_context(serving(*how))


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the proxies of whoever runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    with FakeZoho() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(clock: Clock) -> Iterator[Accounts]:
    made = Accounts(30.0, clock)
    yield made
    made.close()


def site(url: str, **fields: Any) -> Site:
    return Site(**{
        "accounts_url": f"{url}/oauth/v2/token", "crm_url": url, "proxies": None, "keeps_domain": False, **fields
    })  # fmt: skip


def known(zoho: FakeZoho, **fields: Any) -> Credentials:
    return Credentials(zoho.client_id, zoho.client_secret)._replace(**fields)


def asked(accounts: Accounts, server: WebServer, **fields: Any) -> Granted | AccountsError:
    """Refresh at a server; return what came of it, and see that no secret is in it."""
    try:
        return accounts.refresh(site(server.url, **fields), SECRETS, IN_TIME)
    except AccountsError as error:
        assert_tells_nothing(error)
        return error


def assert_tells_nothing(error: BaseException) -> None:
    shown = "".join(traceback.format_exception(error))
    chain: BaseException | None = error
    while chain is not None:
        shown += repr(chain) + str(getattr(chain, "__dict__", ""))
        assert getattr(chain, "request", None) is None  # it holds the form
        chain = chain.__cause__ or chain.__context__
    for word in (*SECRETS, "pass-word", "answer-word", "access-word"):
        assert word not in shown


# What is sent


def test_a_refresh_sends_what_the_sdk_sends(accounts: Accounts, serve: Callable[..., WebServer]) -> None:
    """The same form, to the token endpoint itself."""
    server = serve(answer(200, {"access_token": "access-word"}))
    assert asked(accounts, server) == Granted("access-word")
    method, path, headers, _ = server.seen[0]
    assert (method, path) == ("POST", "/oauth/v2/token")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in headers
    assert server.forms == [
        {
            "client_id": "client-id-word",
            "client_secret": "client-secret-word",
            "refresh_token": "refresh-word",
            "grant_type": "refresh_token",
        }
    ]


def test_an_exchange_sends_what_the_sdk_sends(accounts: Accounts, serve: Callable[..., WebServer]) -> None:
    """A redirect URL goes along if there is one; no field is ever sent as None."""
    server = serve(answer(200, {"access_token": "access-word"}))
    accounts.exchange(site(server.url), SECRETS, IN_TIME)
    accounts.exchange(site(server.url), SECRETS._replace(redirect_url=None), IN_TIME)
    form = {
        "client_id": "client-id-word",
        "client_secret": "client-secret-word",
        "code": "grant-word",
        "grant_type": "authorization_code",
    }
    assert server.forms == [{**form, "redirect_uri": "http://callback-word.test"}, form]


def test_neither_netrc_nor_cookies_are_sent(
    accounts: Accounts, serve: Callable[..., WebServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``requests`` would put the first in the place of CRM's header, and keep the second."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ada password pass-word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setattr(accounts_module, "name_paths", lambda: NamePaths("/crm/v8/users", None))
    server = serve(answer(200, {"access_token": "access-word"}, Set_Cookie="session=1; Path=/"))
    asked(accounts, server)
    asked(accounts, server)
    accounts.user_name(site(server.url), "access-word", IN_TIME)
    assert [headers["Authorization"] for _, _, headers, _ in server.seen] == [
        None, None, "Zoho-oauthtoken access-word"
    ]  # fmt: skip
    assert [headers["Cookie"] for _, _, headers, _ in server.seen] == [None, None, None]


# What is granted


def test_an_exchange_and_refreshes_at_the_stand_in(accounts: Accounts, zoho: FakeZoho) -> None:
    """The exchange brings a refresh token, refreshes do not; the domain is the stand-in's."""
    code = zoho.issue_grant_code()
    first = accounts.exchange(site(zoho.url), known(zoho, grant_token=code, redirect_url=zoho.redirect_uri), IN_TIME)
    assert first.refresh_token
    assert (first.expires_in, first.api_domain) == (3600, zoho.url)
    second = accounts.refresh(site(zoho.url), known(zoho, refresh_token=first.refresh_token), IN_TIME)
    assert second == Granted(second.access_token, 3600, None, zoho.url)
    assert zoho.accounts.authenticate(second.access_token)


def test_a_rotated_refresh_token_is_handed_on(accounts: Accounts, zoho: FakeZoho) -> None:
    """The new one works, the old one is refused from then on."""
    zoho.faults.set(rotate_refresh_tokens=True)
    old = known(zoho, refresh_token=zoho.issue_refresh_token())
    new = accounts.refresh(site(zoho.url), old, IN_TIME).refresh_token
    assert new not in (None, old.refresh_token)
    with pytest.raises(Rejected, match="invalid_code"):
        accounts.refresh(site(zoho.url), old, IN_TIME)
    assert accounts.refresh(site(zoho.url), old._replace(refresh_token=new), IN_TIME).access_token


def test_a_domain_that_shall_stay_is_left_out(accounts: Accounts, zoho: FakeZoho) -> None:
    """And so is one that the answer does not name."""
    token = known(zoho, refresh_token=zoho.issue_refresh_token())
    assert accounts.refresh(site(zoho.url, keeps_domain=True), token, IN_TIME).api_domain is None
    zoho.faults.set(omit_api_domain=True)
    assert accounts.refresh(site(zoho.url), token, IN_TIME).api_domain is None


def test_the_older_form_of_an_expiry(accounts: Accounts, zoho: FakeZoho) -> None:
    """Milliseconds, if the seconds stand beside them."""
    zoho.faults.set(legacy_expiry=True)
    granted = accounts.refresh(site(zoho.url), known(zoho, refresh_token=zoho.issue_refresh_token()), IN_TIME)
    assert granted.expires_in == 3600


@pytest.mark.parametrize(
    ("expiry", "life"),
    [
        ({"expires_in": 3600}, 3600), ({"expires_in": "3600"}, 3600), ({"expires_in": 0.5}, 0.5),
        ({"expires_in": 3_600_000, "expires_in_sec": 3600}, 3600), ({"expires_in": 0}, 0), ({}, None),
        ({"expires_in_sec": 3600}, None), ({"expires_in": -1}, None), ({"expires_in": None}, None),
        ({"expires_in": True}, None), ({"expires_in": "soon"}, None), ({"expires_in": [3600]}, None),
        ({"expires_in": float("nan")}, None), ({"expires_in": float("inf")}, None), ({"expires_in": 10**400}, None),
        ({"expires_in": 10**12}, None),
    ],
)  # fmt: skip
def test_a_life_is_what_can_be_one(
    accounts: Accounts, serve: Callable[..., WebServer], expiry: dict[str, Any], life: float | None
) -> None:
    """Garbage is as if nothing had been said: the token is good all the same."""
    granted = asked(accounts, serve(answer(200, {"access_token": "access-word", **expiry})))
    assert granted == Granted("access-word", life)


def test_fields_that_are_no_text_are_not_there(accounts: Accounts, serve: Callable[..., WebServer]) -> None:
    """What cannot go into a header or a URL does not come out of an answer."""
    odd = {"access_token": "access-word", "refresh_token": 7, "api_domain": "http://x\ny"}
    assert asked(accounts, serve(answer(200, odd))) == Granted("access-word")


def test_a_repr_shows_no_secret() -> None:
    """Neither of what is shown nor of what is got."""
    granted = Granted("access-word", 3600.0, "refresh-word", "https://www.zohoapis.eu")
    assert repr(granted) == (
        "Granted(access_token=<secret>, expires_in=3600.0, refresh_token=<secret>, api_domain='https://www.zohoapis.eu')"
    )
    assert "word" not in f"{SECRETS} {SECRETS!r} {[SECRETS]} {granted} {[granted]} {Granted('access-word')}"


# What is refused, and for how long


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"client_id": "1000.NOBODY"}, "invalid_client"),
        ({"client_secret": "wrong"}, "invalid_client_secret"),
        ({"refresh_token": "1000.gone.gone"}, "invalid_code"),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401])
def test_permanent_refusals(accounts: Accounts, zoho: FakeZoho, fields: dict[str, str], code: str, status: int) -> None:
    """The stand-in's, with whatever status."""
    zoho.faults.set(refused_status=status)
    credentials = known(zoho, refresh_token=zoho.issue_refresh_token())._replace(**fields)
    with pytest.raises(Rejected, match=code) as caught:
        accounts.refresh(site(zoho.url), credentials, IN_TIME)
    assert caught.value.code == code


@pytest.mark.parametrize("code", sorted(PERMANENT))
def test_codes_that_are_permanent(accounts: Accounts, serve: Callable[..., WebServer], code: str) -> None:
    """Each one, in that exact form."""
    refused = asked(accounts, serve(answer(400, {"error": code, "error_description": "answer-word"})))
    assert isinstance(refused, Rejected)
    assert refused.code == code


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_throttle_in_any_language(accounts: Accounts, status: int, language: str) -> None:
    """The stand-in's own, after the window is used up."""
    with FakeZoho(limits=Limits(access_tokens_per_window=1)) as zoho:
        zoho.faults.set(throttle_language=language, throttle_status=status)
        token = known(zoho, refresh_token=zoho.issue_refresh_token())
        accounts.refresh(site(zoho.url), token, IN_TIME)
        with pytest.raises(Throttled) as caught:
            accounts.refresh(site(zoho.url), token, IN_TIME)
        assert caught.value.retry_after is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_the_throttle_in_any_encoding(accounts: Accounts, serve: Callable[..., WebServer], encoding: str) -> None:
    """What cannot be decoded is text too, and text is not a code."""
    body = json.dumps(THROTTLED["zh"], ensure_ascii=False).encode(encoding)
    assert isinstance(asked(accounts, serve(answer(400, body))), Throttled)


@pytest.mark.parametrize("error", ["Access Denied", "Zugriff verweigert", "INVALID_CODE", "invalid code", "Invalid"])
def test_what_is_not_in_the_form_of_a_code_is_the_throttle(
    accounts: Accounts, serve: Callable[..., WebServer], error: str
) -> None:
    """By the form, not by English words."""
    assert isinstance(asked(accounts, serve(answer(200, {"error": error}))), Throttled)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("120", 120, 120), ("0", 0, 0), ("in 500 s", 400, 500),
        ("Thu, 01 Jan 2015 00:00:00 GMT", 0, 0),
    ],
)  # fmt: skip
def test_http_429_says_when(
    accounts: Accounts, serve: Callable[..., WebServer], header: str, least: float, most: float
) -> None:
    """In seconds or as a date, and whatever the body says."""
    if header.startswith("in"):
        header = email.utils.formatdate(time.time() + 500, usegmt=True)
    throttled = asked(accounts, serve(answer(429, {"error": "invalid_code"}, Retry_After=header)))
    assert isinstance(throttled, Throttled)
    assert throttled.retry_after is not None
    assert least <= throttled.retry_after <= most


@pytest.mark.parametrize("headers", [{}, {"Retry_After": "soon"}, {"Retry_After": "-1"}, {"Retry_After": "9" * 5000}])
def test_http_429_that_does_not_say_when(
    accounts: Accounts, serve: Callable[..., WebServer], headers: dict[str, str]
) -> None:
    """Or not so that it could be read."""
    throttled = asked(accounts, serve(answer(429, b"answer-word", **headers)))
    assert isinstance(throttled, Throttled)
    assert throttled.retry_after is None


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (500, {"error": "invalid_code"}, "HTTP 500"),
        (503, {"access_token": "access-word"}, "HTTP 503"),
        (502, b"<html>answer-word</html>", "HTTP 502"),
        (200, b"<html>answer-word</html>", "HTTP 200 without a JSON object"),
        (200, b"", "HTTP 200 without a JSON object"),
        (204, b"", "HTTP 204 without a JSON object"),
        (200, b"\xff\xfe\x00answer-word", "HTTP 200 without a JSON object"),
        (200, b"[" * 200_000, "HTTP 200 without a JSON object"),
        (200, b'["answer-word"]', "HTTP 200 without a JSON object"),
        (200, b"null", "HTTP 200 without a JSON object"),
        (200, {"answer-word": "answer-word"}, "HTTP 200 with neither a token nor an error"),
        (200, {"access_token": ""}, "HTTP 200 with neither a token nor an error"),
        (200, {"access_token": 7}, "HTTP 200 with neither a token nor an error"),
        (200, {"access_token": "\ud800"}, "HTTP 200 with neither a token nor an error"),
        (400, {"error": {"answer-word": 1}}, "HTTP 400 with neither a token nor an error"),
        (400, {"error": ""}, "HTTP 400 with neither a token nor an error"),
        (400, {"error": "server_error", "error_description": "answer-word"}, "HTTP 400 with the error server_error"),
        (400, {"error": "a0123456789abcdef" * 4}, "HTTP 400 with the error code of no known form"),
        (302, b"", "HTTP 302 without a JSON object"),
        (200, b'{"access_token": "' + b"a" * LARGEST + b'"}', "the answer is longer than"),
    ],
)  # fmt: skip
def test_answers_that_say_nothing_for_good(
    accounts: Accounts, serve: Callable[..., WebServer], status: int, body: object, says: str
) -> None:
    """Each is transient, and says no more of the body than a code."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    error = asked(accounts, serve(answer(status, data, Location="/elsewhere")))
    assert isinstance(error, Transient)
    assert str(error).startswith(says)


def test_an_answer_without_end_is_not_read_to_its_end(accounts: Accounts, serve: Callable[..., WebServer]) -> None:
    """It is given up once it is too long, and not when the memory is full or the time is up."""
    sent = 0

    def reply(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        handler.close_connection = True
        for _ in range(200):
            handler.wfile.write(b" " * LARGEST)
            sent += 1

    assert str(asked(accounts, serve(reply))).startswith("the answer is longer than")
    assert sent < 100  # most of it in the buffers of the sockets


def test_a_redirect_is_not_followed(accounts: Accounts, serve: Callable[..., WebServer]) -> None:
    """The form with its secrets goes to one place."""
    elsewhere = serve(answer(200, {"access_token": "access-word"}))
    server = serve(answer(307, b"", Location=elsewhere.url))
    assert isinstance(asked(accounts, server), Transient)
    with pytest.raises(Transient):
        accounts.exchange(site(server.url), SECRETS, IN_TIME)
    assert elsewhere.seen == []


@pytest.mark.parametrize("kind", ["status", "garbage", "reset", "half"])
def test_faults_of_the_stand_in(accounts: Accounts, zoho: FakeZoho, kind: Any) -> None:
    """Each is transient, and was asked once: nothing is repeated in here. The next call goes through."""
    token = known(zoho, refresh_token=zoho.issue_refresh_token())
    zoho.faults.fail_next(kind=kind)
    with pytest.raises(Transient) as caught:
        accounts.refresh(site(zoho.url), token, IN_TIME)
    assert_tells_nothing(caught.value)
    assert len(zoho.requests) == 1
    assert accounts.refresh(site(zoho.url), token, IN_TIME).access_token


# Revocation


def test_a_revocation_sends_what_the_sdk_sends(accounts: Accounts, serve: Callable[..., WebServer]) -> None:
    """The refresh token and nothing else, to the endpoint beside that of the tokens."""
    server = serve(answer(200, {"status": "success"}))
    accounts.revoke(site(server.url), "refresh-word", IN_TIME)
    assert [(method, path) for method, path, _, _ in server.seen] == [("POST", "/oauth/v2/token/revoke")]
    assert server.forms == [{"token": "refresh-word"}]


def test_what_is_revoked_cannot_be_refreshed(accounts: Accounts, zoho: FakeZoho) -> None:
    """And to revoke it again, or what was never given, comes to the same."""
    token = known(zoho, refresh_token=zoho.issue_refresh_token())
    accounts.revoke(site(zoho.url), token.refresh_token or "", IN_TIME)
    accounts.revoke(site(zoho.url), token.refresh_token or "", IN_TIME)
    accounts.revoke(site(zoho.url), "never-given", IN_TIME)
    with pytest.raises(Rejected, match="invalid_code"):
        accounts.refresh(site(zoho.url), token, IN_TIME)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, {"error": "invalid_token"}, None),
        (400, {"error": "invalid_code"}, None),
        (400, {"error": "invalid_grant"}, None),
        (200, {"error": "invalid_client"}, Rejected),
        (200, {"error": "Access Denied", "status": "failure"}, Throttled),
        (429, {"status": "success"}, Throttled),
        (500, {"status": "success"}, Transient),
        (200, {"status": "failure"}, Transient),
        (200, {"status": ["success"], "error": ["invalid_token"]}, Transient),
        (200, {}, Transient),
        (200, b"success", Transient),
        (302, b"", Transient),
    ],
)
def test_answers_to_a_revocation(
    accounts: Accounts, serve: Callable[..., WebServer], status: int, body: object, error: type[AccountsError] | None
) -> None:
    """A token that the server does not know has ended; whatever does not say so leaves it open."""
    server = serve(answer(status, body))
    if error is None:
        accounts.revoke(site(server.url), SECRETS.refresh_token or "", IN_TIME)
        return
    with pytest.raises(error) as caught:
        accounts.revoke(site(server.url), SECRETS.refresh_token or "", IN_TIME)
    assert_tells_nothing(caught.value)


# No answer at all


def test_a_closed_port_is_transient(accounts: Accounts) -> None:
    """With the cause attached, and without the form that the cause refers to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Transient, match="ConnectionError") as caught:
        accounts.refresh(site(f"http://127.0.0.1:{port}"), SECRETS, IN_TIME)
    assert caught.value.__cause__ is not None
    assert_tells_nothing(caught.value)


def test_a_name_that_does_not_resolve_is_transient(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an outage of the DNS."""

    def fail(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(Transient) as caught:
        accounts.refresh(site("https://accounts.test"), SECRETS, IN_TIME)
    assert_tells_nothing(caught.value)


def test_a_slow_resolver_has_the_call_end_before_anything_is_sent(
    accounts: Accounts, serve: Callable[..., WebServer], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is up by then, and another worker may be refreshing."""
    server = serve(answer(200, {"access_token": "access-word"}))
    resolve = socket.getaddrinfo

    def slow(*args: Any, **options: Any) -> Any:
        clock.ahead += 100
        return resolve(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    assert isinstance(asked(accounts, server), Transient)
    assert server.seen == []
    monkeypatch.undo()
    assert isinstance(asked(accounts, server), Granted)


@pytest.mark.parametrize("url", ["http://[broken", "ftp://host", "http://", "http://\ud800"])
def test_a_url_that_cannot_be_used_is_transient(accounts: Accounts, url: str) -> None:
    """Whatever ``requests`` makes of it; it is not repeated."""
    with pytest.raises(Transient) as caught:
        accounts.refresh(site(url), SECRETS, IN_TIME)
    assert_tells_nothing(caught.value)


@pytest.mark.parametrize("at_most", [0.0, -1.0])
def test_without_time_nothing_is_sent(accounts: Accounts, serve: Callable[..., WebServer], at_most: float) -> None:
    """A request that nobody waits for spends a token of the budget."""
    server = serve(answer(200, {"access_token": "access-word"}))
    with pytest.raises(Transient, match="no time"):
        accounts.refresh(site(server.url), SECRETS, at_most)
    assert server.accepted == 0


def trickle(*pieces: bytes) -> Reply:
    """Send pieces, the last of them byte by byte, again and again for longer than anybody should listen."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        for piece in pieces[:-1]:
            handler.wfile.write(piece)
        end = time.monotonic() + 1.5 * FOR_EVER
        with suppress(OSError):
            while time.monotonic() < end:
                for byte in pieces[-1]:
                    handler.wfile.write(bytes([byte]))
                    time.sleep(0.02)

    return reply


def silence(handler: BaseHTTPRequestHandler) -> None:
    """Say nothing until the caller has gone, or should have."""
    handler.connection.settimeout(1.5 * FOR_EVER)
    with suppress(OSError):
        handler.connection.recv(1)


@pytest.mark.parametrize(
    "reply",
    [
        silence,
        trickle(b"HTTP/1.1 200 OK\r\n", b"X-Header: 1\r\n"),
        trickle(b"H"),
        trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        trickle(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        trickle(b"HTTP/1.0 200 OK\r\n\r\n", b" "),
        trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "headers", "status line", "body", "chunks", "body without a length", "interim answers"],
)
def test_no_server_holds_a_call_longer_than_it_may_take(
    accounts: Accounts, serve: Callable[..., WebServer], reply: Reply
) -> None:
    """Silence, and bytes that come one by one: the deadline is for the whole answer."""
    server = serve(reply)
    start = time.monotonic()
    with pytest.raises(Transient) as caught:
        accounts.refresh(site(server.url), SECRETS, 0.4)
    assert 0.35 < time.monotonic() - start < FOR_EVER
    assert_tells_nothing(caught.value)


def test_the_own_timeout_bounds_every_call(zoho: FakeZoho, clock: Clock) -> None:
    """Even if the caller had more time; and the next call has all of it again."""
    impatient = Accounts(2.0, clock)
    token = known(zoho, refresh_token=zoho.issue_refresh_token())
    zoho.faults.set(hang=True)
    start = time.monotonic()
    with pytest.raises(Transient):
        impatient.refresh(site(zoho.url), token, 60.0)
    assert time.monotonic() - start < FOR_EVER
    zoho.faults.set(hang=False)
    assert impatient.refresh(site(zoho.url), token, 60.0).access_token
    impatient.close()


# Connections


def test_connections_are_used_again(accounts: Accounts, serve: Callable[..., WebServer]) -> None:
    """One for all calls in a row, and after an error answer too; closing closes it."""
    server = serve(answer(400, {"error": "invalid_code"}))
    for _ in range(3):
        assert isinstance(asked(accounts, server), Rejected)
    assert (len(server.seen), server.accepted) == (3, 1)
    accounts.close()
    asked(accounts, server)
    assert server.accepted == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    accounts: Accounts, serve: Callable[..., WebServer], clock: Clock
) -> None:
    """A firewall on the way may have forgotten it without a word, and the request would wait in vain."""
    server = serve(answer(200, {"access_token": "access-word"}))
    asked(accounts, server)
    clock.ahead += timely.IDLE / 2
    asked(accounts, server)
    assert server.accepted == 1
    clock.ahead += timely.IDLE + 1
    assert isinstance(asked(accounts, server), Granted)
    assert server.accepted == 2


def test_a_connection_that_the_server_has_closed_costs_at_most_one_call(
    accounts: Accounts, serve: Callable[..., WebServer]
) -> None:
    """Transient, if the end of it was not seen yet; the next call makes a new one."""

    def once(handler: BaseHTTPRequestHandler) -> None:
        answer(200, {"access_token": "access-word"})(handler)
        handler.close_connection = True

    server = serve(once)
    outcomes = [asked(accounts, server) for _ in range(5)]
    assert isinstance(outcomes[0], Granted)
    assert all(isinstance(outcome, (Granted, Transient)) for outcome in outcomes)
    assert sum(isinstance(outcome, Granted) for outcome in outcomes) >= 3


def test_threads_share_it(accounts: Accounts, serve: Callable[..., WebServer]) -> None:
    """Each call has its own deadline, and gets its own answer."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        name = handler.path.rsplit("/", 1)[1].encode()
        body = b'{"access_token": "' + name + b'"}'
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    server = serve(reply)
    got: dict[str, str] = {}

    def ask(name: str) -> None:
        for _ in range(5):
            granted = accounts.refresh(site(server.url)._replace(accounts_url=f"{server.url}/{name}"), SECRETS, IN_TIME)
            got[name] = granted.access_token

    threads = [threading.Thread(target=ask, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {f"t{number}": f"t{number}" for number in range(8)}
    assert server.accepted <= 8


def test_two_data_centres_in_one_process(accounts: Accounts) -> None:
    """Each token is refreshed where its site says."""
    with FakeZoho() as one, FakeZoho() as two:
        for zoho in (one, two, one):
            token = known(zoho, refresh_token=zoho.issue_refresh_token())
            assert accounts.refresh(site(zoho.url), token, IN_TIME).api_domain == zoho.url
        assert (one.counters.refreshes, two.counters.refreshes) == (2, 1)


FORK = """
import os, sys
from zoho_token_store.accounts import Accounts, Credentials
from zoho_token_store.clock import SystemClock
from zoho_token_store.site import Site

url = sys.argv[1]
site = Site(url, url, None, False)
accounts = Accounts(10.0, SystemClock())
ask = lambda: accounts.refresh(site, Credentials("c", "s", "r"), 5.0).access_token
print(ask(), flush=True)
if (child := os.fork()) == 0:
    accounts.reset_after_fork()
    print(ask(), ask(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(ask(), flush=True)
accounts.close()
"""


def test_a_forked_child_makes_connections_of_its_own(serve: Callable[..., WebServer]) -> None:
    """And leaves the parent's as they are: one connection for each process."""
    server = serve(answer(200, {"access_token": "access-word"}))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORK, server.url],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["access-word"] * 4, "")
    assert (len(server.seen), server.accepted) == (4, 2)


# Proxies and TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate of 127.0.0.1 that nobody has signed; one file with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
            "subjectAltName=IP:127.0.0.1", "-keyout", f"{path}.key", "-out", str(path),
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    path.write_text(Path(f"{path}.key").read_text() + path.read_text())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_sites_proxy_is_used(accounts: Accounts, serve: Callable[..., WebServer], zoho: FakeZoho) -> None:
    """With its user and password, and whatever the process environment says; its connection is kept too."""
    proxy = serve(forward)
    token = known(zoho, refresh_token=zoho.issue_refresh_token())
    login = {"http": proxy.url.replace("//", "//ada:pass%2Dword@")}
    for _ in range(2):
        assert accounts.refresh(site(zoho.url, proxies=login), token, IN_TIME).access_token
    assert [path for _, path, _, _ in proxy.seen] == [f"{zoho.url}/oauth/v2/token"] * 2
    assert proxy.seen[0][2]["Proxy-Authorization"] == "Basic YWRhOnBhc3Mtd29yZA=="
    assert proxy.accepted == 1


def test_the_proxy_of_the_process_environment_is_used(
    accounts: Accounts, serve: Callable[..., WebServer], zoho: FakeZoho, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the site names none, as ``requests`` does by itself."""
    proxy = serve(forward)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    token = known(zoho, refresh_token=zoho.issue_refresh_token())
    assert accounts.refresh(site(zoho.url), token, IN_TIME).access_token
    assert len(proxy.seen) == 1
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert accounts.refresh(site(zoho.url), token, IN_TIME).access_token
    assert len(proxy.seen) == 1


@pytest.mark.parametrize(
    "proxy", ["http://ada:pass-word@127.0.0.1:1", "http://ada:pass-word@", "http://ada:pass-word@host:99999999"]
)
def test_a_proxy_that_cannot_be_used_is_transient(accounts: Accounts, zoho: FakeZoho, proxy: str) -> None:
    """Its password stays out of the error, and of what is attached to it."""
    with pytest.raises(Transient) as caught:
        accounts.refresh(site(zoho.url, proxies={"http": proxy}), SECRETS, IN_TIME)
    assert_tells_nothing(caught.value)
    assert len(zoho.requests) == 0


def test_an_error_that_repeats_a_url_is_not_attached(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of urllib3 1.26 do: it may be a proxy's, with its password."""

    def fail(*args: Any, **options: Any) -> Any:
        raise requests.exceptions.InvalidProxyURL("Failed to parse: http://ada:pass-word@[")

    monkeypatch.setattr(requests.Session, "request", fail)
    with pytest.raises(Transient, match="InvalidProxyURL") as caught:
        accounts.refresh(site("http://127.0.0.1:1"), SECRETS, IN_TIME)
    assert_tells_nothing(caught.value)
    assert caught.value.__cause__ is None


def test_a_certificate_that_nobody_has_signed_is_refused(
    accounts: Accounts, serve: Callable[..., WebServer], tls: ssl.SSLContext
) -> None:
    """Before anything is sent."""
    server = serve(answer(200, {"access_token": "access-word"}), tls)
    refused = asked(accounts, server)
    assert isinstance(refused, Transient)
    assert "SSLError" in str(refused)
    assert server.seen == []


def test_the_ca_bundle_of_the_process_environment_is_trusted(
    accounts: Accounts,
    serve: Callable[..., WebServer],
    tls: ssl.SSLContext,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Directly, and through a proxy's tunnel; connections are kept either way."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server = serve(answer(200, {"access_token": "access-word"}), tls)
    proxy = serve(forward)
    for way in (None, {"https": proxy.url}):
        for _ in range(2):
            assert asked(accounts, server, proxies=way) == Granted("access-word")
    assert (len(server.seen), server.accepted, len(proxy.seen)) == (4, 2, 1)


def test_a_proxy_that_trickles_holds_no_call(accounts: Accounts, serve: Callable[..., WebServer]) -> None:
    """The deadline is for the tunnel's headers too."""
    proxy = serve(trickle(b"HTTP/1.1 200 OK\r\n", b"X-Header: 1\r\n"))
    start = time.monotonic()
    with pytest.raises(Transient):
        accounts.refresh(site("https://127.0.0.1:1", proxies={"https": proxy.url}), SECRETS, 0.4)
    assert time.monotonic() - start < FOR_EVER


# The user's name


@pytest.mark.sdk_matrix
def test_the_name_is_the_one_that_the_installed_sdk_finds(accounts: Accounts, zoho: FakeZoho, tmp_path: Path) -> None:
    """The SDK asks the stand-in first, then we do, at the same paths."""
    token = zoho.issue_access_token(zoho.issue_refresh_token(user="grace@example.com"))
    expected, paths = name_by_the_sdk(zoho, token, tmp_path)
    zoho.reset()
    assert accounts.user_name(site(zoho.url), token, IN_TIME) == expected
    assert [request.endpoint for request in zoho.requests] == paths
    assert len(paths) == (0 if expected is None else 2)


def name_by_the_sdk(zoho: FakeZoho, access_token: str, directory: Path) -> tuple[str | None, list[str]]:
    """Return the name that the SDK gives a user, and the paths that it asked for it."""
    from zoho_token_store.zoho_sdk import DataCenter, Initializer, OAuthToken, TokenStore

    class Forgetful(TokenStore):  # type: ignore[misc]
        def find_token(self, token: Any) -> Any:
            return None

        def save_token(self, token: Any) -> None:
            pass

        find_token_by_id = get_tokens = delete_token = delete_tokens = find_token

    where = (zoho.url, f"{zoho.url}/oauth/v2/token", zoho.url)
    try:
        environment = DataCenter.Environment(*where)
    except TypeError:  # SDK 5.0 wants a name
        environment = DataCenter.Environment(*where, "stand-in")
    token = OAuthToken(access_token=access_token)
    try:
        Initializer.initialize(environment=environment, token=token, store=Forgetful(), resource_path=str(directory))
    finally:
        Initializer.initializer = Initializer.LOCAL.init = None
    signature = token.get_user_signature()
    return (signature.get_name() if signature else None), [request.endpoint for request in zoho.requests]


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask as SDK 8 does, whichever is installed."""
    monkeypatch.setattr(accounts_module, "name_paths", lambda: NamePaths("/crm/v8/users", "/crm/v8/org"))


@pytest.mark.usefixtures("crm")
def test_a_name_by_email_and_organisation(accounts: Accounts, zoho: FakeZoho) -> None:
    """As SDK 8 makes it."""
    token = zoho.issue_access_token(zoho.issue_refresh_token(user="grace@example.com"))
    assert accounts.user_name(site(zoho.url), token, IN_TIME) == "grace@example.com:60000000001"


@pytest.mark.parametrize(
    ("users", "name"),
    [
        ({"users": [{"email": "ada@example.com"}, {"email": "other@example.com"}]}, "ada@example.com"),
        ({"users": [{"email": None}]}, None), ({"users": [{"email": ""}]}, None), ({"users": [{"email": 7}]}, None),
        ({"users": []}, None), ({"users": ["ada"]}, None), ({"users": {"email": "ada"}}, None), ({}, None),
        ({"code": "OAUTH_SCOPE_MISMATCH", "status": "error"}, None), (["users"], None), (b"", None),
    ],
)  # fmt: skip
def test_a_name_by_email_alone(
    accounts: Accounts,
    serve: Callable[..., WebServer],
    monkeypatch: pytest.MonkeyPatch,
    users: object,
    name: str | None,
) -> None:
    """As older releases of SDK 6.0 make it; None when CRM does not say."""
    monkeypatch.setattr(accounts_module, "name_paths", lambda: NamePaths("/crm/v6/users", None))
    server = serve(answer(200, users))
    assert accounts.user_name(site(server.url), "access-word", IN_TIME) == name
    method, path, headers, _ = server.seen[0]
    assert (method, path) == ("GET", "/crm/v6/users?type=CurrentUser")
    assert headers["Authorization"] == "Zoho-oauthtoken access-word"


@pytest.mark.usefixtures("crm")
def test_no_name_for_whatever_reason(accounts: Accounts, zoho: FakeZoho) -> None:
    """A rejected token, a broken answer to either request, and silence: the token is good without a name."""
    assert accounts.user_name(site(zoho.url), "1000.gone.gone", IN_TIME) is None
    token = zoho.issue_access_token(zoho.issue_refresh_token())
    for kind in ("status", "garbage", "reset", "half"):
        zoho.faults.fail_next(kind=kind, area="crm")  # type: ignore[arg-type]
        assert accounts.user_name(site(zoho.url), token, IN_TIME) is None
    zoho.faults.set(crm_hang=True)
    assert accounts.user_name(site(zoho.url), token, 0.2) is None


@pytest.mark.usefixtures("crm")
def test_both_requests_for_a_name_share_the_time(
    accounts: Accounts, serve: Callable[..., WebServer], clock: Clock
) -> None:
    """The second gets what the first has left."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.startswith("/crm/v8/org"):
            return silence(handler)
        clock.ahead += 23
        return answer(200, {"users": [{"email": "ada@example.com"}]})(handler)

    server = serve(reply)
    start = time.monotonic()
    assert accounts.user_name(site(server.url), "access-word", 25.0) is None
    assert time.monotonic() - start < FOR_EVER
    assert len(server.seen) == 2


def test_an_sdk_that_does_not_ask_has_nobody_asked(
    accounts: Accounts, serve: Callable[..., WebServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SDK 5.0 knows no user names."""
    monkeypatch.setattr(site_module, "Utility", object())
    server = serve(answer(200, {"users": [{"email": "ada@example.com"}]}))
    assert accounts.user_name(site(server.url), "access-word", IN_TIME) is None
    assert server.accepted == 0
