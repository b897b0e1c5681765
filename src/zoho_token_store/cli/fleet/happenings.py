"""What the events that Redis keeps say of a fleet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from zoho_token_store.events import BATCH, Event, EventReader


@dataclass
class Happenings:
    """Events, counted.

    Attributes:
        names: How often what has happened.
        processes: Who has done something, by its label.
        since_ms: When the first of them was, ms by Redis's clock; None if there is none.
    """

    names: Counter[str] = field(default_factory=Counter)
    processes: set[str] = field(default_factory=set)
    since_ms: int | None = None

    def add(self, event: Event) -> None:
        """Count one more."""
        self.names[event.name] += 1
        self.processes.add(event.by)
        if self.since_ms is None:
            self.since_ms = event.at_ms


def read_all(reader: EventReader) -> Happenings:
    """Return what has happened as far as it is kept."""
    seen = Happenings()
    while True:
        events = reader.read().events
        for event in events:
            seen.add(event)
        if len(events) < BATCH:
            return seen
