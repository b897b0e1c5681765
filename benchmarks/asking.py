"""What workers do whose store refreshes by itself: ask for one token again and again, and note each look-up."""

from __future__ import annotations

import logging
import random
import time
from typing import NamedTuple

from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter

from zoho_token_store import RedisTokenStore, TokenDeleted
from zoho_token_store.options import SDK_LEAST

UNLIMITED = 1000
"""Budget of refreshes: as large as it can be, since the tokens of a benchmark live for seconds."""


class Look(NamedTuple):
    """One look-up.

    Attributes:
        began_at: When, by the machine's monotonic clock.
        seconds: How long it took.
        refreshed: Whether its process has got an access token from Zoho meanwhile, in whatever thread.
        error: Why it brought no token that the SDK would use; empty if it did.
    """

    began_at: float
    seconds: float
    refreshed: bool
    error: str


class Asked(NamedTuple):
    """What a worker has seen.

    Attributes:
        looks: Its look-ups.
        waits: How many of them waited for another worker's refresh, by the store's own count.
    """

    looks: list[Look]
    waits: int


DELETED = "deleted"


class Seen(NamedTuple):
    """What a look-up has brought for the first time.

    Attributes:
        record_id: Whose.
        outcome: The access token, or :data:`DELETED`.
        at: When, by the machine's monotonic clock.
    """

    record_id: str
    outcome: str
    at: float


class _Desk:
    """What a worker keeps between its tasks."""

    store: RedisTokenStore


def open_store(url: str, namespace: str, zoho_url: str, record_id: str, near_cache: bool) -> None:
    """Make a store that refreshes by itself, and use it until it is warm, as one that has been at work for a while."""
    environment = DataCenter.Environment(zoho_url, f"{zoho_url}/oauth/v2/token", zoho_url)
    _Desk.store = store = RedisTokenStore.from_url(
        url, namespace, refresh="managed", refresh_budget=UNLIMITED, environment=environment, near_cache=near_cache
    )
    store.find_token_by_id(record_id)
    while near_cache and not store.stats()["near_hits"]:
        time.sleep(0.01)
        store.find_token_by_id(record_id)


def find(record_id: str) -> str | None:
    """Look a token up; return its access token."""
    access_token: str | None = _Desk.store.find_token_by_id(record_id).get_access_token()
    return access_token


def ask_until(record_id: str, moment: float, pause: float) -> Asked:
    """Look a token up again and again.

    Args:
        record_id: Whose.
        moment: When to stop, by the machine's monotonic clock.
        pause: Seconds between two look-ups, on average.
    """
    looks: list[Look] = []
    waits = _Desk.store.stats()["waits"]
    while time.monotonic() < moment:
        looks.append(_look(record_id))
        time.sleep(pause * random.uniform(0.5, 1.5))
    return Asked(looks, _Desk.store.stats()["waits"] - waits)


def notice(record_ids: list[str], moment: float, pause: float) -> list[Seen]:
    """Look tokens up in turns, and note what is new.

    Args:
        record_ids: Whose; one that is deleted is looked up no more.
        moment: When to stop, by the machine's monotonic clock.
        pause: Seconds between two rounds.
    """
    seen: list[Seen] = []
    latest: dict[str, str] = dict.fromkeys(record_ids, "")
    while time.monotonic() < moment:
        for record_id in [each for each, outcome in latest.items() if outcome != DELETED]:
            try:
                outcome = str(_Desk.store.find_token_by_id(record_id).get_access_token())
            except TokenDeleted:
                outcome = DELETED
            if outcome != latest[record_id]:
                latest[record_id] = outcome
                seen.append(Seen(record_id, outcome, time.monotonic()))
        time.sleep(pause)
    return seen


def _look(record_id: str) -> Look:
    store, error, token = _Desk.store, "", None
    refreshes = store.stats()["refreshes"]
    began_at = time.monotonic()
    try:
        token = store.find_token_by_id(record_id)
    except Exception as raised:  # whatever it is, it is what is measured
        error = f"{type(raised).__name__}: {raised}"
    seconds = time.monotonic() - began_at
    if token is not None and (
        token.get_access_token() is None or int(token.get_expires_in()) / 1000 - time.time() < SDK_LEAST
    ):
        error = "a token that the SDK would refresh"
    return Look(began_at, seconds, store.stats()["refreshes"] > refreshes, error)


logging.getLogger("zoho_token_store").addHandler(logging.NullHandler())  # the trouble is made on purpose
