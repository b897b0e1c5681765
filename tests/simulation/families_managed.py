"""Families of schedules of stores that refresh by themselves (`refresh="managed"`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulation.applications import CLIENT, attempt, later, sdk_worker, spread, token, use
from simulation.process import Process, Program
from simulation.sdk_flow import get_token
from simulation.state import State
from simulation.violation import Violation
from simulation.world import World
from simulation.zoho import SECRET
from zoho_token_store import TokenStoreError
from zoho_token_store.keyspace import pointer

NEW_SECRET = "new secret of "


def boot(world: World) -> None:
    """Boot a fleet on one grant code, with the user's name and without it; then expiries."""
    rng, zoho = world.rng, world.zoho
    _live(world, rng.choice((120.0, 300.0, 3600.0)))
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 5)):
        name = rng.choice(("ann", None))
        _start(world, sdk_worker(lambda name=name: token(name, code=code), rng.randint(2, 5), zoho.life))
    _recover(world, code, after=zoho.life * 4)


def ahead(world: World) -> None:
    """Use a token all the time, over several expiries: nobody waits for a refresh. Perhaps somebody keeps it fresh."""
    rng, zoho = world.rng, world.zoho
    margin = _live(world, rng.choice((120.0, 300.0, 900.0)))
    code = zoho.consent("ann", CLIENT)
    rounds = int(2.5 * zoho.life / margin * 3)

    def program(process: Process) -> None:
        use(process, token("ann", code=code), rounds, lambda: rng.uniform(0, 2 * margin / 3))

    for _ in range(rng.randint(2, 3)):
        _start(world, program)
    if rng.random() < 0.3:
        world.invariants.margin = 2 * margin
        _start(world, _keeper(2.5 * zoho.life))


def outage(world: World) -> None:
    """Let Zoho fail, or take no more requests, for a while; then the fleet recovers by itself."""
    rng, zoho = world.rng, world.zoho
    _live(world, rng.choice((120.0, 300.0, 900.0)))
    world.invariants.quick = False
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 4)):
        _start(world, sdk_worker(lambda: token("ann", code=code), rng.randint(6, 16), zoho.life / 4))

    def break_down(process: Process) -> None:
        process.pause(spread(world, 2 * zoho.life))
        kind = rng.choice(("down", "throttled"))
        setattr(zoho, kind, True)
        process.pause(rng.uniform(1, 700.0))
        setattr(zoho, kind, False)

    world.start(break_down, restarts=0)
    _recover(world, code, after=2 * zoho.life + 700)


def throttled(world: World) -> None:
    """Need more access tokens than the budget has: they live for a moment only, or are rejected again and again."""
    rng, zoho = world.rng, world.zoho
    _live(world, rng.choice((24.0, 40.0, 900.0)))
    world.invariants.quick = False
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 4)):
        _start(world, sdk_worker(lambda: token("ann", code=code), rng.randint(10, 30), 40.0))
    if zoho.life > 100:
        _start(world, _rejecting(lambda: token("ann", code=code), rng.randint(5, 15), 15.0))
    _recover(world, code, after=900.0)


def refused(world: World) -> None:
    """Have the grant revoked while it is in use; nothing is asked any more until the user logs in again."""
    rng, zoho = world.rng, world.zoho
    _live(world, rng.choice((120.0, 300.0)))
    world.invariants.quick = False
    zoho.rotating = rng.random() < 0.3
    zoho.latency = rng.choice((0.3, 3.0))
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(1, 4)):
        _start(world, sdk_worker(lambda: token("ann", code=code), rng.randint(4, 12), zoho.life / 2))

    def revoke(process: Process) -> None:
        process.pause(spread(world, 2 * zoho.life))
        zoho.revoke(*zoho.live)

    def log_in_again(process: Process) -> None:
        process.pause(rng.uniform(0, 4 * zoho.life))
        again = zoho.consent("ann", CLIENT)
        use(process, token("ann", code=again), 3, lambda: spread(world, zoho.life))

    def bring_another(process: Process) -> None:
        process.pause(rng.uniform(0, 4 * zoho.life))
        _meet_a_call(world, process)
        refresh = zoho.grant("ann", CLIENT)
        world.invariants.excused.add(refresh)
        attempt(process.save, token("ann", refresh=refresh))

    world.start(revoke, restarts=0)
    for program in rng.sample((log_in_again, log_in_again, bring_another, bring_another), rng.randint(1, 2)):
        _start(world, program)
    _recover(world, code, after=6 * zoho.life)


def rotation(world: World) -> None:
    """Refresh where every refresh gives a new refresh token and ends the old one."""
    rng, zoho = world.rng, world.zoho
    zoho.rotating = True
    _live(world, rng.choice((120.0, 300.0)))
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 5)):
        _start(world, sdk_worker(lambda: token("ann", code=code), rng.randint(6, 16), zoho.life / 2))
    _recover(world, code, after=8 * zoho.life)


def overlap(world: World) -> None:
    """Rotate where the old refresh token goes on working: who loses a lease brings a second successor, kept aside."""
    rng, zoho = world.rng, world.zoho
    zoho.rotating = zoho.overlapping = True
    _live(world, 120.0)
    zoho.latency = 3.0
    world.invariants.quick = False
    world.faults.cut_off = 1.0
    code = zoho.consent("ann", CLIENT)

    def program(process: Process) -> None:  # often enough for somebody to take over
        use(process, token("ann", code=code), 60, lambda: rng.uniform(0, 10))

    for _ in range(rng.randint(2, 3)):
        _start(world, program)

    def revoke(process: Process) -> None:
        for _ in range(6):
            process.pause(rng.uniform(0.1, 1) * zoho.life)
            _revoke_current(world)

    world.start(_cutting(5, 2 * zoho.life), restarts=0)
    world.start(revoke, restarts=0)
    _recover(world, code, after=8 * zoho.life)


def spares(world: World) -> None:
    """Let two logins of one user cross, and revoke what has become current: the other one is worth something yet."""
    rng, zoho = world.rng, world.zoho
    _live(world, rng.choice((120.0, 300.0)))
    zoho.latency = 3.0
    world.invariants.quick = False
    codes = [zoho.consent("ann", CLIENT) for _ in range(2)]
    for code in codes:
        for _ in range(rng.randint(1, 2)):
            _start(world, sdk_worker(lambda code=code: token("ann", code=code), rng.randint(4, 10), zoho.life / 2))

    def revoke(process: Process) -> None:
        process.pause(20 + spread(world, 2 * zoho.life))
        _revoke_current(world)

    world.start(revoke, restarts=0)
    _recover(world, codes[0], after=6 * zoho.life)


def changes(world: World) -> None:
    """Delete, invalidate and log in again, also while somebody is at Zoho for that token."""
    rng, zoho = world.rng, world.zoho
    _live(world, rng.choice((120.0, 300.0)))
    zoho.latency = rng.choice((0.3, 3.0))
    zoho.rotating = rng.random() < 0.3
    world.invariants.quick = False
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 4)):
        name = rng.choice(("ann", None))
        _start(world, sdk_worker(lambda name=name: token(name, code=code), rng.randint(4, 10), zoho.life / 3))

    def log_out(process: Process) -> None:
        process.pause(spread(world, 3 * zoho.life))
        _meet_a_call(world, process)
        found = attempt(process.find, token("ann"))
        if found is not None:
            attempt(process.delete, found.get_id())

    def log_in_again(process: Process) -> None:
        process.pause(spread(world, 3 * zoho.life))
        _meet_a_call(world, process)
        again = zoho.consent("ann", CLIENT)
        use(process, token(rng.choice(("ann", None)), code=again), 3, lambda: spread(world, zoho.life))

    def log_in_by_refresh_token(process: Process) -> None:
        process.pause(spread(world, 3 * zoho.life))
        refresh = zoho.grant("ann", CLIENT)
        world.invariants.excused.add(refresh)
        _meet_a_call(world, process)
        use(process, token(rng.choice(("ann", None)), refresh=refresh), 3, lambda: spread(world, zoho.life))

    def save_past_it(process: Process) -> None:
        process.pause(spread(world, 3 * zoho.life))
        refresh = zoho.grant("ann", CLIENT)
        world.invariants.excused.add(refresh)
        _meet_a_call(world, process)
        attempt(process.save, token("ann", refresh=refresh))

    programs = (log_out, log_in_again, log_in_by_refresh_token, save_past_it)
    for program in rng.sample(programs, rng.randint(1, 3)):
        _start(world, program, restarts=0)
    if rng.random() < 0.6:
        _start(world, _rejecting(lambda: token("ann", code=code), 3, zoho.life / 3), restarts=0)


def slow(world: World) -> None:
    """Let Zoho take longer than a lease lasts, and now and then longer than anybody waits."""
    rng, zoho = world.rng, world.zoho
    _live(world, rng.choice((120.0, 300.0)))
    zoho.latency = rng.choice((4.0, 8.0, 16.0))
    world.invariants.quick = False
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 5)):
        _start(world, sdk_worker(lambda: token("ann", code=code), rng.randint(3, 8), zoho.life / 3))
    _recover(world, code, after=4 * zoho.life)


def cut_off(world: World) -> None:
    """Cut workers off from Redis while they are at Zoho: they lose their leases, and cannot store what they get."""
    rng, zoho = world.rng, world.zoho
    _live(world, rng.choice((120.0, 300.0)))
    zoho.latency = rng.choice((0.3, 3.0))
    zoho.rotating = rng.random() < 0.5
    world.invariants.quick = False
    world.faults.cut_off = 1.0
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(2, 4)):
        _start(world, sdk_worker(lambda: token("ann", code=code), rng.randint(5, 12), zoho.life / 3))
    world.start(_cutting(rng.randint(1, 3), zoho.life), restarts=0)
    _recover(world, code, after=5 * zoho.life)


def many(world: World) -> None:
    """Let more tokens become due at a time than a process refreshes in the background at a time."""
    rng, zoho = world.rng, world.zoho
    margin = _live(world, rng.choice((120.0, 300.0)))
    zoho.latency = rng.choice((0.3, 6.0))
    world.invariants.quick &= zoho.latency < 1
    users = [f"user{number}" for number in range(rng.randint(5, 7))]
    codes = {user: zoho.consent(user, CLIENT) for user in users}

    def program(process: Process) -> None:
        own = {user: token(user, code=code) for user, code in codes.items()}
        for _ in range(3):
            for user in users:
                attempt(get_token, process, own[user])
            process.pause(zoho.life - margin * rng.uniform(0.2, 2))

    for _ in range(rng.randint(1, 3)):
        _start(world, program)


def leavers(world: World) -> None:
    """End processes in good order while they are at Zoho: others go on at once."""
    rng, zoho = world.rng, world.zoho
    margin = _live(world, rng.choice((120.0, 300.0)))
    zoho.latency = rng.choice((2.0, 8.0))
    world.invariants.quick = False
    code = zoho.consent("ann", CLIENT)

    def leave(process: Process) -> None:
        process.pause(zoho.life * rng.randint(0, 2) + rng.choice((-1, 0, 1)) * rng.random() * margin)
        attempt(process.find, token("ann", code=code))
        process.pause(spread(world, 3.0))

    for _ in range(rng.randint(2, 8)):
        _start(world, leave)
    for _ in range(rng.randint(1, 2)):
        _start(world, sdk_worker(lambda: token("ann", code=code), rng.randint(3, 8), zoho.life / 2))
    _recover(world, code, after=3 * zoho.life)


def secret(world: World) -> None:
    """Have the client's secret changed at Zoho, and workers restarted with the new one, one after another."""
    rng, zoho = world.rng, world.zoho
    _live(world, rng.choice((120.0, 300.0)))
    zoho.rotating = rng.random() < 0.3
    world.invariants.quick = False
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(1, 3)):
        _start(world, sdk_worker(lambda: token("ann", code=code), rng.randint(3, 8), zoho.life / 2))

    def configured() -> Any:
        own = token("ann", code=code)
        own.set_client_secret(NEW_SECRET + CLIENT)
        return own

    def change(process: Process) -> None:
        process.pause(spread(world, 2 * zoho.life))
        zoho.secret = NEW_SECRET

    world.start(change, restarts=0)
    for _ in range(rng.randint(1, 3)):
        program = sdk_worker(configured, rng.randint(3, 8), zoho.life / 2)
        _start(world, later(program, rng.uniform(0, 4 * zoho.life)))
    _recover(world, code, after=6 * zoho.life, secret=NEW_SECRET)


def mixed(world: World) -> None:
    """Let workers whose SDK refreshes and workers whose store does share a token, as while a fleet is changed over."""
    rng, zoho = world.rng, world.zoho
    margin = _live(world, rng.choice((120.0, 300.0)))
    world.invariants.margin = max(30.0, margin)
    world.invariants.fleet.is_mixed = True
    zoho.rotating = rng.random() < 0.3
    code = zoho.consent("ann", CLIENT)
    for _ in range(rng.randint(1, 2)):
        world.start(sdk_worker(lambda: token("ann", code=code), rng.randint(3, 8), zoho.life / 2))
        _start(world, sdk_worker(lambda: token("ann", code=code), rng.randint(3, 8), zoho.life / 2))
    if rng.random() < 0.3:
        world.invariants.quick = False
        _start(world, _rejecting(lambda: token("ann", code=code), 3, zoho.life / 3), restarts=0)


def threads(world: World) -> None:
    """Share one token object among the threads of a process, which go on asking while it refreshes."""
    rng, zoho = world.rng, world.zoho
    margin = _live(world, rng.choice((120.0, 300.0)))
    zoho.latency = rng.choice((0.3, 6.0))
    world.invariants.quick &= zoho.latency < 1
    code = zoho.consent("ann", CLIENT)
    other = zoho.consent("bob", CLIENT)

    def program(process: Process) -> None:
        own = token("ann", code=code)
        for _ in range(rng.randint(1, 3)):
            process.thread(lambda process: use(process, own, 10, lambda: spread(world, 2 * margin)))
        process.thread(lambda process: use(process, token("bob", code=other), 6, lambda: spread(world, zoho.life)))
        use(process, own, 10, lambda: spread(world, 2 * margin))
        process.pause(20 * margin)

    for _ in range(rng.randint(1, 3)):
        _start(world, program)


def _live(world: World, life: float) -> float:
    """Set how long access tokens live; return how long before its end one is due, seconds."""
    world.zoho.life = life
    margin = min(life / 2, max(10.0, min(300.0, life / 10)))
    world.invariants.margin = margin
    return margin


def _start(world: World, program: Program, **settings: Any) -> Process:
    return world.start(program, refresh="managed", skew=world.rng.choice((0.0, 0.0, 40.0)), **settings)


def _keeper(seconds: float) -> Program:
    """Return the program of a process that keeps all tokens fresh for others."""

    def program(process: Process) -> None:
        ends_us = process.world.now_us + int(seconds * 1e6)
        while process.world.now_us < ends_us:
            rest = 5.0
            try:
                rest = process.store.keep_fresh()
            except TokenStoreError:
                pass
            process.pause(rest)

    return program


def _rejecting(make: Callable[[], Any], rounds: int, longest_pause: float) -> Program:
    """Return the program of a worker whose access tokens CRM rejects."""

    def program(process: Process) -> None:
        own = make()
        for _ in range(rounds):
            found = attempt(get_token, process, own)
            process.pause(spread(process.world, longest_pause))
            if found is not None and found.get_id() and found.get_access_token():
                attempt(process.invalidate, found.get_id(), found.get_access_token())

    return program


def _cutting(times: int, longest_pause: float) -> Program:
    """Return the program of somebody who cuts whoever is at Zoho off from Redis, and others by chance."""

    def program(process: Process) -> None:
        world = process.world
        for _ in range(times):
            process.pause(spread(world, longest_pause))
            _meet_a_call(world, process)
            length = world.rng.choice((2.0, 6.0, 20.0)) * world.rng.random()
            at_zoho = {call.process for call in world.zoho.calls if not call.ended_us}
            for other in world.processes:
                if other.name in at_zoho or world.rng.random() < 0.3:
                    world.note(other.name, f"cut off for {length:.1f} s")
                    other.cut_off_until_us = world.now_us + int(length * 1e6)

    return program


def _revoke_current(world: World) -> None:
    """Revoke the current refresh token of each record that has another."""
    for record in State(world.memory).records.values():
        if record.spares:
            world.zoho.revoke(record.refresh_token or "")


def _meet_a_call(world: World, process: Process) -> None:
    """Wait until somebody is at Zoho, for a while at most."""
    process.pause(world.zoho.life, lambda: any(not call.ended_us for call in world.zoho.calls))


def _recover(world: World, code: str, after: float, secret: str = SECRET) -> None:
    """Let everything go well in the end, and hold that somebody who asks gets a token then.

    Args:
        world: Where.
        code: Of the login that has been used; if it is worth nothing any more the user logs in again.
        after: When, seconds.
        secret: What the client's secret begins with by then.
    """

    def program(process: Process) -> None:
        world.faults.calm()
        world.zoho.down = world.zoho.throttled = False
        world.zoho.secret = secret  # whoever was to change it may have been killed before
        world.zoho.latency = min(world.zoho.latency, 0.3)
        state = State(world.memory)
        record = state.records.get(state.pointers.get(pointer("grant", code), ""))
        works = record is not None and not {record.refresh_token, *record.spare_tokens()}.isdisjoint(world.zoho.live)
        own = token("ann", code=code if works else world.zoho.consent("ann", CLIENT))
        own.set_client_secret(secret + CLIENT)
        for _ in range(40):
            found = attempt(get_token, process, own)
            if found is not None and found.get_access_token():
                return
            process.pause(30.0)
        raise Violation("the fleet does not recover")

    _start(world, later(program, after), restarts=9)


MANAGED: dict[str, Callable[[World], None]] = {
    f"managed_{family.__name__}": family
    for family in (
        boot, ahead, outage, throttled, refused, rotation, overlap, spares, changes, slow, cut_off, many, leavers,
        secret, mixed, threads,
    )
}  # fmt: skip
"""Families of schedules by name."""
