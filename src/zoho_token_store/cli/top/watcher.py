"""What ``top`` shows, as it stands from second to second."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from zoho_token_store.cli.fleet.census import Census, count_tokens
from zoho_token_store.cli.fleet.counted import Pace, Readings
from zoho_token_store.cli.fleet.leases import FleetLine, Lease
from zoho_token_store.cli.fleet.rounds import Rounds
from zoho_token_store.errors import StoreUnavailable
from zoho_token_store.events import BATCH, Event, EventReader
from zoho_token_store.redis_store import RedisTokenStore

WINDOW = 600.0
"""How far the events go back that are counted, seconds."""
SLICE = 0.2
"""Longest time that is spent on one of the walks in one second, seconds."""
KEPT = 10_000
"""Most events that are remembered: as many as Redis keeps."""
NEXT = 100
"""How many tokens are listed at most: more than a screen has lines."""


@dataclass
class Scene:
    """What is drawn.

    Attributes:
        namespace: The namespace.
        now_ms: Redis's time, ms.
        census: The tokens; None before they were counted once.
        counted: How many have been counted so far, where there is no census yet.
        leases: Refreshes that are under way or held back.
        blocked: How many clients of the server wait for something; None if it does not say.
        pace: What all processes have counted lately; None if they have told nothing yet.
        minute: Events of the last minute, by name.
        window: Events of the last ten minutes, by name.
        processes: How many processes have done these.
        latest: The last events, the newest first.
        away: Why Redis cannot be used at the moment; "" if it can.
    """

    namespace: str
    now_ms: int = 0
    census: Census | None = None
    counted: int = 0
    leases: list[Lease] = field(default_factory=list)
    blocked: int | None = None
    pace: Pace | None = None
    minute: Counter[str] = field(default_factory=Counter)
    window: Counter[str] = field(default_factory=Counter)
    processes: int = 0
    latest: list[Event] = field(default_factory=list)
    away: str = ""


class Watcher:
    """Looks at a fleet.

    Args:
        store: Its tokens.
        events: Its events, from some time ago on.
        line: Its Redis.
        namespace: Its name.
    """

    def __init__(self, store: RedisTokenStore, events: EventReader, line: FleetLine, namespace: str) -> None:
        self._events = events
        self._line = line
        self._tokens = Rounds(lambda: count_tokens(store, NEXT), every=1.0)
        self._leases = Rounds(line.leases, every=1.0)
        self._seen: deque[Event] = deque(maxlen=KEPT)
        self._readings = Readings()
        self._scene = Scene(namespace)

    def look(self, *, whole: bool = False) -> Scene:
        """Return how it stands. A Redis that is away is said to be, and what was seen last stays.

        Args:
            whole: Whether to look until everything was seen once, however long that takes.

        Raises:
            StoreUnavailable: Redis refuses for good; or it does not answer, and ``whole``.
        """
        try:
            self._look(float("inf") if whole else SLICE)
            self._scene.away = ""
        except StoreUnavailable as error:
            if whole or not error.passing:
                raise
            self._scene.away = str(error.error_message).rstrip(": ")
        return self._scene

    def _look(self, at_most: float) -> None:
        scene = self._scene
        scene.now_ms, scene.blocked = self._line.now_ms(), self._line.blocked()
        scene.pace = self._readings.add(scene.now_ms, self._line.counted())
        self._read_events()
        self._tokens.step(at_most)
        self._leases.step(at_most)
        if self._tokens.result is not None:
            scene.census = self._tokens.result
        scene.counted = self._tokens.partial.total if self._tokens.partial else 0
        scene.leases = self._leases.result or []

    def _read_events(self) -> None:
        while True:
            events = self._events.read().events
            self._seen.extend(events)
            if len(events) < BATCH:
                break
        scene, now_ms = self._scene, self._scene.now_ms
        while self._seen and self._seen[0].at_ms < now_ms - WINDOW * 1000:
            self._seen.popleft()
        scene.window = Counter(event.name for event in self._seen)
        scene.minute = Counter(event.name for event in self._seen if event.at_ms >= now_ms - 60_000)
        scene.processes = len({event.by for event in self._seen})
        scene.latest = list(self._seen)[:-9:-1]
