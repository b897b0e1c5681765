"""Workers that log in, refresh, look up and log out, and hold every answer against what they have done."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from contract.tokens import by_user, make_token, refreshed
from zoho_token_store import RedisTokenStore, StoreUnavailable, TokenDeleted, TokenNotFound

PAUSE = 0.005
"""Seconds between two calls of one worker."""


class Worker(threading.Thread):
    """One worker with a store of its own.

    Args:
        store: Its store.
        number: Tells its users from those of others.
        ended: Set when it is to stop.

    Attributes:
        kept: Refresh token and access token that were acknowledged, by id: what must be there in the end.
        missing: When something acknowledged was not to be seen, and what: the only thing that a failover may do.
        wrong: What nothing can excuse: somebody else's token, or an error that is none of the store's.
        outages: When calls got StoreUnavailable, by the monotonic clock.
        slowest: Longest call, seconds.
        calls: How many there were.
        recovered: When the last call went well.
    """

    def __init__(self, store: RedisTokenStore, number: int, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self.store = store
        self.number = number
        self.kept: dict[str, tuple[str, str]] = {}
        self.missing: list[tuple[float, str]] = []
        self.wrong: list[str] = []
        self.outages: list[float] = []
        self.slowest = 0.0
        self.calls = 0
        self.recovered = 0.0
        self._ended = ended

    def run(self) -> None:
        """Go on until the end."""
        turn = 0
        while not self._ended.is_set():
            turn += 1
            try:
                self._live(f"user {self.number}/{turn}", turn)
            except StoreUnavailable:
                self.outages.append(time.monotonic())
            except (TokenNotFound, TokenDeleted) as error:
                self._miss(f"{type(error).__name__}: {error}")
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}")

    def _live(self, user: str, turn: int) -> None:
        """Lead the life of one token; what cannot be known after an error is not held against anybody."""
        token = make_token(user, refresh=f"rt {user}", access=f"at {user}")
        self._call(lambda: self.store.save_token(token))
        record_id = token.get_id()
        self.kept[record_id] = (f"rt {user}", f"at {user}")
        self._see(record_id)
        found = self._call(lambda: self.store.find_token(by_user(user)))
        if found is None or found.get_id() != record_id:
            self._miss(f"{user} is not found by name")
            return
        self.kept.pop(record_id)
        self._call(lambda: self.store.save_token(refreshed(found, f"at2 {user}")))
        self.kept[record_id] = (f"rt {user}", f"at2 {user}")
        self._see(record_id)
        if turn % 3 == 0:
            self.kept.pop(record_id)
            self._call(lambda: self.store.delete_token(record_id))
            try:
                self._call(lambda: self.store.find_token_by_id(record_id))
                self._miss(f"the deletion of {user}")
            except TokenDeleted:
                pass

    def _miss(self, what: str) -> None:
        self.missing.append((time.monotonic(), what))

    def _see(self, record_id: str) -> None:
        found = self._call(lambda: self.store.find_token_by_id(record_id))
        seen = (found.get_refresh_token(), found.get_access_token())
        wanted = self.kept[record_id]
        if seen[0] != wanted[0]:
            self.wrong.append(f"{seen} is found, and not {wanted}")
        elif seen != wanted:
            self._miss(f"{wanted}")

    def _call(self, call: Callable[[], Any]) -> Any:
        time.sleep(PAUSE)
        began = time.monotonic()
        try:
            answer = call()
            self.recovered = time.monotonic()
            return answer
        finally:
            self.calls += 1
            self.slowest = max(self.slowest, time.monotonic() - began)


class Traffic:
    """What all workers have seen together.

    Args:
        workers: The workers, which have ended.
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = workers

    @property
    def wrong(self) -> Counter[str]:
        """All answers that were none, and how often."""
        return Counter(text for worker in self.workers for text in worker.wrong)

    @property
    def missing(self) -> list[tuple[float, str]]:
        """What was acknowledged and not to be seen, and when that was."""
        return sorted(each for worker in self.workers for each in worker.missing)

    @property
    def outages(self) -> list[float]:
        """When there was StoreUnavailable."""
        return sorted(at for worker in self.workers for at in worker.outages)

    @property
    def slowest(self) -> float:
        """Longest call, seconds."""
        return max(worker.slowest for worker in self.workers)

    @property
    def calls(self) -> int:
        """How many there were."""
        return sum(worker.calls for worker in self.workers)

    def recovered_after(self, moment: float) -> bool:
        """Return whether calls of every worker went well after a moment, by the monotonic clock."""
        return all(worker.recovered > moment for worker in self.workers)

    def lost(self) -> list[str]:
        """Return what was acknowledged and is not stored."""
        return [
            f"{refresh_token}, {access_token}"
            for worker in self.workers
            for record_id, (refresh_token, access_token) in worker.kept.items()
            if _stored(worker.store, record_id) != (refresh_token, access_token)
        ]

    def settle(self) -> None:
        """Have every worker's kept saves stored."""
        for worker in self.workers:
            deadline = time.monotonic() + 10
            while len(worker.store._kept) and time.monotonic() < deadline:
                time.sleep(0.05)


def _stored(store: RedisTokenStore, record_id: str) -> tuple[str, str] | None:
    token = store.get(record_id)
    return None if token is None else (token.get_refresh_token(), token.get_access_token())


@contextmanager
def traffic(stores: Sequence[RedisTokenStore]) -> Iterator[Traffic]:
    """Have a worker work on each store for as long as the block lasts, and until all have come to their senses."""
    ended = threading.Event()
    workers = [Worker(store, number, ended) for number, store in enumerate(stores)]
    for worker in workers:
        worker.start()
    try:
        yield Traffic(workers)
    finally:
        ended.set()
        for worker in workers:
            worker.join(30)
    assert not any(worker.is_alive() for worker in workers)
