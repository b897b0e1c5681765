"""A simulated worker process: the real store on a simulated link, an application on top, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from greenlet import getcurrent

from simulation.accounts import SITE, BugsOnly, SimulatedAccounts
from simulation.scheduler import Killed
from simulation.simulated_link import SimulatedLink
from simulation.threads import Pool, SimulatedThreading
from zoho_token_store import (
    RedisTokenStore,
    TokenStoreError,
    background,
    keeper,
    kept,
    lease,
    margin,
    operations,
    parts,
    redis_store,
    refresher,
    renewal,
    saver,
    supply,
)
from zoho_token_store.clock import SystemClock
from zoho_token_store.merge import Wish
from zoho_token_store.options import make_options
from zoho_token_store.saver import Save
from zoho_token_store.sdk import read_token

if TYPE_CHECKING:
    from simulation.world import World

Program = Callable[["Process"], None]


class SimulatedClock(SystemClock):
    """The clocks of a simulated machine.

    Args:
        process: Whose.
        skew: Seconds that its wall clock is ahead.
    """

    def __init__(self, process: Process, skew: float) -> None:
        self._process = process
        self._skew = skew

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._process.world.now_us / 1_000_000

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return self._process.world.now_us / 1_000_000 + self._skew

    def sleep(self, seconds: float) -> None:
        """Let others go on until then."""
        self._process.pause(seconds)


class Process:
    """One worker.

    Args:
        world: Where it lives.
        name: For the trace.
        program: What it does; started anew after a crash.
        skew: Seconds that its clock is ahead of Redis's.
        find_user: Whether the SDK asks CRM for the user name after a refresh.
        restarts: How often it comes back after a crash.
        options: Of its store.
    """

    def __init__(
        self,
        world: World,
        name: str,
        program: Program,
        *,
        skew: float = 0.0,
        find_user: bool = False,
        restarts: int = 2,
        **options: object,
    ) -> None:
        self.world = world
        self.name = name
        self.program = program
        self.find_user = find_user
        self.restarts = restarts
        self.stalled = 0.0
        self.dead = False
        self.operations: dict[Any, Wish] = {}
        """The save that each of the threads is at."""
        self.clock = SimulatedClock(self, skew)
        self.managed = options.get("refresh") == "managed"
        """Whether its store refreshes by itself."""
        self.leaving = False
        """Whether it gives its leases back, and ends."""
        self.cut_off_until_us = 0
        """Until when it cannot reach Redis."""
        self._still_until_us = 0
        self._options = options
        self.options = make_options(options)
        self.store: Any = None
        world.scheduler.spawn(name, self._run, self)

    def pause(self, seconds: float = 0.0, ready: Callable[[], bool] | None = None) -> None:
        """Let others go on; this is where a process is killed or stopped."""
        if self.dead:
            raise Killed
        self.world.scheduler.pause(seconds, ready)
        while self.managed and self._still_until_us > self.world.now_us:
            # All its threads stand still: that which renews the leases, too.
            self.world.scheduler.pause((self._still_until_us - self.world.now_us) / 1e6)
        if self.world.faults.happens("stall"):
            length = self.world.rng.uniform(0.1, 3) * self.world.lease_ttl
            self.stalled += length
            self.world.note(self.name, f"stalled for {length:.1f} s")
            self._still_until_us = self.world.now_us + int(length * 1e6)
            self.world.scheduler.pause(length)
        if self.world.faults.happens("crash"):
            self.world.note(self.name, "killed")
            self.die()
            raise Killed

    def die(self) -> None:
        """Vanish; come back if there are restarts left."""
        self.dead = True
        if self.restarts:
            self.world.restart(self, self.world.rng.uniform(0, 2) * self.world.lease_ttl)

    # What the application and the SDK do with the store; each answer is checked.

    def find(self, token: Any) -> Any:
        """Look up a token."""
        check = self.world.invariants.expect(self, read_token(token))
        with self._call("find", check):
            found = self.store.find_token(token)
            check.answered(found)
            return found

    def find_by_id(self, record_id: str) -> Any:
        """Look up a token by its id."""
        check = self.world.invariants.expect_id(self, record_id)
        with self._call("find_by_id", check):
            found = self.store.find_token_by_id(record_id)
            check.answered(found)
            return found

    def save(self, token: Any) -> None:
        """Save a token."""
        with self._call("save"):
            self.store.save_token(token)

    def delete(self, record_id: str) -> None:
        """Delete a token."""
        with self._call("delete"):
            self.store.delete_token(record_id)
            self.world.invariants.deleted(record_id)

    def clear(self) -> None:
        """Delete all tokens."""
        with self._call("clear"):
            before = self.world.invariants.ids()
            self.store.delete_tokens()
            for record_id in before:
                self.world.invariants.deleted(record_id)

    def invalidate(self, record_id: str, access_token: str) -> None:
        """Report an access token that CRM has rejected."""
        with self._call("invalidate"):
            self.store.invalidate_access_token(record_id, access_token)
            self.world.invariants.rejected(record_id, access_token)

    def thread(self, program: Program) -> None:
        """Start another thread of this process, with the same store."""
        self.world.scheduler.spawn(f"{self.name} thread", lambda: program(self), self)

    @contextmanager
    def _call(self, verb: str, check: Any = None) -> Iterator[None]:
        """Note a call and its outcome."""
        self.world.note(self.name, verb)
        fleet = self.world.invariants.fleet
        fleet.begin(bool(check))
        try:
            yield
        except TokenStoreError as error:
            self.world.note(self.name, f"{verb}: {type(error).__name__}")
            if check:
                check.refused(error)
            raise
        else:
            self.world.note(self.name, f"{verb} done")
        finally:
            fleet.end()

    def _run(self) -> None:
        self.store = self._open()
        self.program(self)
        while len(self.store._kept):
            self.pause(1.0)
        self.world.note(self.name, "exits")
        self.leaving = True
        self.store.close()
        self.dead = True

    def route(self, key: str) -> Process:
        """Stand where a way to Redis is asked for; `SimulatedLink` takes it."""
        return self

    def _open(self) -> RedisTokenStore:
        store = RedisTokenStore.__new__(RedisTokenStore)
        store._connect(self, "sim", dict(self._options), self.clock)
        original = store._saver.store

        def watched(save: Save) -> None:
            self.world.invariants.saving(save.wish)
            self.operations[getcurrent()] = save.wish
            try:
                original(save)
            finally:
                del self.operations[getcurrent()]
            self.world.invariants.saved(self, save.wish)

        store._saver.store = store._kept._store = watched  # type: ignore[method-assign]
        return store


@contextmanager
def seams(world: World) -> Iterator[None]:
    """Put the simulation's own link, chance, threads and exit hooks in place of the store's."""
    rng = world.rng
    chance = SimpleNamespace(token_urlsafe=lambda size: f"{rng.getrandbits(8 * size):0{2 * size}x}")
    threads = SimulatedThreading(world.scheduler)
    with ExitStack() as stack:
        for module, name, stand_in in (
            # The link's constructor is the seam: a process stands where it takes a route.
            (redis_store, "RedisLink", SimulatedLink),
            (parts, "Accounts", SimulatedAccounts),
            (keeper, "ThreadPoolExecutor", Pool(threads)),
            *((module, "find_site", lambda *_: SITE) for module in (keeper, refresher, supply)),
            (supply, "log", BugsOnly()),
            (operations, "watch", lambda *_: None),
            (lease, "hook_exits", lambda: None),
            (kept, "hook_exits", lambda: None),
            (lease, "secrets", chance),
            (saver, "secrets", chance),
            (margin, "random", rng),
            (refresher, "random", rng),
            *((module, "threading", threads) for module in (background, kept, lease, renewal)),
        ):
            stack.enter_context(patch.object(module, name, stand_in))
        yield
