"""What workers do, each a process of its own with the real SDK.

The process that forks them imports this module, and with it all that the SDK would read at its first use.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.resources import files
from typing import Any, NamedTuple

import redis
from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zohocrmsdk.src.com.zoho.crm.api.util.constants import Constants

from zoho_token_store import RedisTokenStore
from zoho_token_store.zoho_sdk import OAuthToken

OK = 200


class Stage(NamedTuple):
    """Where a worker takes its tokens from.

    Attributes:
        kind: ``redis`` or ``file``.
        place: URL of Redis, or path of the file.
        namespace: For ``redis``.
        zoho_url: Of the stand-in.
        resources: Folder where the SDK keeps its own files.
    """

    kind: str
    place: str
    namespace: str
    zoho_url: str
    resources: str


class _Desk:
    """What a worker keeps between its tasks."""

    store: Any = None
    client: Any = None


def boot(stage: Stage, token: dict[str, str]) -> None:
    """Start the SDK as an application does, which exchanges or refreshes if need be, and call CRM once."""
    if isinstance(_Desk.store, RedisTokenStore):
        _Desk.store.close()
    is_file = stage.kind == "file"
    opener = partial(FileStore, stage.place) if is_file else partial(_open_ours, stage.place, stage.namespace)
    boot_on(opener, stage.zoho_url, stage.resources, token)


def boot_on(opener: Callable[[], Any], zoho_url: str, resources: str, token: dict[str, str]) -> None:
    """Do the same with any store.

    Args:
        opener: Makes it.
        zoho_url: Of the stand-in.
        resources: Folder where the SDK keeps its own files.
        token: What the application knows.
    """
    _Desk.store = opener()
    environment = DataCenter.Environment(zoho_url, f"{zoho_url}/oauth/v2/token", zoho_url)
    Initializer.initialize(environment, OAuthToken(**token), _Desk.store, resource_path=resources)
    call()


def ask() -> None:
    """Get an access token as the SDK does before each request, refreshed if need be."""
    _swallowed.errors.clear()
    if not Initializer.get_initializer().token.get_token():
        raise RuntimeError("no access token")
    _raise_swallowed()


def call() -> None:
    """Ask CRM for the organisation; anything but its answer is an error, those that the SDK swallows too."""
    _swallowed.errors.clear()
    status = OrgOperations().get_organization().get_status_code()
    if status != OK:
        raise RuntimeError(f"HTTP {status}")
    _raise_swallowed()


def open_store(url: str, namespace: str, record_id: str) -> None:
    """Make a store and a plain client, and use both once, as a worker that has been at work for a while."""
    _Desk.store = RedisTokenStore.from_url(url, namespace)
    _Desk.client = redis.Redis.from_url(url, decode_responses=True)
    _Desk.store.find_token_by_id(record_id)
    _Desk.client.hgetall("plain")


def find(record_id: str) -> str | None:
    """Look a token up by its id; return its access token."""
    access_token: str | None = _Desk.store.find_token_by_id(record_id).get_access_token()
    return access_token


def read_under_lock(name: str) -> str | None:
    """Take redis-py's lock, read the hash, give the lock back; return the access token."""
    _Desk.client.incr("waiting")
    with _Desk.client.lock(name, timeout=30):
        access_token: str | None = _Desk.client.hgetall("plain").get("access_token")
        return access_token


def _open_ours(url: str, namespace: str) -> RedisTokenStore:
    return RedisTokenStore.from_url(url, namespace)


def _raise_swallowed() -> None:
    if _swallowed.errors:
        raise RuntimeError(f"swallowed by the SDK: {_swallowed.errors[0]}")


class _SwallowedErrors(logging.Handler):
    """Keeps the errors that the SDK logs and swallows: it passes the exception where no argument belongs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        raised = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if isinstance(raised, BaseException):
            self.errors.append(raised)


def _preload() -> None:
    details = files("zohocrmsdk") / "src" / Constants.JSON_DETAILS_FILE_PATH
    Initializer.json_details = json.loads(details.read_text("utf-8"))
    for module in ("downloader", "form_data_converter", "json_converter", "xml_converter"):
        import_module(f"zohocrmsdk.src.com.zoho.crm.api.util.{module}")


_swallowed = _SwallowedErrors()
logging.getLogger("SDKLogger").addHandler(_swallowed)
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"  # the stand-in is not behind a proxy
_preload()
