"""The way to Redis, with what can go wrong on it: the same methods as `RedisLink`, and its retries."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent
from redis.exceptions import ConnectionError as RedisConnectionError

from simulation.lease_book import Sent
from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import StoreUnavailable
from zoho_token_store.link import BLOCK_MS
from zoho_token_store.script import Script
from zoho_token_store.stats import Stats

if TYPE_CHECKING:
    from simulation.process import Process


class Fate(enum.Enum):
    """What becomes of a request."""

    ANSWERED = "answered"
    REQUEST_LOST = "request lost"
    REPLY_LOST = "reply lost"
    DELAYED = "delayed"  # the client gives up waiting, and the server runs it later all the same


class SimulatedLink:
    """Runs scripts when the scheduler says so.

    Args:
        process: Whose link it is; passed where a `RedisLink` takes its route.
        budget: Seconds for one exchange, its retries included.
        clock: This machine's clocks.
        stats: Where retries are counted.
    """

    def __init__(self, process: Process, budget: float, clock: SystemClock, stats: Stats) -> None:
        self._process = process
        self._world = process.world
        self._budget = budget
        self._clock = clock
        self._stats = stats

    def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run a script, again after an error, as long as the budget lasts."""
        deadline = self._clock.monotonic() + self._budget
        pause = 0.01
        while True:
            try:
                return self._exchange(script, keys, args)
            except RedisConnectionError as error:
                if deadline - self._clock.monotonic() - pause <= 0:
                    self._stats.count("unavailable")
                    raise StoreUnavailable("Redis has not answered usefully", cause=error) from error
            self._stats.count("retries")
            self._world.scheduler.pause(pause)
            pause = min(pause * 2, 0.25)

    def _exchange(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        world, process = self._world, self._process
        process.pause()
        if process.cut_off_until_us > world.now_us:
            process.pause(world.faults.silence(self._budget))
            raise RedisConnectionError("cut off")
        fate = world.faults.fate()
        if fate is not Fate.ANSWERED:
            world.note(process.name, f"{script.name}: {fate.value}")
        sent = Sent(script, keys, args, process.operations.get(getcurrent()))

        def send() -> Any:
            return world.execute(process, sent)

        if fate is Fate.DELAYED:
            world.run_later(send)
        if fate in (Fate.DELAYED, Fate.REQUEST_LOST):
            process.pause(world.faults.silence(self._budget))
            raise RedisConnectionError("request lost")
        reply = send()
        if fate is Fate.REPLY_LOST:
            process.pause(world.faults.silence(self._budget))
            raise RedisConnectionError("reply lost")
        if world.rng.random() < 0.3:
            process.pause()  # the reply is under way
        return reply

    def run_once(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> bool:
        """Tell nothing: what was counted changes no token."""
        return False

    def wait(self, stream: str, after: str, at_most_ms: int) -> None:
        """Block as XREAD does."""
        ms, sequence = (int(part) for part in after.split("-"))
        if self._world.faults.fate() is not Fate.ANSWERED:
            self._process.pause(self._world.rng.random() * 0.25)
            return
        life = max(1, min(at_most_ms, BLOCK_MS)) / 1000
        self._process.pause(life, lambda: self._world.memory.newest_entry(stream) > (ms, sequence))

    def ping(self) -> None:
        """Answer."""

    def close(self) -> None:
        """Nothing is open."""

    def reset_after_fork(self) -> None:
        """Nobody forks here."""
