"""Families of schedules in which Zoho, CRM or the processes themselves get in the way."""

from __future__ import annotations

from simulation.applications import CLIENT, attempt, sdk_worker, spread, token
from simulation.process import Process
from simulation.sdk_flow import get_token
from simulation.world import World


def rejection(world: World) -> None:
    """Report access tokens that CRM has rejected, late and twice."""
    rng, zoho = world.rng, world.zoho
    zoho.life = 70.0
    code = zoho.consent("ann", CLIENT)

    def program(process: Process) -> None:
        own = token("ann", code=code)
        for _ in range(5):
            found = attempt(get_token, process, own)
            process.pause(spread(world, 5.0))
            if found is not None and found.get_id() and rng.random() < 0.6:
                for _ in range(rng.randint(1, 2)):
                    attempt(process.invalidate, found.get_id(), found.get_access_token())
                    process.pause(spread(world, 2.0))

    for _ in range(rng.randint(2, 4)):
        world.start(program)


def outage(world: World) -> None:
    """Let Zoho refuse everything for a while: the fleet cools down, and recovers."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 70.0))
    world.invariants.quick = False
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 4)):
        world.start(sdk_worker(lambda: token("ann", code=code), rng.randint(4, 8), zoho.life))

    def break_down(process: Process) -> None:
        process.pause(spread(world, 40.0))
        zoho.down = True
        process.pause(rng.uniform(1, 200.0))
        zoho.down = False

    world.start(break_down, restarts=0)


def leavers(world: World) -> None:
    """End processes in good order while they hold leases."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 70.0))
    world.invariants.leaving = True
    world.invariants.patience = 4.0  # a leaver keeps its lease for up to three seconds
    code = zoho.consent("ann", CLIENT)

    def leave(process: Process) -> None:
        process.pause(spread(world, 2 * zoho.life))
        attempt(process.find, token("ann", code=code))
        process.pause(spread(world, 3.0))

    for _ in range(rng.randint(2, 5)):
        world.start(leave)
    for _ in range(rng.randint(1, 3)):
        world.start(sdk_worker(lambda: token("ann", code=code), rng.randint(2, 5), zoho.life))
