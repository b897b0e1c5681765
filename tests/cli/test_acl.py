"""``zoho-tokens acl`` prints rules that Redis takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner

from servers import Binary, Server, client_for, find_binaries
from zoho_token_store import RedisTokenStore, acl
from zoho_token_store.cli.command import command


def run(*arguments: str, **variables: str) -> tuple[int, str]:
    """Return exit status and output."""
    done = CliRunner(env={"ZOHO_TOKEN_STORE_NAMESPACE": None, **variables}).invoke(command, ["acl", *arguments])
    return done.exit_code, done.output


@pytest.mark.parametrize("role", ["worker", "operator"])
@pytest.mark.parametrize("binary", find_binaries().values(), ids=lambda binary: binary.name)
def test_redis_takes_what_is_printed(binary: Binary, start_server: Callable[..., Server], role: str) -> None:
    """Whatever a user of that name was allowed before is over; with a password behind the rules the store works."""
    server = start_server(binary, tcp=True)
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "ada", "on", ">old", "allkeys", "+@all")
        status, printed = run(role, "--namespace", "crm")
        assert status == 0
        admin.execute_command("ACL", "SETUSER", "ada", *printed.split(), ">new")
        assert len(admin.acl_getuser("ada")["passwords"]) == 1
    with RedisTokenStore.from_url(f"redis://ada:new@127.0.0.1:{server.port}", "crm") as store:
        assert store.get_tokens() == []
    with client_for(f"redis://ada:new@127.0.0.1:{server.port}") as client, pytest.raises(Exception, match="permission"):
        client.flushall()


def test_the_namespace_comes_from_the_environment_too() -> None:
    """As with every other command."""
    assert run("worker", ZOHO_TOKEN_STORE_NAMESPACE="crm") == (0, " ".join(acl.worker("crm")) + "\n")


@pytest.mark.parametrize("namespace", ["*", "a b", "crm}:*", ""])
def test_a_namespace_that_is_none_is_refused(namespace: str) -> None:
    """No pattern can be smuggled into a rule."""
    status, output = run("worker", "--namespace", namespace)
    assert status == 2
    assert "--namespace" in output
    assert "~" not in output


def test_a_role_that_is_none_is_refused() -> None:
    """There are two."""
    status, output = run("admin", "--namespace", "crm")
    assert status == 2
    assert "worker" in output
