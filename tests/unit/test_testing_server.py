"""The stand-in over HTTP: token, revoke, consent and CRM answers in Zoho's words, faults, counters."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from zoho_token_store.testing import FakeZoho, Limits

ADA = "ada@example.com"


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """Run a stand-in."""
    with FakeZoho() as server:
        yield server


def call(zoho: FakeZoho, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> Any:
    """Send one request; return status, headers and body text."""
    address = urlsplit(zoho.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, urlencode(form) if form is not None else None, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def ask_token(zoho: FakeZoho, **form: str) -> tuple[int, dict[str, Any]]:
    """Ask for tokens as the first client; return status and JSON."""
    form = {"client_id": zoho.client_id, "client_secret": zoho.client_secret, **form}
    status, _, body = call(zoho, "POST", "/oauth/v2/token", form)
    return status, json.loads(body)


def refresh(zoho: FakeZoho, token: str) -> tuple[int, dict[str, Any]]:
    """Refresh as the first client."""
    return ask_token(zoho, grant_type="refresh_token", refresh_token=token)


def crm(zoho: FakeZoho, access_token: str, path: str = "/crm/v8/users?type=CurrentUser") -> tuple[int, dict[str, Any]]:
    """Call CRM; return status and JSON."""
    status, _, body = call(zoho, "GET", path, Authorization=f"Zoho-oauthtoken {access_token}")
    return status, json.loads(body)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, up to 30 s."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_exchange_answers_as_zoho_does(zoho: FakeZoho) -> None:
    """An exchange gives both tokens, the life in seconds and the stand-in as api_domain."""
    code = zoho.issue_grant_code()
    status, answer = ask_token(zoho, grant_type="authorization_code", code=code, redirect_uri=zoho.redirect_uri or "")
    assert status == 200
    assert set(answer) == {"access_token", "refresh_token", "scope", "api_domain", "token_type", "expires_in"}
    assert (answer["api_domain"], answer["token_type"], answer["expires_in"]) == (zoho.url, "Bearer", 3600)
    assert zoho.traffic(code).exchanges == zoho.counters.exchanges == 1


def test_refresh_answers_as_zoho_does(zoho: FakeZoho) -> None:
    """A refresh gives an access token, which CRM takes, and no refresh token."""
    token = zoho.issue_refresh_token()
    status, answer = refresh(zoho, token)
    assert status == 200
    assert "refresh_token" not in answer
    assert crm(zoho, answer["access_token"])[0] == 200
    assert zoho.traffic(token).refreshes == zoho.counters.refreshes == 1


def test_parameters_may_stand_in_the_query(zoho: FakeZoho) -> None:
    """Zoho's documentation puts the token parameters into the query; both ways work."""
    query = urlencode(
        {
            "grant_type": "refresh_token",
            "refresh_token": zoho.issue_refresh_token(),
            "client_id": zoho.client_id,
            "client_secret": zoho.client_secret,
        }
    )
    assert "access_token" in json.loads(call(zoho, "POST", f"/oauth/v2/token?{query}")[2])


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ({"client_id": "1000.NOBODY"}, "invalid_client"),
        ({"client_secret": "wrong"}, "invalid_client_secret"),
        ({"refresh_token": "1000.gone.gone"}, "invalid_code"),
        ({"grant_type": "authorization_code", "code": "1000.gone.gone"}, "invalid_code"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_refusals_come_with_http_200(zoho: FakeZoho, form: dict[str, str], word: str) -> None:
    """Permanent refusals are a JSON error with HTTP 200, counted as rejected."""
    form = {"grant_type": "refresh_token", "refresh_token": zoho.issue_refresh_token(), **form}
    assert ask_token(zoho, **form) == (200, {"error": word})
    assert zoho.counters.rejected == 1
    assert zoho.requests[-1].outcome == word


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("language", "word"), [("en", "Access Denied"), ("zh", "拒绝访问")])
def test_throttled_bodies(status: int, language: str, word: str) -> None:
    """The throttled answer comes in each language with each status, and is counted."""
    with FakeZoho(limits=Limits(access_tokens_per_window=1)) as zoho:
        zoho.faults.set(throttle_language=language, throttle_status=status)
        token = zoho.issue_refresh_token()
        refresh(zoho, token)
        got, answer = refresh(zoho, token)
        assert (got, answer["error"], answer["status"]) == (status, word, "failure")
        assert zoho.traffic(token).throttled == zoho.counters.throttled == 1
        zoho.advance(600)
        assert "access_token" in refresh(zoho, token)[1]


def test_the_english_throttled_body_is_zohos_to_the_letter() -> None:
    """Clients match these words."""
    with FakeZoho(limits=Limits(access_tokens_per_window=1)) as zoho:
        token = zoho.issue_refresh_token()
        refresh(zoho, token)
        assert refresh(zoho, token)[1] == {
            "error": "Access Denied",
            "error_description": "You have made too many requests continuously. Please try again after some time.",
            "status": "failure",
        }


def test_revoke(zoho: FakeZoho) -> None:
    """A revoked refresh token is invalid_code, and revoking it again is refused."""
    token = zoho.issue_refresh_token()
    assert call(zoho, "POST", "/oauth/v2/token/revoke", {"token": token})[2] == '{"status": "success"}'
    assert "error" in json.loads(call(zoho, "POST", "/oauth/v2/token/revoke", {"token": token})[2])
    assert refresh(zoho, token)[1] == {"error": "invalid_code"}
    assert (zoho.counters.revokes, zoho.counters.rejected) == (1, 2)


def test_crm_answers_for_the_user_of_the_token(zoho: FakeZoho) -> None:
    """Users and org are those of the access token's user, in every API version that an SDK calls."""
    zoho.register_user("grace@example.com", org_id="60000000002")
    access = zoho.issue_access_token(zoho.issue_refresh_token("grace@example.com"))
    for version in ("v2", "v2.1", "v5", "v6", "v7", "v8"):
        users = crm(zoho, access, f"/crm/{version}/users?type=CurrentUser")[1]["users"]
        assert [user["email"] for user in users] == ["grace@example.com"]
        assert crm(zoho, access, f"/crm/{version}/org")[1]["org"][0]["zgid"] == "60000000002"
    assert crm(zoho, access, "/crm/v8/settings/fields?module=Leads")[1]["fields"][0]["api_name"] == "Last_Name"
    assert crm(zoho, access, "/crm/v8/Leads?fields=Last_Name")[1]["data"][0]["Last_Name"] == "Lovelace"
    assert crm(zoho, access, "/crm/v8/Nothing")[0] == 404
    assert zoho.counters.crm_calls == 14


def test_crm_rejects_as_zoho_does(zoho: FakeZoho) -> None:
    """No live access token: HTTP 401 with Zoho's code, counted."""
    access = zoho.issue_access_token(zoho.issue_refresh_token())
    zoho.expire_access_tokens()
    invalid = {"code": "INVALID_TOKEN", "details": {}, "message": "invalid oauth token", "status": "error"}
    assert crm(zoho, access) == (401, invalid)
    assert json.loads(call(zoho, "GET", "/crm/v8/org")[2])["code"] == "AUTHENTICATION_FAILURE"
    assert (zoho.counters.crm_rejected, zoho.counters.crm_calls) == (2, 0)


def consent(zoho: FakeZoho, **query: str) -> Any:
    """Open the consent page."""
    asked = {
        "response_type": "code",
        "client_id": zoho.client_id,
        "redirect_uri": zoho.redirect_uri or "",
        "scope": "ZohoCRM.modules.ALL",
        "access_type": "offline",
        "state": "a&b=c",
        **query,
    }
    return call(zoho, "GET", f"/oauth/v2/auth?{urlencode(asked)}")


def test_consent_page_asks_and_escapes(zoho: FakeZoho) -> None:
    """The page offers the users and both buttons, and what came by the query cannot break out of it."""
    status, _, page = consent(zoho, scope="<script>")
    assert status == 200
    assert ADA in page
    assert 'value="allow"' in page
    assert 'value="deny"' in page
    assert "<script>" not in page
    assert 'name="state" value="a&amp;b=c"' in page


def test_consent_leads_back_with_a_code_that_works(zoho: FakeZoho) -> None:
    """With a user chosen the application gets code, state, location and accounts-server, and can exchange the code."""
    status, headers, _ = consent(zoho, user="grace@example.com", decision="allow")
    location = headers["Location"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
    assert status == 302
    assert location.startswith(f"{zoho.redirect_uri}?")
    assert (query["state"], query["location"], query["accounts-server"]) == ("a&b=c", "us", zoho.url)
    exchange = {"grant_type": "authorization_code", "code": query["code"]}
    assert ask_token(zoho, **exchange, redirect_uri="http://localhost:1")[1] == {"error": "invalid_redirect_uri"}
    answer = ask_token(zoho, **exchange, redirect_uri=zoho.redirect_uri or "")[1]
    assert crm(zoho, answer["access_token"])[1]["users"][0]["email"] == "grace@example.com"
    assert answer["refresh_token"]
    assert zoho.counters.consents == 1


def test_consent_without_offline_gives_no_refresh_token(zoho: FakeZoho) -> None:
    """Online access is Zoho's default: the exchange gives an access token alone."""
    location = consent(zoho, user=ADA, access_type="online")[1]["Location"]
    code = parse_qs(urlsplit(location).query)["code"][0]
    answer = ask_token(zoho, grant_type="authorization_code", code=code, redirect_uri=zoho.redirect_uri or "")[1]
    assert "refresh_token" not in answer


def test_consent_denied(zoho: FakeZoho) -> None:
    """A denial goes back to the application as access_denied with its state."""
    location = consent(zoho, user=ADA, decision="deny")[1]["Location"]
    assert parse_qs(urlsplit(location).query) == {"error": ["access_denied"], "state": ["a&b=c"]}


@pytest.mark.parametrize(
    "query", [{"client_id": "1000.NOBODY"}, {"redirect_uri": "https://evil.example"}, {"response_type": "token"}]
)
def test_consent_does_not_redirect_what_it_does_not_trust(zoho: FakeZoho, query: dict[str, str]) -> None:
    """An unknown client or redirect URI gives an error page, never a redirect."""
    status, headers, _ = consent(zoho, user=ADA, **query)
    assert status == 400
    assert "Location" not in headers


def test_failures_are_used_up_and_do_no_work(zoho: FakeZoho) -> None:
    """Planned failures come in order, are counted, and spend no code."""
    code = zoho.issue_grant_code()
    zoho.faults.fail_next(2, status=503, body='{"error": "busy"}')
    zoho.faults.fail_next(kind="garbage")
    form = {"grant_type": "authorization_code", "code": code}
    assert [ask_token(zoho, **form) for _ in range(2)] == [(503, {"error": "busy"})] * 2
    with pytest.raises(json.JSONDecodeError):
        ask_token(zoho, **form)
    assert "access_token" in ask_token(zoho, **form)[1]
    assert (zoho.counters.errors, zoho.traffic(code).errors, zoho.counters.exchanges) == (3, 3, 1)


def test_failures_without_end_last_until_cleared(zoho: FakeZoho) -> None:
    """times=None fails everything in its area, and the other area works on."""
    access = zoho.issue_access_token(zoho.issue_refresh_token())
    zoho.faults.fail_next(None, area="crm", status=500)
    assert [crm(zoho, access)[0] for _ in range(3)] == [500] * 3
    assert refresh(zoho, zoho.issue_refresh_token())[0] == 200
    zoho.faults.clear()
    assert crm(zoho, access)[0] == 200


@pytest.mark.parametrize(("kind", "error"), [("half", http.client.IncompleteRead), ("reset", ConnectionResetError)])
def test_a_lost_answer_is_lost_after_the_work(zoho: FakeZoho, kind: Any, error: type[Exception]) -> None:
    """Half an answer and a reset both break the caller off, with the code spent, and the history says so."""
    code = zoho.issue_grant_code()
    zoho.faults.fail_next(kind=kind)
    with pytest.raises(error):
        ask_token(zoho, grant_type="authorization_code", code=code)
    assert ask_token(zoho, grant_type="authorization_code", code=code)[1] == {"error": "invalid_code"}
    assert zoho.counters.exchanges == 1
    assert [(seen.outcome, seen.heard) for seen in zoho.requests] == [("exchanged", False), ("invalid_code", True)]


def test_latency_delays_accounts_and_crm_apart(zoho: FakeZoho) -> None:
    """Each area has a latency of its own."""
    token = zoho.issue_refresh_token()
    access = zoho.issue_access_token(token)
    zoho.faults.set(latency=0.05)
    crm(zoho, access)
    refresh(zoho, token)
    quick, slow = (seen.seconds for seen in zoho.requests)
    assert quick < 0.05 <= slow


def test_answers_change_by_switch(zoho: FakeZoho) -> None:
    """api_domain can be left out, and the older form of the expiry be answered."""
    zoho.faults.set(omit_api_domain=True, legacy_expiry=True)
    answer = refresh(zoho, zoho.issue_refresh_token())[1]
    assert "api_domain" not in answer
    assert (answer["expires_in"], answer["expires_in_sec"]) == (3_600_000, 3600)


def test_api_domain_and_public_url_can_be_named() -> None:
    """Behind another name the stand-in says that name."""
    with FakeZoho(public_url="http://zoho.test/") as server:
        address = FakeZoho(port=server.port)
        assert refresh(address, server.issue_refresh_token())[1]["api_domain"] == "http://zoho.test"
    with FakeZoho(api_domain="https://www.zohoapis.com") as server:
        assert refresh(server, server.issue_refresh_token())[1]["api_domain"] == "https://www.zohoapis.com"


def test_rotation_is_counted_as_one_grant(zoho: FakeZoho) -> None:
    """With rotation on each refresh names the next token, and all count for one grant."""
    first = zoho.issue_refresh_token()
    zoho.faults.set(rotate_refresh_tokens=True)
    second = refresh(zoho, first)[1]["refresh_token"]
    assert refresh(zoho, first)[1] == {"error": "invalid_code"}
    refresh(zoho, second)
    traffic = zoho.traffic(second)
    assert (traffic.refreshes, traffic.rejected) == (2, 1)
    assert traffic == zoho.traffic(first)


def test_a_rotation_that_overlaps_is_a_switch(zoho: FakeZoho) -> None:
    """Over HTTP too: the old refresh token is taken again."""
    first = zoho.issue_refresh_token()
    zoho.faults.set(rotate_refresh_tokens=True, rotation_overlaps=True)
    assert len({refresh(zoho, first)[1]["refresh_token"] for _ in range(2)}) == 2


def in_background(work: Callable[[], Any]) -> threading.Thread:
    """Run something that may fail."""

    def run() -> None:
        try:
            work()
        except (OSError, http.client.HTTPException):
            return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_hang_holds_requests_until_released(zoho: FakeZoho) -> None:
    """Hanging requests are in flight together, which is what the most in flight shows, and end by release."""
    token = zoho.issue_refresh_token()
    zoho.faults.set(hang=True)
    threads = [in_background(lambda: refresh(zoho, token)) for _ in range(3)]
    until(lambda: zoho.traffic(token).in_flight == 3)
    assert zoho.counters.refreshes == 0
    zoho.faults.set(hang=False)
    for thread in threads:
        thread.join(30)
    traffic = zoho.traffic(token)
    assert (traffic.refreshes, traffic.in_flight, traffic.max_in_flight) == (3, 0, 3)
    assert zoho.max_in_flight() == zoho.max_in_flight(token) == 3


def test_requests_one_after_another_never_look_concurrent(zoho: FakeZoho) -> None:
    """A caller who asks again at once, on a new connection, counts as one in flight."""
    token = zoho.issue_refresh_token()
    for _ in range(100):
        refresh(zoho, token)
    assert zoho.max_in_flight(token) == 1


def test_a_caller_who_goes_away_is_not_in_flight(zoho: FakeZoho) -> None:
    """A hanging request ends with its caller, unworked, and counts as abandoned."""
    token = zoho.issue_refresh_token()
    zoho.faults.set(hang=True)
    address = urlsplit(zoho.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    form = urlencode({"grant_type": "refresh_token", "refresh_token": token})
    connection.request("POST", "/oauth/v2/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
    until(lambda: zoho.traffic(token).in_flight == 1)
    connection.close()
    until(lambda: zoho.traffic(token).in_flight == 0)
    assert (zoho.counters.abandoned, zoho.counters.refreshes) == (1, 0)


def test_stop_does_not_wait_for_hanging_requests() -> None:
    """Stopping ends hanging requests and idle connections at once."""
    zoho = FakeZoho().start()
    token = zoho.issue_refresh_token()
    zoho.faults.set(hang=True)
    thread = in_background(lambda: refresh(zoho, token))
    until(lambda: zoho.traffic(token).in_flight == 1)
    started = time.monotonic()
    zoho.stop()
    zoho.stop()
    assert time.monotonic() - started < 5
    thread.join(30)
    assert not thread.is_alive()


def test_state_and_port_outlast_an_outage(zoho: FakeZoho) -> None:
    """Stopped, nothing answers; started again, the same address knows the same tokens."""
    token, url = zoho.issue_refresh_token(), zoho.url
    refresh(zoho, token)
    zoho.stop()
    with pytest.raises(ConnectionError):
        refresh(zoho, token)
    zoho.start()
    zoho.start()
    assert zoho.url == url
    assert refresh(zoho, token)[0] == 200
    assert zoho.counters.refreshes == 2


def test_history_is_bounded_and_holds_no_secret() -> None:
    """The history keeps the newest requests, and nothing that a test prints holds a code, token or secret."""
    with FakeZoho(history=3) as zoho:
        token = zoho.issue_refresh_token()
        access = [refresh(zoho, token)[1]["access_token"] for _ in range(5)][-1]
        crm(zoho, access)
        assert [seen.endpoint for seen in zoho.requests] == ["token", "token", "/crm/v8/users"]
        shown = repr((zoho, zoho.requests, zoho.counters, zoho.traffic(token), zoho.faults))
        assert not any(secret in shown for secret in (token, access, zoho.client_secret))


def test_nothing_is_written_to_the_terminal(zoho: FakeZoho, capfd: pytest.CaptureFixture[str]) -> None:
    """Requests, resets and unknown paths leave no line, since request lines can hold codes."""
    zoho.faults.fail_next(kind="reset")
    with pytest.raises(ConnectionResetError):
        refresh(zoho, zoho.issue_refresh_token())
    assert call(zoho, "GET", "/nowhere?code=1000.x.y")[0] == 404
    zoho.stop()
    assert capfd.readouterr() == ("", "")


def test_bodies_without_end_are_refused(zoho: FakeZoho) -> None:
    """A body that is too large, or whose length is no number, gets an error and is not read."""
    for length in ("1000000000", "-1", "x"):
        headers = {"Content-Length": length}
        assert call(zoho, "POST", "/oauth/v2/token", None, **headers)[0] == 413


@pytest.mark.parametrize(
    "switches", [{"latency": -1}, {"hang": "yes"}, {"throttle_language": "fr"}, {"throttle_status": 7}, {"hnag": True}]
)
def test_bad_switches_are_refused_by_name(zoho: FakeZoho, switches: dict[str, Any]) -> None:
    """A switch that does not exist or cannot have that value is named in the error, and nothing changes."""
    before = zoho.faults.settings
    with pytest.raises(ValueError, match=next(iter(switches))):
        zoho.faults.set(**switches)
    assert zoho.faults.settings == before


def test_bad_failures_are_refused(zoho: FakeZoho) -> None:
    """A failure that cannot be planned is an error at once."""
    options: Any
    for options in ({"kind": "explode"}, {"area": "mail"}, {"times": 0}, {"status": 99}):
        with pytest.raises(ValueError, match=next(iter(options))):
            zoho.faults.fail_next(**options)


def test_time_does_not_go_back(zoho: FakeZoho) -> None:
    """Time can only be moved forward."""
    with pytest.raises(ValueError, match="0 or more"):
        zoho.advance(-1)
