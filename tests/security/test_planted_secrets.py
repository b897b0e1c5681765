"""Marked secrets through all that a fleet does, well and badly; then they are looked for wherever they might be."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations

from cli.program import run_here
from contract.tokens import make_token, refreshed
from security.ear import Ear, on_disk
from servers import Server
from zoho_token_store import RedisTokenStore
from zoho_token_store.cli.command import command
from zoho_token_store.instrumentation import LoggingHook
from zoho_token_store.instrumentation.opentelemetry import OpenTelemetryHook
from zoho_token_store.instrumentation.prometheus import PrometheusHook
from zoho_token_store.keyring import new_key
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.testing import FakeZoho, Limits

SECRET = "PLANTEDsecret"
"""Stands in every token, code and client secret, and in the password of Redis."""
IDENTITY = "PLANTEDname"
"""Stands in every user name, client id and redirect URL."""

NAMING = ("find", "list", "login", "show", "top")
"""Commands that are there to name users and clients to their operator."""

NAMESPACE = "planted"
CLIENT = {"client_id": f"1000.{IDENTITY}", "secret": f"{SECRET}-of-the-client"}
REDIRECT = f"https://{IDENTITY}.example.com/back"
KEYS = {"ZOHO_TOKEN_STORE_KEYS": new_key(), "ZOHO_TOKEN_STORE_POINTER_KEYS": new_key()}
HIDING = {**KEYS, "ZOHO_TOKEN_STORE_ENCRYPT_IDENTITY": "1"}


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    """Start a server that writes all it is told to disk, and all commands to its slow log."""
    options = ("--appendonly", "yes", "--appendfsync", "always", "--slowlog-log-slower-than", "0")
    return start_server(None, (*options, "--slowlog-max-len", "100000"), password=f"{SECRET}-of-redis")


@pytest.fixture
def zoho(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeZoho]:
    """Run a stand-in whose every code and token is marked."""
    with FakeZoho(limits=Limits(access_tokens_per_window=10_000)) as zoho:
        drawn = count()
        monkeypatch.setattr(zoho.accounts, "_draw", lambda: f"1000.{SECRET}.{next(drawn):032x}")
        zoho.register_client(CLIENT["client_id"], CLIENT["secret"], [REDIRECT])
        zoho.register_user(f"{IDENTITY}@example.com")
        yield zoho


class Life:
    """All that may happen to tokens.

    Args:
        server: The Redis server.
        zoho: The stand-in.
        ear: Hears it all.
        keys: Environment variables of the store.
        folder: Where the SDK may keep files.
    """

    def __init__(self, server: Server, zoho: FakeZoho, ear: Ear, keys: dict[str, str], folder: Path) -> None:
        self._server = server
        self._zoho = zoho
        self._ear = ear
        self._folder = folder
        where = {"ZOHO_TOKEN_STORE_URL": server.url, "ZOHO_TOKEN_STORE_NAMESPACE": NAMESPACE}
        self._environ = where | keys
        self._environment = DataCenter.Environment(zoho.url, f"{zoho.url}/oauth/v2/token", zoho.url)
        self._registry, self._spans, tracers = CollectorRegistry(), InMemorySpanExporter(), TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        sinks = [PrometheusHook(self._registry), OpenTelemetryHook(tracer_provider=tracers)]
        self._hooks = [ear.take_down, LoggingHook(), *sinks]

    def go_by(self) -> None:
        """Let everything happen once."""
        for refresh in ("managed", "sdk"):
            self._boot_and_fail(refresh)
        self._storm()
        self._mistakes()
        self._outage()
        self._damage()
        self._commands()
        spans = [span.to_json() for span in self._spans.get_finished_spans()]
        assert spans
        self._ear.take_down(generate_latest(self._registry), *spans)

    def _store(self, **options: Any) -> RedisTokenStore:
        usual = {"environment": self._environment, "hooks": self._hooks}
        return RedisTokenStore.from_env(self._environ, **{**usual, **options})

    def _attempt(self, *whats: Callable[[], Any]) -> None:
        """Do what may fail; what comes of it is taken down."""
        for what in whats:
            try:
                self._ear.take_down(repr(what()))
            except Exception as error:
                self._ear.take_down(error)

    def _token(self) -> Any:
        code = self._zoho.issue_grant_code(f"{IDENTITY}@example.com", CLIENT["client_id"], redirect_uri=REDIRECT)
        return make_token(grant=code, redirect=REDIRECT, **CLIENT)

    def _boot_and_fail(self, refresh: str) -> None:
        """Boot the SDK on a code, call CRM, and have Zoho fail in every way while it refreshes."""
        body = f'{{"error": "{SECRET}", "access_token": 7}}'
        failures = ({}, {"body": body}, {"kind": "garbage", "body": SECRET}, {"kind": "reset"}, {"kind": "half"})
        for failure in failures:
            with self._store(refresh=refresh, near_cache=refresh == "managed", request_timeout=1.0) as store:
                token = self._token()
                files = str(self._folder)
                boot = {"environment": self._environment, "token": token, "store": store, "resource_path": files}
                self._attempt(lambda: Initializer.initialize(**boot), lambda: store.call_crm(_organization))  # noqa: B023
                record_id = str(token.get_id())
                self._zoho.faults.fail_next(2, **failure)
                self._attempt(lambda: store.invalidate_access_token(record_id), _organization)  # noqa: B023
                self._zoho.faults.clear()
                self._attempt(store.stats, lambda: store, lambda: store.revoke(record_id))  # noqa: B023

    def _storm(self) -> None:
        """Have many workers want one code, and one due token, at once."""
        token = self._token()
        stores = [self._store(refresh="managed", near_cache=True) for _ in range(6)]
        with ThreadPoolExecutor(len(stores)) as pool:
            selectors = [make_token(grant=token.get_grant_token(), redirect=REDIRECT, **CLIENT) for _ in stores]
            finds = [pool.submit(store.find_token, each) for store, each in zip(stores, selectors, strict=True)]
            # Ids may differ for a moment: the record of this login is merged into the one that the user had.
            record_id = finds[0].result().get_id()
            stores[0].invalidate_access_token(record_id)
            list(pool.map(lambda store: store.find_token_by_id(record_id), stores))
        for store in stores:
            store.close()

    def _mistakes(self) -> None:
        """Make what is refused."""
        other = {**CLIENT, "client_id": f"1000.{IDENTITY}-two"}
        name = f"{IDENTITY}@example.com"
        with self._store() as store:
            for client in (CLIENT, other):
                token = make_token(f"two-{name}", refresh=f"{SECRET}-{client['client_id']}", access=SECRET, **client)
                store.save_token(token)
            refresh = token.get_refresh_token()
            self._attempt(
                lambda: store.find_token(make_token(f"two-{name}", client_id=None, secret=None)),
                lambda: store.save_token(make_token(name, refresh=refresh, **CLIENT)),
                lambda: store.save_token(make_token(name, refresh="x" * (1 << 21), **CLIENT)),
                lambda: store.save_token(make_token(name, access=f"{SECRET}\ud800", **CLIENT)),
                lambda: store.find_token_by_id(f"{SECRET} {IDENTITY}"),
                lambda: store.find_token_by_id("never-seen"),
                lambda: store.delete_token(token.get_id()),
                lambda: store.save_token(token),
                lambda: RedisTokenStore.from_url(f"redis://:{SECRET}@localhost:port/0", NAMESPACE),
                lambda: RedisTokenStore.from_url(self._server.url, NAMESPACE, encryption_keys=[SECRET]),
            )

    def _outage(self) -> None:
        """Lose Redis in the middle of a save, which is kept and stored later."""
        with self._store(operation_timeout=1.5) as store:
            token = make_token(f"away-{IDENTITY}", refresh=f"{SECRET}-before", access=f"{SECRET}-access", **CLIENT)
            store.save_token(token)
            self._server.kill()
            refreshed(token, f"{SECRET}-kept", refresh=f"{SECRET}-kept-too")
            self._attempt(lambda: store.save_token(token), lambda: store.find_token_by_id(token.get_id()))
            self._server.start()
            deadline = time.monotonic() + 20
            while store.get(token.get_id()).get_refresh_token() != f"{SECRET}-kept-too":
                assert time.monotonic() < deadline, "the kept save was not stored"

    def _damage(self) -> None:
        """Have somebody else change what is stored."""
        with self._store() as store, self._server.client(decode_responses=True) as client:
            keys = Keyspace(NAMESPACE)
            for field, value in (("meta", "damaged"), ("refresh_token", "damaged"), ("fence", "x"), ("schema", "9")):
                token = make_token(f"{field}-{IDENTITY}", refresh=f"{SECRET}-{field}", access=SECRET, **CLIENT)
                store.save_token(token)
                client.hset(keys.token(token.get_id()), field, value)
                self._attempt(lambda: store.find_token_by_id(token.get_id()), lambda: store.save_token(token))  # noqa: B023
                client.delete(keys.token(token.get_id()))
                client.zrem(keys.ids, token.get_id())

    def _commands(self) -> None:
        """Run every command, asked for nothing secret."""
        with self._store() as store:
            token = make_token(f"shown-{IDENTITY}", refresh=f"{SECRET}-shown", access=SECRET, id="shown", **CLIENT)
            store.save_token(token)
        urls = ("--accounts-url", self._zoho.url, "--crm-url", self._zoho.url)
        calls = {
            "acl": ("worker",),
            "completion": ("bash",),
            "audit": ("--repair", "--list", "--json"),
            "delete": ("never-seen",),
            "demo": ("--help",),
            "doctor": (),
            "find": (f"shown-{IDENTITY}", "--json"),
            "invalidate": ("shown",),
            "keygen": (),
            "list": (),
            "login": ("--client-id", CLIENT["client_id"], "--redirect-url", REDIRECT, *urls),
            "purge": ("--user", "nobody", "--yes"),
            "migrate": (self._environ["ZOHO_TOKEN_STORE_URL"], "memory://", "--apply", "--list", "--json"),
            "refresher": ("--once", "--verbose", *urls),
            "rotate-keys": ("--json",),
            "show": ("shown", "--json"),
            "revoke": ("shown", *urls),
            "stats": ("--json",),
            "top": ("--once",),
            "watch": ("--since", "all", "--no-follow"),
        }
        assert calls.keys() == command.commands.keys(), "every command is run here"
        answers = f"{CLIENT['secret']}\n{self._token().get_grant_token()}\n"
        for name, arguments in calls.items():
            done = run_here([name, *arguments], os.environ | self._environ, answers)
            # An operator may be shown the names of users and clients, which is why they were asked for.
            named = name in NAMING
            self._ear.take_down(done.stdout.replace(IDENTITY, "") if named else done.stdout, done.stderr)


def _organization() -> Any:
    return OrgOperations().get_organization()


def _marked(text: str | bytes) -> set[str]:
    """Return what is found of the marks in a text, with what follows, for the message of a failure."""
    text = text.decode("utf-8", "replace") if isinstance(text, (bytes, bytearray)) else text
    return set(re.findall(f".{{0,60}}(?:{SECRET}|{IDENTITY}).{{0,40}}", text))


@pytest.fixture
def ear(server: Server) -> Ear:
    """Return what hears it all."""
    return Ear(server)


def _names(server: Server) -> set[str]:
    with server.client(decode_responses=True) as client:
        return set(client.scan_iter("*", count=1000))


def _events(server: Server) -> str:
    with server.client(decode_responses=True) as client:
        return str(client.xrange(Keyspace(NAMESPACE).events))


def _slow_log(server: Server) -> bytes:
    with server.client() as client:
        return b"\n".join(entry["command"] for entry in client.slowlog_get(100_000))


@pytest.mark.parametrize("keys", [HIDING, KEYS, {}], ids=["identity hidden", "sealed", "clear"])
def test_no_secret_is_anywhere_that_it_need_not_be(
    server: Server, zoho: FakeZoho, ear: Ear, keys: dict[str, str], tmp_path: Path
) -> None:
    """With keys nowhere at all in Redis; without, only in the values that are stored; and never in what is said."""
    with ear.listening():
        Life(server, zoho, ear, keys, tmp_path).go_by()
        with server.client() as client:
            client.save()
    assert _marked(ear.said) == set()
    assert _marked("\n".join(_names(server))) == set()
    assert _marked(_events(server)) == set()
    in_redis = {"MONITOR": bytes(ear.heard), "the slow log": _slow_log(server), **on_disk(server.directory)}
    assert len(ear.heard) > 10_000
    assert any(name.endswith(".rdb") for name in in_redis)
    assert any("aof" in name for name in in_redis)
    if not keys:
        places = " ".join(place for place, text in in_redis.items() if SECRET.encode() in text)
        assert all(place in places for place in ("MONITOR", "slow log", ".rdb", ".aof")), "the marks are seen there"
        assert _marked("\n".join(_declared_keys(bytes(ear.heard)))) == set()
        return
    hidden = (SECRET, IDENTITY) if "ZOHO_TOKEN_STORE_ENCRYPT_IDENTITY" in keys else (SECRET,)
    for place, text in in_redis.items():
        assert not [mark for mark in hidden if mark.encode() in text], (place, _marked(text))


def _declared_keys(monitored: bytes) -> list[str]:
    """Return the keys that scripts were called with, and the first argument of every other command."""
    keys: list[str] = []
    for line in monitored.decode("utf-8", "replace").splitlines():
        words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
        if not words:
            continue
        is_script = words[0].upper() in ("EVALSHA", "EVAL")
        keys += words[3 : 3 + int(words[2])] if is_script else words[1:2]
    return keys
