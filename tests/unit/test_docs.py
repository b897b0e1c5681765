"""What docs/ says of keys, commands and counts against the code and real servers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from servers import Binary, Server, find_binaries
from zoho_token_store import RedisTokenStore, RefreshFailing, RefreshRejected, commit, connection, keyspace
from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import OAuthToken, UserSignature

DOCS = Path(__file__).parents[2] / "docs"
BINARIES = list(find_binaries().values())


@pytest.mark.parametrize("binary", BINARIES, ids=lambda binary: binary.name)
def test_the_acl_user_suffices(binary: Binary, start_server: Callable[..., Server]) -> None:
    """The ACL of docs/security.md lets the store do all that it does in its namespace, and nothing in another."""
    rules = re.search(r"^    user worker (on .*)$", (DOCS / "security.md").read_text("utf-8"), re.MULTILINE)
    assert rules is not None
    server = start_server(binary, tcp=True)
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "worker", *rules[1].split())
    url = f"redis://worker:password@127.0.0.1:{server.port}/0"
    options: dict[str, Any] = {"lease_ttl": 0.2, "wait_timeout": 5.0}
    with (
        RedisTokenStore.from_url(url, "crm", **options) as one,
        RedisTokenStore.from_url(url, "crm", **options) as other,
    ):
        exercise(one, other)
    with FakeZoho() as zoho:
        environment = SimpleNamespace(url=zoho.url, accounts_url=f"{zoho.url}/oauth/v2/token")
        options = {"refresh": "managed", "near_cache": True, "environment": environment}
        with RedisTokenStore.from_url(url, "crm", **options) as managed:
            refresh_by_itself(managed, zoho)
    with redis.Redis.from_url(url) as worker, pytest.raises(redis.ResponseError, match=r"(?i)permission"):
        worker.get("zts:{other}:ids")


def exercise(one: RedisTokenStore, other: RedisTokenStore) -> None:
    """Use every script and every command: create, lease, wait, end by itself, stay, merge, claim, list, delete."""
    one.ping()
    durable = OAuthToken("client", "secret", refresh_token="r", access_token="a", user_signature=UserSignature("ada"))
    one.save_token(durable)
    one.invalidate_access_token(durable.get_id())
    assert one.find_token_by_id(durable.get_id()).get_access_token() is None
    assert other.find_token_by_id(durable.get_id()).get_access_token() is None
    assert other.stats()["waits"] == 1
    fleeting = OAuthToken(access_token="b")
    one.save_token(fleeting)
    for refresh_token, access_token in (("s", "b"), ("r", "c")):
        one.save_token(OAuthToken("client", "secret", None, refresh_token, None, fleeting.get_id(), access_token))
    assert one.find_token(OAuthToken("client", "secret", refresh_token="r")).get_id() == durable.get_id()
    assert len(one.get_tokens()) == 1
    assert one.find_token(OAuthToken("client", "secret", grant_token="g")) is None
    one.delete_tokens()
    assert one.get_tokens() == []


def refresh_by_itself(store: RedisTokenStore, zoho: FakeZoho) -> None:
    """Refresh, fail, be refused, and look up what the near cache has."""
    token = OAuthToken(zoho.client_id, zoho.client_secret, refresh_token=zoho.issue_refresh_token())
    token_id = store.find_token(token).get_id()
    deadline = time.monotonic() + 10
    while store.stats()["near_hits"] == 0:
        assert store.find_token_by_id(token_id).get_access_token()
        assert time.monotonic() < deadline, "the event feed does not get its answers"
        time.sleep(0.01)
    zoho.faults.fail_next(2)
    store.invalidate_access_token(token_id)
    with pytest.raises(RefreshFailing):
        store.find_token_by_id(token_id)
    with pytest.raises(RefreshRejected):
        store.find_token(OAuthToken(zoho.client_id, "wrong", refresh_token=zoho.issue_refresh_token()))


def test_the_keys_of_the_design_are_those_of_the_code() -> None:
    """Each kind of key that keyspace.py lists stands in docs/design.md, and no other does."""
    listed = set(re.findall(r"zts:\{<ns>\}:([a-z-]+)", keyspace.__doc__ or "")) - {"nothing"}
    assert set(re.findall(r"`zts:\{ns\}:([a-z-]+)", (DOCS / "design.md").read_text("utf-8"))) == listed


def test_the_numbers_of_the_documents_are_those_of_the_code() -> None:
    """Connections kept and events remembered are as said."""
    operations = (DOCS / "operations.md").read_text("utf-8")
    assert f"up to {connection.IDLE} of either kind stay open" in operations
    assert f"last {commit.EVENTS_KEPT:,}" in operations


def test_the_log_messages_of_the_documents_are_those_of_the_code() -> None:
    """What operations.md says to look for in the log is what the code writes there."""
    source = "".join(path.read_text("utf-8") for path in Path(commit.__file__).parent.glob("*.py"))
    messages = re.findall(r"^\| log: \"(.+?)\"", (DOCS / "operations.md").read_text("utf-8"), re.MULTILINE)
    assert len(messages) >= 3
    assert [message for message in messages if message not in source] == []
