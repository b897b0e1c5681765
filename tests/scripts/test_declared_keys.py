"""Every key that a script touches is declared in its ``KEYS``: some managed services refuse anything else."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from contract.tokens import by_access, by_user, make_token, refreshed
from scripts.test_headers import SCRIPTS, code_of
from zoho_token_store import (
    NotDurable,
    RedisTokenStore,
    RefreshFailing,
    RefreshRejected,
    RefreshThrottled,
    TokenDeleted,
    script,
)
from zoho_token_store.cli.doctor.gather import TRIED
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import OAuthToken

KEYLESS = {"TIME"}


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_keys_in_the_code_come_from_keys(name: str) -> None:
    """The key of each ``redis.call`` is ``KEYS[...]`` or a local that was made from it; none is put together."""
    code = code_of(name)
    calls = re.findall(r"redis\.p?call\((?:'(\w+)'|command)(?:, *([\w.]+(?:\[[^\]]*\])?))?", code)
    assert len(calls) == len(re.findall(r"redis\.p?call\(", code))
    own = {variable for names, values in _assignments(code) for variable, value in zip(names, values, strict=False)
           if re.match(r"KEYS\[", value)}  # fmt: skip
    own |= {"lease"} if name == "commit-1" else set()  # the parameter of a function that is called with a key
    for command, key in calls:
        assert command in KEYLESS or key.startswith("KEYS[") or key in own, (command, key)
    if name == "commit-1":
        assert re.findall(r"[^n] release\((\w+),", code) == ["key"]


def _assignments(code: str) -> Iterator[tuple[list[str], list[str]]]:
    for left, right in re.findall(r"local ([\w, ]+?) *= *([^\n]+)", code):
        yield (
            [name.strip() for name in left.split(",")],
            [value.strip() for value in re.split(r", *(?![^(]*\))", right)],
        )


def everything(make_store: Callable[..., RedisTokenStore]) -> None:
    """Do all that a store can, so that each branch of each script runs."""
    store = make_store(lease_ttl=0.1, wait_timeout=5, retention=7200)
    other = make_store(on_missing_id="none")
    ada = make_token("ada", refresh="rt", grant="gt", access="at", left=5)
    store.save_token(ada)
    assert store.find_token(by_user("ada")).get_access_token() is None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.find_token_by_id, ada.get_id())
        winner = waiting.result(10)
    assert winner.get_access_token() is None
    other.save_token(refreshed(winner, "at1", left=5))
    assert other.find_token_by_id(ada.get_id()).get_access_token() is None
    other.close()
    other = make_store(on_missing_id="none")
    store.save_token(refreshed(store.get(ada.get_id()), "at2"))
    for asked in (by_access("at2"), make_token(grant="gt"), make_token(refresh="rt"), make_token(refresh="new")):
        store.find_token(asked)
    nameless = make_token(refresh="rt2", access="at3")
    store.save_token(nameless)
    store.save_token(make_token("ada", id=nameless.get_id()))
    store.find_token_by_id(nameless.get_id())
    store.invalidate_access_token(ada.get_id())
    with suppress(RefreshFailing):
        for _ in range(5):
            store.find_token_by_id(ada.get_id())
    assert other.find_token_by_id("claimed") is None
    other.close()
    other = make_store(on_missing_id="none")
    store.save_token(make_token("grace", access="only"))
    list(store.iter_tokens(batch=1))
    store.delete_token(ada.get_id())
    with pytest.raises(TokenDeleted):
        other.find_token_by_id(ada.get_id())
    managed(make_store)
    store.delete_tokens()


def managed(make_store: Callable[..., RedisTokenStore]) -> None:
    """Have the store ask Zoho: a refresh, one that has to wait, one that is refused for good."""
    with FakeZoho() as zoho:
        environment = SimpleNamespace(url=zoho.url, accounts_url=f"{zoho.url}/oauth/v2/token")
        store = make_store(refresh="managed", environment=environment, refresh_budget=2)
        token = OAuthToken(zoho.client_id, zoho.client_secret, refresh_token=zoho.issue_refresh_token())
        token_id = store.find_token(token).get_id()
        store.invalidate_access_token(token_id)
        with suppress(RefreshThrottled):
            for _ in range(3):
                store.find_token_by_id(token_id)
                store.invalidate_access_token(token_id)
        refused = OAuthToken(zoho.client_id, zoho.client_secret, refresh_token="unknown")
        with pytest.raises(RefreshRejected):
            store.find_token(refused)
        store.save_token(refused)
        with pytest.raises(RefreshRejected):
            store.find_token_by_id(refused.get_id())


def operate(store: RedisTokenStore, server: Any, namespace: str) -> None:
    """Do what the commands of an operator do beyond that."""
    keys = Keyspace(namespace)
    store.save_token(make_token("ada", refresh="rt"))
    with server.client() as client:
        client.hset(keys.lease("without-end"), "fence", "1")
    assert [finding.kind for step in store.audit(repair=True) for finding in step.findings] == ["endless"]
    trial = [word for name, rest in TRIED.items() for word in (len(rest), name, *rest)]
    assert store._link.run(script.TRY, [keys.nothing], trial) == []


def test_keys_at_run_time_are_declared(real_server: Any, namespace: str) -> None:
    """Watched by MONITOR, no script touches a key that its own call has not declared, and all scripts run."""
    lines: list[dict[str, Any]] = []
    with real_server.client(decode_responses=True, socket_timeout=None) as watcher, watcher.monitor() as monitor:
        done = threading.Event()

        def watch() -> None:
            for line in monitor.listen():
                lines.append(line)
                if "end-of-the-test" in line["command"]:
                    done.set()
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        stores: list[RedisTokenStore] = []

        def make_store(**options: Any) -> RedisTokenStore:
            stores.append(RedisTokenStore(real_server.client(), namespace, **options))
            return stores[-1]

        try:
            everything(make_store)
            with pytest.raises(NotDurable):
                make_store(min_replicas=1, operation_timeout=2.0).save_token(make_token(refresh="no replica has it"))
            operate(make_store(), real_server, namespace)
        finally:
            for store in stores:
                store.close()
            with real_server.client() as client:
                client.get("end-of-the-test")
            assert done.wait(10)
            thread.join(10)
    _check(lines)


def _check(lines: list[dict[str, Any]]) -> None:
    declared: set[str] = set()
    ran: set[str] = set()
    inside = 0
    for line in lines:
        words = line["command"].split(" ")
        if words[0].upper() in ("EVAL", "EVALSHA"):
            # An EVAL's own text may hold spaces; its keys are those that look like ours after the number of keys.
            number = re.search(r" (\d+) (zts:.*)", line["command"])
            declared = set(number.group(2).split(" ")[: int(number.group(1))]) if number else set()
            ran.add(words[1])
        elif line["client_type"] == "lua" and words[0].upper() not in KEYLESS:
            assert words[1] in declared, line["command"]
            inside += 1
    assert inside > 100
    assert {value.sha for value in vars(script).values() if isinstance(value, script.Script)} <= ran
