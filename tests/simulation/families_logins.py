"""Families of schedules in which credentials are spent: boots, expiries, new logins."""

from __future__ import annotations

from simulation.applications import CLIENT, attempt, later, log_out, sdk_worker, spread, token, use
from simulation.process import Process
from simulation.state import State
from simulation.world import World
from zoho_token_store.keyspace import pointer


def boot(world: World) -> None:
    """Boot a fleet on one grant code; then expiries."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 30.0, 70.0, 300.0))
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 5)):
        name = rng.choice(("ann", None))
        world.start(
            sdk_worker(lambda name=name: token(name, code=code), rng.randint(2, 5), zoho.life), find_user=name is None
        )


def selectors(world: World) -> None:
    """Come with different selectors for one grant: other names of the user, no client, the refresh token alone."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 70.0))
    world.invariants.names = {"ann@example.com": "ann", "ann:org": "ann"}
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 4)):
        name = rng.choice(("ann", "ann@example.com", "ann:org", None))
        world.start(
            sdk_worker(
                lambda name=name: token(name, rng.choice((CLIENT, CLIENT, None if name else CLIENT)), code),
                4,
                zoho.life,
            ),
            find_user=rng.random() < 0.5,
        )

    def by_credential(process: Process) -> None:
        """Learn the refresh token from a first worker, and use it alone."""
        process.pause(spread(world, 4 * zoho.life))
        known = [
            refresh for refresh in sorted(zoho.live) if pointer("refresh", refresh) in State(world.memory).pointers
        ]
        if known:
            use(process, token(rng.choice((None, "ann")), refresh=known[0]), 3, lambda: spread(world, zoho.life))

    world.start(by_credential)


def threads(world: World) -> None:
    """Share one token object among the threads of a process, beside other processes."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 70.0))
    code = zoho.consent("ann", CLIENT)

    def program(process: Process) -> None:
        own = token("ann", code=code)
        for _ in range(rng.randint(1, 3)):
            process.thread(lambda process: use(process, own, 4, lambda: spread(world, zoho.life)))
        use(process, own, 4, lambda: spread(world, zoho.life))
        process.pause(3 * zoho.life)

    for _ in range(rng.randint(1, 3)):
        world.start(program)


def refresh_token(world: World) -> None:
    """Boot a fleet on a refresh token that no record has yet, some of it by user name too."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 70.0))
    zoho.rotating = rng.random() < 0.4
    refresh = zoho.grant("ann", CLIENT)
    for _ in range(rng.randint(2, 4)):
        name = rng.choice(("ann", None))
        program = sdk_worker(lambda name=name: token(name, refresh=refresh), rng.randint(2, 5), zoho.life)
        world.start(later(program, spread(world, 1.0)))

    def import_it(process: Process) -> None:
        process.pause(spread(world, 1.0))
        attempt(process.save, token(refresh=refresh))

    if rng.random() < 0.3:
        world.invariants.excused.add(refresh)
        world.invariants.quick &= not zoho.rotating  # it may bring a token that has just been rotated away
        world.start(import_it, restarts=0)
    if rng.random() < 0.5:
        world.invariants.excused.add(refresh)
        world.invariants.quick &= not zoho.rotating  # a token that was rotated away and is forgotten is of no use
        world.start(log_out(world, "ann", refresh), restarts=0)


def new_login(world: World) -> None:
    """Log a user in again, more than once, while workers live on the older logins."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 70.0))
    zoho.rotating = rng.random() < 0.3
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(1, 3)):
        world.start(sdk_worker(lambda: token("ann", code=code), rng.randint(2, 6), zoho.life))
    for _ in range(rng.randint(1, 3)):
        again = zoho.consent("ann", CLIENT)
        name = rng.choice(("ann", "ann", None))
        for _ in range(rng.randint(1, 2)):
            program = sdk_worker(lambda name=name, again=again: token(name, code=again), rng.randint(1, 4), zoho.life)
            world.start(later(program, spread(world, 2 * zoho.life)), find_user=rng.random() < 0.5)


def late_names(world: World) -> None:
    """Learn only after the exchange that two logins are one user's: their records become one."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 70.0))
    codes = [zoho.consent("ann", CLIENT) for _ in range(rng.randint(2, 3))]
    for code in codes:
        for _ in range(rng.randint(1, 2)):
            program = sdk_worker(lambda code=code: token(code=code), rng.randint(2, 5), zoho.life)
            world.start(later(program, spread(world, zoho.life)), find_user=rng.random() < 0.7)
