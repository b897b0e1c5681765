"""What the stand-in has seen: counters, traffic per grant and code, and a bounded history. Never a secret."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

CounterName = Literal[
    "exchanges", "refreshes", "throttled", "rejected", "revokes", "crm_calls", "crm_rejected", "consents", "errors",
    "abandoned",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counters:
    """Count requests by how they ended.

    Args:
        exchanges: codes exchanged.
        refreshes: access tokens given for refresh tokens.
        throttled: refreshes refused because the window was used up.
        rejected: token and revoke requests refused for any other reason.
        revokes: tokens revoked.
        crm_calls: CRM requests answered.
        crm_rejected: CRM requests without a live access token.
        consents: codes given by the consent page.
        errors: requests that failed as planned by a switch and for which no work was done.
        abandoned: requests whose caller went away, or the server stopped, before the work was done.
    """

    exchanges: int = 0
    refreshes: int = 0
    throttled: int = 0
    rejected: int = 0
    revokes: int = 0
    crm_calls: int = 0
    crm_rejected: int = 0
    consents: int = 0
    errors: int = 0
    abandoned: int = 0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Count the token requests for one grant or one code; ``max_in_flight`` is the most seen at the same time."""

    exchanges: int = 0
    refreshes: int = 0
    throttled: int = 0
    rejected: int = 0
    errors: int = 0
    abandoned: int = 0
    in_flight: int = 0
    max_in_flight: int = 0


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """Describe one request.

    Args:
        at: when it came, seconds since the epoch on the server's clock.
        seconds: from its arrival to just before its answer, real seconds.
        endpoint: ``"token"``, ``"revoke"``, ``"auth"`` or a CRM path.
        outcome: a word such as ``"refreshed"``, ``"invalid_code"`` or ``"HTTP 503"``.
        subject: fingerprint of the grant or code, or ``""``.
        heard: False when the answer was lost, by a switch or because the caller had gone.
    """

    at: float
    seconds: float
    endpoint: str
    outcome: str
    subject: str
    heard: bool


class Ledger:
    """Keep what was seen. Safe to share between threads.

    Args:
        clock: time of a request, seconds since the epoch.
        timer: measures how long it took, seconds.
        history: how many requests to remember.
    """

    def __init__(self, clock: Callable[[], float], timer: Callable[[], float], history: int) -> None:
        self._clock = clock
        self._timer = timer
        self._lock = threading.Lock()
        self._counters = Counters()
        self._traffic: dict[str, Traffic] = {}
        self._requests: deque[RequestSeen] = deque(maxlen=history)

    def open(self, endpoint: str, subject: str = "") -> Entry:
        """Note that a request has come; it is in flight until the entry is closed."""
        with self._lock:
            if subject:
                seen = self._traffic.get(subject, Traffic())
                busy = seen.in_flight + 1
                self._traffic[subject] = replace(seen, in_flight=busy, max_in_flight=max(busy, seen.max_in_flight))
        return Entry(self, endpoint, subject, self._clock(), self._timer())

    def close(self, entry: Entry, counter: CounterName | None, outcome: str, heard: bool) -> None:
        """Count a request; call it through `Entry.close`."""
        seconds = self._timer() - entry.started
        with self._lock:
            if counter is not None:
                self._counters = replace(self._counters, **{counter: getattr(self._counters, counter) + 1})
            if entry.subject:
                seen = self._traffic[entry.subject]
                changed = {"in_flight": seen.in_flight - 1}
                if counter is not None and hasattr(seen, counter):
                    changed[counter] = getattr(seen, counter) + 1
                self._traffic[entry.subject] = replace(seen, **changed)
            self._requests.append(RequestSeen(entry.at, seconds, entry.endpoint, outcome, entry.subject, heard))

    def counters(self) -> Counters:
        """Return the counters as they are now."""
        return self._counters

    def traffic(self, subject: str) -> Traffic:
        """Return what was seen of one grant or code, by fingerprint."""
        return self._traffic.get(subject, Traffic())

    def max_in_flight(self) -> int:
        """Return the most token requests that were ever in flight at once for one grant or code."""
        with self._lock:
            return max((seen.max_in_flight for seen in self._traffic.values()), default=0)

    def requests(self) -> tuple[RequestSeen, ...]:
        """Return the remembered requests in the order in which they ended."""
        with self._lock:
            return tuple(self._requests)

    def reset(self) -> None:
        """Set counters, traffic and history to nothing; requests in flight stay in flight."""
        with self._lock:
            self._counters = Counters()
            self._requests.clear()
            busy = {name: seen.in_flight for name, seen in self._traffic.items() if seen.in_flight}
            self._traffic = {name: Traffic(in_flight=count, max_in_flight=count) for name, count in busy.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return counters and traffic by fingerprint, for JSON."""
        with self._lock:
            traffic = {name: asdict(seen) for name, seen in self._traffic.items()}
            return {"counters": asdict(self._counters), "traffic": traffic}


@dataclass(slots=True)
class Entry:
    """Stand for one request in flight."""

    ledger: Ledger
    endpoint: str
    subject: str
    at: float
    started: float
    closed: bool = False

    def close(self, counter: CounterName | None, outcome: str, *, heard: bool = True) -> None:
        """Count the request, once; later calls do nothing."""
        if not self.closed:
            self.closed = True
            self.ledger.close(self, counter, outcome, heard)
