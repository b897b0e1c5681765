"""``login``: the whole flow of a self client, against the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cli.desk import Desk
from zoho_token_store.cli.login import DOMAINS
from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import DataCenter

ADA = "ada@example.com:60000000001"


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """Run a stand-in whose client has no redirect URL to give, as a self client."""
    with FakeZoho() as server:
        server.register_client(server.client_id, server.client_secret)
        yield server


def places(zoho: FakeZoho) -> tuple[str, ...]:
    """Return where it is, as options."""
    return ("--accounts-url", zoho.url, "--crm-url", zoho.url)


def test_somebody_logs_in(desk: Desk, zoho: FakeZoho) -> None:
    """Client id, secret and code are asked for; the latter two are not shown. The token is stored with its user."""
    code = zoho.issue_grant_code()
    terminal = desk.terminal("login", *places(zoho))
    for asked, answer in (("Client id", zoho.client_id), ("Client secret", zoho.client_secret), ("Grant code", code)):
        terminal.wait_for(f"{asked}: ")
        terminal.type(answer)
    assert terminal.end() == 0, terminal.screen
    assert f"stored the token of {ADA} under the id" in terminal.screen
    with desk.store() as store:
        [token] = store.get_by_user(ADA)
        assert zoho.counters.exchanges == 1
        assert token.get_access_token()
        assert token.get_id() in terminal.screen
        secrets = (zoho.client_secret, code, token.get_access_token(), token.get_refresh_token())
    assert not [secret for secret in secrets if secret in terminal.screen]


def test_a_script_logs_in(desk: Desk, zoho: FakeZoho) -> None:
    """Secret and code are lines of stdin; what is stored is printed for programs. Again, the same token is renewed."""
    ids = []
    for _ in range(2):
        answer = f"{zoho.client_secret}\n{zoho.issue_grant_code()}\n"
        done = desk.run("--json", "login", "--client-id", zoho.client_id, *places(zoho), answer=answer)
        assert (done.returncode, done.stderr) == (0, "")
        told = json.loads(done.stdout)
        assert (told["user_name"], told["state"], told["refreshable"]) == (ADA, "fresh", True)
        ids.append(told["id"])
    assert desk.ids() == {ids[0]}
    assert ids == [ids[0]] * 2
    answer = f"{zoho.client_secret}\n{zoho.issue_grant_code()}\n"
    done = desk.run("login", "--quiet", "--client-id", zoho.client_id, *places(zoho), answer=answer)
    assert done.stdout == f"{ids[0]}\n"


@pytest.mark.parametrize(
    ("client_id", "secret", "code", "said"),
    [
        ("", "", "not-a-code", "invalid_code; the grant code is wrong"),
        ("1000.NOBODY", "", "", "invalid_client; the client id is not known"),
        ("", "not-the-secret", "", "invalid_client_secret; the client secret is wrong"),
    ],
)
def test_what_zoho_refuses_is_not_stored(
    desk: Desk, zoho: FakeZoho, client_id: str, secret: str, code: str, said: str
) -> None:
    """It is said in words, without what was typed."""
    code = code or zoho.issue_grant_code()
    secret = secret or zoho.client_secret
    arguments = ("--client-id", client_id or zoho.client_id, *places(zoho))
    done = desk.run("login", *arguments, answer=f"{secret}\n{code}\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not [typed for typed in (secret, code) if typed in done.stderr]
    assert desk.ids() == set()


def test_a_zoho_that_fails(desk: Desk, zoho: FakeZoho) -> None:
    """Nothing is stored, and it is said what to do."""
    zoho.faults.fail_next(times=None, status=503)
    answer = f"{zoho.client_secret}\n{zoho.issue_grant_code()}\n"
    done = desk.run("login", "--client-id", zoho.client_id, *places(zoho), answer=answer)
    assert done.returncode == 1
    assert "HTTP 503" in done.stderr
    assert desk.ids() == set()


def test_what_is_missing(redis_desk: Desk) -> None:
    """Status 2, before anybody is asked for anything."""
    for arguments in (["--region", "mars"], ["--accounts-url", "http://x"], ["--region", "us", "--client-id", "x"]):
        assert redis_desk.run("login", *arguments).returncode == 2


def test_the_regions_are_those_of_the_sdk() -> None:
    """Each domain leads to the environment of its data centre, with an accounts server of its own."""
    servers = {DataCenter.get(domain).accounts_url for domain in DOMAINS.values()}
    assert len(servers) == len(DOMAINS)
    assert all(DataCenter.get(domain).url == domain for domain in DOMAINS.values())
