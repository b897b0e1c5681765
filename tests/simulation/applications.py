"""What simulated applications do; the families of schedules are put together from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulation.process import Process
from simulation.sdk_flow import get_token
from simulation.state import State
from simulation.world import World
from simulation.zoho import SECRET, ZohoError
from zoho_token_store import TokenDeleted, TokenStoreError
from zoho_token_store.keyspace import pointer
from zoho_token_store.zoho_sdk import OAuthToken, UserSignature

CLIENT = "client-a"
OTHER_CLIENT = "client-b"


def token(
    user: str | None = None,
    client: str | None = CLIENT,
    code: str | None = None,
    refresh: str | None = None,
    **rest: Any,
) -> Any:
    """Return an application's token object."""
    return OAuthToken(
        client_id=client,
        client_secret=client and f"{SECRET}{client}",
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


def log_out(world: World, user: str, *refreshes: str) -> Callable[[Process], None]:
    """Return the program of somebody who deletes a token as soon as it is there, or some time later."""
    rng = world.rng

    def program(process: Process) -> None:
        process.pause(spread(world, rng.choice((1.0, 2 * world.zoho.life))))
        for _ in range(6):
            state = State(world.memory)
            known = [state.pointers[name] for name in map(_refresh_pointer, refreshes) if name in state.pointers]
            known += [record.id for record in state.records.values() if record.user_name == user]
            if known:
                attempt(process.delete, rng.choice(known))
                return
            process.pause(rng.uniform(0.1, 1.5))

    return program


def _refresh_pointer(refresh: str) -> str:
    return pointer("refresh", refresh)
