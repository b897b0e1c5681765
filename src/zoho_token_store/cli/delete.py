"""``zoho-tokens delete`` and ``zoho-tokens purge``: one token, or many."""

from __future__ import annotations

import sys

import click

from zoho_token_store.cli.plain import as_json as json_of
from zoho_token_store.cli.progress import progress_bar
from zoho_token_store.cli.selection import Selection, Unreadable, client_option, user_option
from zoho_token_store.cli.settings import json_option, quiet_option
from zoho_token_store.cli.status import DONE, LEFT
from zoho_token_store.cli.target import Target, on_target
from zoho_token_store.cli.view import State, view
from zoho_token_store.errors import UNREADABLE, StoreUnavailable, TokenStoreError
from zoho_token_store.keyspace import check_id
from zoho_token_store.store import CoordinatedTokenStore

NONE = "there is no token under this id"
LIVES_ON = "deleted here; at Zoho it lives on (revoke ends a token in both places)"
OUT_OF_SIGHT = "deletes it all the same, with a refresh token that it may hold"
ENDED: tuple[State, ...] = ("expired", "no-access")


@click.command()
@on_target
@click.argument("record_id", metavar="ID")
@click.option(
    "--unreadable",
    is_flag=True,
    help="Also if it cannot be read, after saying why and asking. Whatever it may hold is gone then.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@quiet_option
def delete(target: Target, record_id: str, unreadable: bool, yes: bool, quiet: bool) -> None:
    """Delete the token under an ID here, for good: a worker that still holds it cannot bring it back.

    At Zoho it lives on; "revoke" ends a token in both places. One that cannot be read is left without --unreadable: it
    was changed by hand, is sealed under other keys than those of the environment, or was written by a newer release.

    The exit status is 1 if there is no such token, and if it cannot be read and is left.
    """
    with target.open() as store:
        try:
            if store.get(check_id(record_id)):
                store.delete_token(record_id)
            elif not (unreadable and store.delete_unreadable(record_id)):  # what is left of a record that was one
                raise click.ClickException(NONE)
        except UNREADABLE as error:
            if not unreadable:
                raise click.ClickException(f"{error.error_message}. --unreadable {OUT_OF_SIGHT}") from None
            _delete_unread(store, record_id, error, yes)
        except StoreUnavailable as error:
            if error.passing or not unreadable:  # there may be something else in its place
                raise
            _delete_unread(store, record_id, error, yes)
    if not quiet:
        click.echo(LIVES_ON)


def _delete_unread(store: CoordinatedTokenStore, record_id: str, error: TokenStoreError, yes: bool) -> None:
    if not yes:
        click.confirm(f"{error.error_message}. Delete it, with a refresh token that it may hold?", abort=True, err=True)
    if not store.delete_unreadable(record_id):
        raise click.ClickException(NONE)


@click.command()
@on_target
@click.option(
    "--expired",
    is_flag=True,
    help="Those without an access token that can be used. A token that nobody has asked for lately is one of these, and"
    " could be refreshed.",
)
@user_option
@client_option
@click.option("--all", "every", is_flag=True, help="All tokens of the namespace.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@quiet_option
@json_option("Print how many as a JSON object.")
def purge(
    target: Target,
    expired: bool,
    user: str | None,
    client: str | None,
    every: bool,
    yes: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Delete many tokens here, after saying how many and asking. Conditions must all hold.

    At Zoho they live on. Workers go on meanwhile; a token that no longer meets the conditions when its turn comes is
    left. It may be stopped at any time and started again. A record that cannot be read is named on stderr, left, and
    makes the exit status 1; "delete --unreadable" deletes it.
    """
    if every == bool(expired or user or client):
        raise click.UsageError("say which: --all, or any of --expired, --user and --client")
    selection = Selection(user, client, ENDED if expired else ())
    unreadable = Unreadable()
    with target.open() as store:
        total = None if yes else _ask(store, selection)
        deleted = 0 if total == 0 else _delete(store, selection, unreadable, total, quiet)
    click.echo(json_of({"deleted": deleted}) if as_json else f"{deleted:,} {_tokens(deleted)} deleted")
    sys.exit(LEFT if unreadable.count else DONE)


def _ask(store: CoordinatedTokenStore, selection: Selection) -> int:
    """Return how many tokens are to be deleted, if somebody agrees.

    Raises:
        click.Abort: Nobody does.
    """
    total = refreshable = 0
    for seen in selection.of(store, lambda _: None):
        total += 1
        refreshable += seen.refreshable
    if total:
        told = f"{refreshable:,} of them can still be refreshed and live on at Zoho. " if refreshable else ""
        click.confirm(f"{told}Delete {total:,} {_tokens(total)}?", abort=True, err=True)
    return total


def _delete(
    store: CoordinatedTokenStore, selection: Selection, unreadable: Unreadable, total: int | None, quiet: bool
) -> int:
    """Delete tokens as they are listed; return how many."""
    deleted = 0
    with progress_bar("deleting tokens", total, quiet=quiet) as show:
        for seen in selection.of(store, unreadable):
            try:
                # Listed a page at a time: one may have been refreshed since.
                token = store.get(seen.id) if selection.states else None
                if selection.states and (token is None or not selection.matches(view(token))):
                    continue
                store.delete_token(seen.id)
            except UNREADABLE as error:
                unreadable(error)
                continue
            deleted += 1
            show(deleted)
    return deleted


def _tokens(number: int) -> str:
    return "token" if number == 1 else "tokens"
