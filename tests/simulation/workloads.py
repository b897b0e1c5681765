"""Families of schedules: who is there, what they do, and what may go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulation.process import Process
from simulation.sdk_flow import get_token
from simulation.state import State
from simulation.world import World
from simulation.zoho import ZohoError
from zoho_token_store import TokenDeleted, TokenStoreError
from zoho_token_store.keyspace import pointer
from zoho_token_store.zoho_sdk import OAuthToken, UserSignature

CLIENT = "client-a"
OTHER_CLIENT = "client-b"


def token(
    user: str | None = None, client: str | None = CLIENT, code: str | None = None, refresh: str | None = None, **rest: Any
) -> Any:
    """Return an application's token object."""
    return OAuthToken(
        client_id=client,
        client_secret=client and f"secret of {client}",
        grant_token=code,
        refresh_token=refresh,
        user_signature=None if user is None else UserSignature(user),
        **rest,
    )


def use(process: Process, own: Any, rounds: int, pause: Callable[[], float]) -> None:
    """Make CRM requests with one token object, as an application does."""
    for _ in range(rounds):
        try:
            get_token(process, own)
        except TokenDeleted:
            return
        except (TokenStoreError, ZohoError):
            pass  # the application answers with an error, and asks again for the next request
        process.pause(pause())


def sdk_worker(make: Callable[[], Any], rounds: int, longest_pause: float) -> Callable[[Process], None]:
    """Return the program of a worker that boots with a configuration and then makes requests."""

    def program(process: Process) -> None:
        use(process, make(), rounds, lambda: process.world.rng.random() ** 2 * longest_pause)

    return program


def spread(world: World, most: float) -> float:
    """Draw a time up to `most` seconds, short ones more often."""
    return float(world.rng.random() ** 3 * most)


def later(program: Callable[[Process], None], seconds: float) -> Callable[[Process], None]:
    """Return a program that waits before it begins."""

    def wait_then(process: Process) -> None:
        process.pause(seconds)
        program(process)

    return wait_then


def attempt(action: Callable[..., Any], *args: Any) -> Any:
    """Do something that the store or Zoho may refuse; return None then."""
    try:
        return action(*args)
    except (TokenStoreError, ZohoError):
        return None


def boot(world: World) -> None:
    """Boot a fleet on one grant code; then expiries."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 30.0, 70.0, 300.0))
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 5)):
        name = rng.choice(("ann", None))
        world.start(sdk_worker(lambda name=name: token(name, code=code), rng.randint(2, 5), zoho.life), find_user=name is None)


def selectors(world: World) -> None:
    """Come with different selectors for one grant: other spellings of the user, with and without client, by refresh token."""
    rng, zoho = world.rng, world.zoho
    zoho.life = rng.choice((12.0, 70.0))
    world.invariants.names = {"ann@example.com": "ann", "ann:org": "ann"}
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 4)):
        name = rng.choice(("ann", "ann@example.com", "ann:org", None))
        world.start(
            sdk_worker(lambda name=name: token(name, rng.choice((CLIENT, CLIENT, None if name else CLIENT)), code), 4, zoho.life),
            find_user=rng.random() < 0.5,
        )

    def by_credential(process: Process) -> None:
        """Learn the refresh token from a first worker, and use it alone."""
        process.pause(spread(world, 4 * zoho.life))
        known = [refresh for refresh in sorted(zoho.live) if pointer("refresh", refresh) in State(world.memory).pointers]
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
        world.start(sdk_worker(lambda name=name: token(name, refresh=refresh), rng.randint(2, 5), zoho.life))


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

    def log_out(process: Process) -> None:
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

    world.start(log_out)
    world.start(log_in_again)
    if rng.random() < 0.4:
        world.start(reuse)


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

    def log_out(process: Process) -> None:
        process.pause(spread(world, 2 * zoho.life))
        found = attempt(process.find, token("ann", refresh=rng.choice(refreshes)))
        if found is not None:
            attempt(process.delete, found.get_id())

    for _ in range(rng.randint(2, 4)):
        world.start(program)
    world.start(sdk_worker(lambda: token("ann", refresh=refreshes[0]), 4, zoho.life))
    if rng.random() < 0.5:
        world.start(log_out)


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
    code = zoho.consent("ann", CLIENT)

    def leave(process: Process) -> None:
        process.pause(spread(world, 2 * zoho.life))
        attempt(process.find, token("ann", code=code))
        process.pause(spread(world, 3.0))

    for _ in range(rng.randint(2, 5)):
        world.start(leave)
    for _ in range(rng.randint(1, 3)):
        world.start(sdk_worker(lambda: token("ann", code=code), rng.randint(2, 5), zoho.life))


def everything(world: World) -> None:
    """Mix all of it."""
    rng = world.rng
    world.invariants.quick = False
    alone = (everything, mistaken_name, selectors)
    chosen = rng.sample([family for family in FAMILIES.values() if family not in alone], 2)
    if set(chosen) == {clients, direct_saves}:
        chosen.pop()  # what is saved without a client goes to whichever there is
    for family in chosen:
        family(world)
    world.invariants.quick = False
    world.zoho.down = False


FAMILIES: dict[str, Callable[[World], None]] = {
    family.__name__: family
    for family in (
        boot, selectors, threads, refresh_token, new_login, late_names, clients, mistaken_name, deletion, direct_saves,
        rejection, outage, leavers, everything,
    )
}  # fmt: skip
