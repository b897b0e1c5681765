"""Which tokens of a store a command is about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import click

from zoho_token_store.cli.duration import Duration
from zoho_token_store.cli.view import STATES, View, view
from zoho_token_store.errors import TokenStoreError
from zoho_token_store.store import CoordinatedTokenStore

BATCH = 500
"""How many tokens are read at a time."""

F = TypeVar("F", bound=Callable[..., Any])

user_option = click.option("--user", metavar="NAME", help="Those of one user.")
client_option = click.option("--client", metavar="ID", help="Those of one client id.")
state_option = click.option(
    "--state",
    type=click.Choice(STATES),
    multiple=True,
    help="Those in a state; may be repeated. expiring: less than five minutes are left. no-access: there is no access"
    " token, which is how most that have ended look, since a store forgets them.",
)
within_option = click.option(
    "--expires-within", type=Duration(), metavar="TIME", help="Those whose access token ends in the next 30s, 10m, 2h."
)


class Selection(NamedTuple):
    """What a token must be like. None and () are for whatever it is like.

    Attributes:
        user: Its user's name.
        client: Its client id.
        states: In one of which it must be.
        within: In how many seconds its access token must end, at most.
    """

    user: str | None = None
    client: str | None = None
    states: tuple[str, ...] = ()
    within: float | None = None

    def matches(self, seen: View) -> bool:
        """Return whether a token is meant."""
        return (
            self.user in (None, seen.user_name)
            and self.client in (None, seen.client_id)
            and (not self.states or seen.state in self.states)
            and (self.within is None or self._ends_within(seen))
        )

    def _ends_within(self, seen: View) -> bool:
        return seen.expires_ms is not None and seen.expires_ms <= (time.time() + (self.within or 0)) * 1000

    def of(self, store: CoordinatedTokenStore, on_unreadable: Callable[[TokenStoreError], None]) -> Iterator[View]:
        """Yield the tokens of a store that are meant, one after another; those of one user are looked up directly."""
        by_user = None if self.user is None else store.get_by_user(self.user, on_unreadable)
        for token in store.iter_tokens(BATCH, on_unreadable) if by_user is None else by_user:
            seen = view(token)
            if self.matches(seen):
                yield seen


class Unreadable:
    """Names records that cannot be read on stderr, each as it comes, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, error: TokenStoreError) -> None:
        """Take note of one."""
        self.count += 1
        record = getattr(error, "record_id", None) or "-"
        click.echo(f"record {record} cannot be read: {error.error_message}", err=True)
