"""The families of schedules by name, and one that mixes them."""

from __future__ import annotations

from collections.abc import Callable

from simulation.families_identity import clearing, clients, deletion, direct_saves, merges, mistaken_name
from simulation.families_logins import boot, late_names, new_login, refresh_token, selectors, threads
from simulation.families_trouble import leavers, outage, rejection
from simulation.world import World


def everything(world: World) -> None:
    """Mix all of it."""
    rng = world.rng
    world.invariants.quick = False
    alone = (everything, mistaken_name, selectors, clearing)
    chosen = rng.sample([family for family in FAMILIES.values() if family not in alone], 2)
    if clients in chosen and {deletion, direct_saves, refresh_token} & set(chosen):
        # What is saved without a client goes to whichever there is, and once a token is deleted anybody may bring it.
        chosen.remove(clients)
    for family in chosen:
        family(world)
    world.invariants.quick = False
    world.zoho.down = False


FAMILIES: dict[str, Callable[[World], None]] = {
    family.__name__: family
    for family in (
        boot, selectors, threads, refresh_token, new_login, late_names, clients, mistaken_name, deletion, direct_saves,
        merges, rejection, outage, leavers, clearing, everything,
    )
}  # fmt: skip
