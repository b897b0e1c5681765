"""``zoho-tokens acl`` prints rules that Redis takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from contract.tokens import make_token
from servers import Binary, Server, client_for, find_binaries
from zoho_token_store import NotDurable, RedisTokenStore, acl
from zoho_token_store.cli.command import command


def run(*arguments: str, **variables: str) -> tuple[int, str]:
    """Return exit status and output."""
    done = CliRunner(env={"ZOHO_TOKEN_STORE_NAMESPACE": None, **variables}).invoke(command, ["acl", *arguments])
    return done.exit_code, done.output


def knows_waitaof(binary: Binary) -> bool:
    """Return whether a server is new enough for it."""
    return binary.version >= (7, 2)


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


@pytest.mark.parametrize(
    ("binary", "arguments"),
    [
        pytest.param(binary, arguments, id=" ".join([binary.name, *arguments]))
        for binary in find_binaries().values()
        for arguments in ([], ["--waitaof"])
        if knows_waitaof(binary) or not arguments
    ],
)
def test_a_worker_may_wait_for_replicas(
    binary: Binary, arguments: list[str], start_server: Callable[..., Server]
) -> None:
    """On every server a save with `min_replicas` is counted; with --waitaof, where it is known, on disk."""
    server = start_server(binary, ("--appendonly", "yes"), tcp=True)
    _, printed = run("worker", "--namespace", "crm", *arguments)
    with server.client(decode_responses=True) as admin:
        admin.execute_command("ACL", "SETUSER", "ada", *printed.split(), ">new")
        url = f"redis://ada:new@127.0.0.1:{server.port}"
        with RedisTokenStore.from_url(url, "crm", min_replicas=1, operation_timeout=2.0) as store:
            with pytest.raises(NotDurable) as caught:
                store.save_token(make_token("ada", refresh="no replica has it"))
            assert caught.value.on_disk == bool(arguments)
        assert {entry["object"] for entry in admin.acl_log()} <= (set() if arguments else {"waitaof"})


@pytest.mark.parametrize("binary", find_binaries().values(), ids=lambda binary: binary.name)
def test_a_server_that_does_not_know_waitaof(binary: Binary, start_server: Callable[..., Server]) -> None:
    """Refuses the rules that have it, and takes those that do not: they are what is printed by itself."""
    _, printed = run("worker", "--namespace", "crm", "--waitaof")
    assert set(printed.split()) - set(run("worker", "--namespace", "crm")[1].split()) == {"+waitaof"}
    with start_server(binary).client() as admin:
        taken: Any = contextlib.nullcontext() if knows_waitaof(binary) else pytest.raises(redis.ResponseError)
        with taken:
            admin.execute_command("ACL", "SETUSER", "ada", *printed.split())


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
