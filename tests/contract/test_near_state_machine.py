"""Stores with near caches against the same model as those without: what they give is the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import fakeredis
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from contract.model import Grant
from contract.test_state_machine import SLOW, TheStore, endings, processes
from zoho_token_store import RedisTokenStore, shortcut
from zoho_token_store.feed import EventFeed

hits: list[int] = []
"""How many look-ups the near caches of each run have answered."""


class HearingStore(RedisTokenStore):
    """A store that hears of what has happened before each look-up, and so never late; it has no thread for that."""

    def find_token(self, token: Any) -> Any:
        """Hear, and look up."""
        self._hear()
        return super().find_token(token)

    def find_token_by_id(self, id: str) -> Any:
        """Hear, and look up."""
        self._hear()
        return super().find_token_by_id(id)

    def _hear(self) -> None:
        """Do what the reader of the events does in its thread."""
        assert self._shortcut
        feed = self._shortcut._feed
        if feed._position is None:
            feed._connect()
        while feed._read():
            pass
        feed._near.connected(time.monotonic())


class TheNearStore(TheStore):
    """The same processes, with near caches."""

    @initialize()
    def remember(self) -> None:
        """Begin with nothing that was asked."""
        self.asked: list[tuple[Any, Callable[[RedisTokenStore], Any]]] = []

    def make(self) -> RedisTokenStore:
        """Return a store with a near cache."""
        client = fakeredis.FakeRedis(server=self.redis)
        self.made.append(HearingStore(client, "crm", near_cache=True))
        return self.made[-1]

    def looked_up(self, process: int, by: Any, ending: str, ask: Callable[[RedisTokenStore], Any]) -> Any:
        """Remember what was asked, unless a credential may have to be spent: that is done once."""
        if isinstance(by, str) or not (by.get("refresh") or by.get("grant")):
            self.asked.append((by, ask))
        return super().looked_up(process, by, ending, ask)

    def answer(
        self, process: int, ask: Callable[[RedisTokenStore], Any], outcome: tuple[str, Grant | None], ending: str
    ) -> Any:
        """Look up twice what costs no lease: the second time the cache may answer."""
        if outcome[0] not in ("lease", "claim", "cooling", "none"):
            ask(self.stores[process])
        return super().answer(process, ask, outcome, ending)

    @rule(process=processes, pick=st.integers(0, 100), ending=endings)
    def look_again(self, process: int, pick: int, ending: str) -> None:
        """Ask what this or the other process has asked before."""
        if self.asked:
            self.pass_time()
            by, ask = self.asked[pick % len(self.asked)]
            self.looked_up(process, by, ending, ask)

    def teardown(self) -> None:
        """Count, and close."""
        hits.append(sum(store.stats()["near_hits"] for store in getattr(self, "made", ())))
        super().teardown()


@pytest.fixture(autouse=True)
def no_threads() -> Iterator[None]:
    """Have no reader of its own in any store; what is due is asked for at each look-up, and not once a second."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(EventFeed, "start"))
        stack.enter_context(mock.patch.object(shortcut, "DUE_AGAIN", 0.0))
        hits.clear()
        yield


def test_near_caches_change_nothing() -> None:
    """Sixty runs of up to thirty steps, the same each time."""
    run_state_machine_as_test(
        TheNearStore,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=SLOW,
        ),
    )
    assert sum(hits) > 60


@pytest.mark.soak
def test_near_caches_change_nothing_at_length() -> None:
    """Two thousand runs, others each time."""
    run_state_machine_as_test(
        TheNearStore,
        settings=settings(max_examples=2000, stateful_step_count=50, deadline=None, suppress_health_check=SLOW),
    )
