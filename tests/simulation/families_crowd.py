"""The schedule behind a figure: a crowd of workers in use, while Zoho answers nothing but errors for ten minutes."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulation.applications import CLIENT, later, token
from simulation.process import Process
from simulation.sdk_flow import get_token
from simulation.world import World
from zoho_token_store import TokenStoreError

LIFE = 3600.0
DOWN = LIFE - 310.0
"""When Zoho breaks down: before the token is due for anybody, and too late for it to last through the outage."""
OUTAGE = 600.0


@dataclass
class Crowd:
    """What the workers of a crowd have seen.

    Attributes:
        world: Theirs; times are in seconds since its start.
        failures: When requests have failed.
        served: How many have not.
    """

    world: World
    failures: list[float] = field(default_factory=list)
    served: int = 0

    def now(self) -> float:
        """Return the time, seconds."""
        return self.seconds(self.world.now_us)

    def seconds(self, moment_us: int) -> float:
        """Return a moment as seconds since the start."""
        return (moment_us - self.world._start_us) / 1e6

    def calls(self, since: float, until: float) -> int:
        """Return how many calls to Zoho were begun between two times."""
        started = (self.seconds(call.started_us) for call in self.world.zoho.calls)
        return sum(since <= second < until for second in started)


def crowd(world: World, workers: int) -> Crowd:
    """Set up a crowd; not yet run."""
    zoho, seen = world.zoho, Crowd(world)
    world.scheduler.most_steps = 100_000
    zoho.life, zoho.latency = LIFE, 0.1
    world.invariants.margin = 300.0
    code = zoho.consent("ann", CLIENT)

    def program(process: Process) -> None:
        own = token("ann", code=code)
        get_token(process, own)
        process.pause(DOWN - 60 - seen.now())
        while seen.now() < DOWN + OUTAGE + 400:
            process.pause(world.rng.uniform(0, 40))
            try:
                get_token(process, own)
                seen.served += 1
            except TokenStoreError:
                seen.failures.append(seen.now())

    def break_down(process: Process) -> None:
        zoho.down = True
        process.pause(OUTAGE)
        zoho.down = False

    for _ in range(workers):
        world.start(program, refresh="managed", restarts=0)
    world.start(later(break_down, DOWN), restarts=0)
    return seen
