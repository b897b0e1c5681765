"""Families of schedules in which records meet: clients, names, deletions, saves past the coordination."""

from __future__ import annotations

from functools import partial

from simulation.applications import CLIENT, OTHER_CLIENT, attempt, later, log_out, sdk_worker, spread, token, use
from simulation.process import Process
from simulation.sdk_flow import get_token
from simulation.state import State
from simulation.world import World
from zoho_token_store.keyspace import pointer
from zoho_token_store.zoho_sdk import UserSignature


def clients(world: World) -> None:
    """Use one user name under two clients; show credentials under the wrong one; look up without a client."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 70.0))
    for client in (CLIENT, OTHER_CLIENT):
        code = zoho.consent("ann", client)
        for _ in range(rng.randint(1, 2)):
            name = rng.choice(("ann", None))
            make = lambda name=name, client=client, code=code: token(name, client, code)  # noqa: E731
            world.start(later(sdk_worker(make, 4, zoho.life), spread(world, 3.0)), find_user=name is None)

    def without_client(process: Process) -> None:
        for _ in range(4):
            process.pause(spread(world, zoho.life))
            own = token("ann", None)
            found = attempt(process.find, own)
            if found is not None and not found.get_access_token():
                attempt(get_token, process, found)

    def under_the_wrong_client(process: Process) -> None:
        process.pause(spread(world, zoho.life))
        for refresh in sorted(zoho.live):
            if pointer("refresh", refresh) not in State(world.memory).pointers:
                continue  # nobody knows yet whose it is: the store has to believe the caller
            wrong = OTHER_CLIENT if zoho.owners[refresh].client == CLIENT else CLIENT
            stolen = token(rng.choice(("ann", None)), wrong, refresh=refresh)
            found = attempt(process.find, stolen)
            if found is None:
                attempt(process.save, stolen)

    world.start(without_client)
    world.start(under_the_wrong_client)


def mistaken_name(world: World) -> None:
    """Save one user's token under another's name, by an error of the application: nobody may get another's token."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 70.0))
    codes = {user: zoho.consent(user, CLIENT) for user in ("ann", "bob")}
    for user, code in codes.items():
        for _ in range(rng.randint(1, 2)):
            world.start(sdk_worker(lambda user=user, code=code: token(user, code=code), 5, zoho.life))

    def mistake(process: Process) -> None:
        process.pause(rng.uniform(5, 40))
        own = token("bob", code=codes["bob"])
        found = attempt(get_token, process, own)
        ann = attempt(process.find, token("ann"))
        if found is None or ann is None or found.get_id() is None:
            return
        found.set_user_signature(UserSignature("ann"))
        attempt(process.save, found)

    world.start(mistake, restarts=0)


def deletion(world: World) -> None:
    """Log users out and in again while workers use, refresh and save their tokens."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 40.0))
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(1, 3)):
        world.start(sdk_worker(lambda: token(rng.choice(("ann", None)), code=code), rng.randint(2, 6), zoho.life))

    def log_out_by_name(process: Process) -> None:
        for _ in range(rng.randint(1, 3)):
            process.pause(spread(world, 2 * zoho.life))
            found = attempt(process.find, token("ann"))
            if found is not None:
                attempt(process.delete, found.get_id())

    def log_in_again(process: Process) -> None:
        process.pause(spread(world, 3 * zoho.life))
        again = zoho.consent("ann", CLIENT)
        use(process, token("ann", code=again), 3, lambda: spread(world, zoho.life))

    def reuse(process: Process) -> None:
        process.pause(spread(world, 3 * zoho.life))
        for refresh in sorted(zoho.live)[:1]:
            world.invariants.excused.add(refresh)
            use(process, token(rng.choice(("ann", None)), refresh=refresh), 2, lambda: spread(world, zoho.life))

    world.start(log_out_by_name)
    world.start(log_out(world, "ann"), restarts=0)
    world.start(log_in_again)
    if rng.random() < 0.4:
        world.start(reuse)


def clearing(world: World) -> None:
    """Log all users out at once, now and then, while workers go on and users log in again."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 40.0))
    world.invariants.quick = False  # the code of a login that was begun before is spent, and makes no record
    codes = {user: zoho.consent(user, CLIENT) for user in ("ann", "bob")}
    for user in rng.choices(sorted(codes), k=rng.randint(2, 4)):
        named = rng.choice((user, None))
        world.start(sdk_worker(partial(token, named, code=codes[user]), rng.randint(2, 6), zoho.life))

    def log_all_out(process: Process) -> None:
        for _ in range(rng.randint(1, 3)):
            process.pause(spread(world, 2 * zoho.life))
            attempt(process.clear)

    def log_in_again(process: Process) -> None:
        process.pause(spread(world, 3 * zoho.life))
        again = zoho.consent("ann", CLIENT)
        use(process, token("ann", code=again), 3, lambda: spread(world, zoho.life))

    world.start(log_all_out)
    world.start(log_in_again)


def direct_saves(world: World) -> None:
    """Save tokens past the coordination: imports, access tokens alone, the same token from several workers."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 70.0))
    refreshes = [zoho.grant("ann", CLIENT) for _ in range(rng.randint(1, 3))]

    def program(process: Process) -> None:
        for _ in range(rng.randint(1, 4)):
            refresh = rng.choice(refreshes)
            name = rng.choice(("ann", None))
            client = rng.choice((CLIENT, CLIENT, None)) if name else CLIENT
            own = token(name, client, refresh=rng.choice((refresh, refresh, None)) if name else refresh)
            if rng.random() < 0.6 or not own.get_refresh_token():
                own.set_access_token(zoho.access(zoho.owners[refresh]))
                own.set_expires_in(str(int((process.clock.wall() + zoho.life) * 1000)))
            world.invariants.excused.update(refreshes)
            attempt(process.save, own)
            process.pause(spread(world, zoho.life))
            if rng.random() < 0.5:
                attempt(get_token, process, own)
            process.pause(spread(world, zoho.life))

    for _ in range(rng.randint(2, 4)):
        world.start(program)
    world.start(sdk_worker(lambda: token("ann", refresh=refreshes[0]), 4, zoho.life))
    if rng.random() < 0.5:
        world.start(log_out(world, "ann", *refreshes), restarts=0)


def merges(world: World) -> None:
    """Save tokens of one user, with and without the name, so close together that their records keep being merged."""
    rng, zoho = world.rng, world.zoho
    refreshes = [zoho.grant("ann", CLIENT) for _ in range(3)]
    world.invariants.excused.update(refreshes)

    def program(process: Process) -> None:
        for _ in range(rng.randint(2, 4)):
            own = token(rng.choice(("ann", None)), refresh=rng.choice(refreshes))
            attempt(process.save, own)
            process.pause(spread(world, 0.5))

    for _ in range(rng.randint(2, 4)):
        world.start(program)
