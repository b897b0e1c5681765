"""Leases: who holds them in this process, and one thread that waits for all."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Generic, NamedTuple, TypeVar

from zoho_token_store.clock import SystemClock
from zoho_token_store.lifecycle import hook_exits

T = TypeVar("T")

CLAIMS = 64
"""How many leases a thread remembers that it was given without an object to carry them."""


class Lease(NamedTuple):
    """The right to refresh one record, or to spend one credential, until its time to live has passed.

    Attributes:
        name: A record id, or the pointer name of a credential (``grant:<digest>``, ``refresh:<digest>``).
        owner: Who holds it: a thread of a process, or one of its look-ups where the store refreshes by itself.
        fence: Grows with every lease on this name, microseconds by Redis's clock at the least.
    """

    name: str
    owner: str
    fence: int


class Owners:
    """Names for the threads of this process, and numbers for their operations."""

    def __init__(self) -> None:
        self.process = secrets.token_urlsafe(6)
        self._threads = count(1)
        self._operations = count(1)
        self._saves = count(1)
        self._local = threading.local()

    def this_thread(self) -> str:
        """Return this thread's name as an owner of leases; random for each process."""
        try:
            return self._local.owner  # type: ignore[no-any-return]  # threading.local is not typed
        except AttributeError:
            self._local.owner = owner = f"{self.process}.{next(self._threads)}"
            return owner

    def nonce(self) -> str:
        """Return a name for one operation, the same in all its attempts."""
        return f"{self.process}-{next(self._operations):x}"

    def save_nonce(self) -> str:
        """Return a name for one save: short, since a record remembers the last of them."""
        return f"{self.process[:6]}{next(self._saves):x}"

    def claimed(self, names: Iterable[str]) -> Lease | None:
        """Return the lease on one of these names that this thread was given without an object to carry it."""
        claims = self.claims()
        return next((claims[name] for name in names if name in claims), None)

    def claim(self, lease: Lease) -> None:
        """Take note of a lease that this thread was given without an object to carry it; the oldest are forgotten."""
        claims = self.claims()
        while len(claims) >= CLAIMS:
            del claims[next(iter(claims))]
        claims[lease.name] = lease

    def claims(self) -> dict[str, Lease]:
        """Return the leases that this thread was given without an object to carry them, by name."""
        try:
            return self._local.claims  # type: ignore[no-any-return]  # threading.local is not typed
        except AttributeError:
            claims: dict[str, Lease] = {}
            self._local.claims = claims
            return claims


class HeldLeases:
    """The leases that this process holds, so that they can be given back when it ends.

    Args:
        clock: This machine's clocks.
        ttl: How long a lease lives, seconds; afterwards there is nothing to give back.
    """

    def __init__(self, clock: SystemClock, ttl: float) -> None:
        self._clock = clock
        self._ttl = ttl
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start empty: what the parent holds, the parent gives back."""
        self._lock = threading.Lock()
        self._held: dict[str, tuple[float, Lease]] = {}

    def add(self, lease: Lease) -> None:
        """Take note of a lease; an older one of the same name is over."""
        hook_exits()
        now = self._clock.monotonic()
        with self._lock:
            # In the order in which they were taken, and so of their ends.
            while self._held and next(iter(self._held.values()))[0] < now:
                del self._held[next(iter(self._held))]
            self._held.pop(lease.name, None)
            self._held[lease.name] = now + self._ttl, lease

    def remove(self, lease: Lease) -> None:
        """Forget a lease that was used or lost."""
        with self._lock:
            if lease.name in self._held and self._held[lease.name][1] == lease:
                del self._held[lease.name]

    def holds(self, name: str, owner: str) -> bool:
        """Return whether an owner was given a lease that has not ended as far as is known."""
        held = self._held.get(name)
        return held is not None and held[1].owner == owner

    def take_all(self) -> list[Lease]:
        """Return every lease, and forget them."""
        with self._lock:
            held, self._held = [lease for _, lease in self._held.values()], {}
            return held


class Flight(Generic[T]):
    """One thread's wait for a lease, and those who sit in it.

    Attributes:
        asked: How many questions its pilot has begun to ask.
        brought: What the last of them has brought; None if that is nothing for others.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.brought: T | None = None
        self._landed = threading.Event()

    def sit(self, timeout: float) -> T | None:
        """Wait until it lands; return what it has brought.

        Args:
            timeout: Longest wait, seconds.

        Returns:
            None if that was asked for before the caller came: it may have changed something since.
        """
        boarded = self.asked
        landed = self._landed.wait(timeout)
        return self.brought if landed and self.asked > boarded else None

    def land(self) -> None:
        """Let everybody out."""
        self._landed.set()


class Flights(Generic[T]):
    """Single flight for waiting: of the threads that wait for one lease, one asks Redis and the others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Flight[T]] = {}

    def under_way(self, name: str) -> Flight[T] | None:
        """Return the flight of those who wait for a lease; None if nobody does."""
        return self._flights.get(name)

    @contextmanager
    def board(self, name: str) -> Iterator[tuple[Flight[T], bool]]:
        """Become the one who asks, for as long as the context lasts, or find out who is.

        Args:
            name: The lease's name.

        Yields:
            The flight, and whether the caller is its pilot.
        """
        with self._lock:
            flight = self._flights.get(name)
            leads = flight is None
            if flight is None:
                flight = self._flights[name] = Flight()
        try:
            yield flight, leads
        finally:
            if leads:
                with self._lock:
                    del self._flights[name]
                flight.land()
