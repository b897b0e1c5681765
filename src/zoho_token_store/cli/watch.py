"""``zoho-tokens watch``: prints what happens to the tokens, as it happens."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import datetime, timezone

import click

from zoho_token_store.cli.duration import read_duration
from zoho_token_store.cli.settings import json_option
from zoho_token_store.cli.signals import interruptible
from zoho_token_store.cli.target import Target, on_target
from zoho_token_store.errors import StoreUnavailable
from zoho_token_store.events import BATCH, Event, EventReader

WAIT = 1.0
"""Longest time that one reading waits for events, seconds."""
AWAY_REST = 0.5
"""Rest between two attempts to reach a Redis that is away, seconds."""
GAPS = {
    "missed": "older events were cut away before they could be read: some are missing here",
    "lost": "Redis has lost data, and the events of that time with it: some may be missing here",
}
SINCE = "must be a time such as 10m (s, m, h or d), an event's id such as 1700000000000-0, or all"

Show = Callable[[Event], None]


@click.command()
@on_target
@click.option(
    "--since",
    metavar="WHEN",
    help="Begin with what happened in the last 30s, 10m, 2h or 7d, or after the event with an id, or with all that is"
    " kept. Without it: with what happens from now on, or with all if it does not follow.",
)
@click.option("--follow/--no-follow", default=True, show_default=True, help="Go on with what happens from now on.")
@json_option("One JSON object a line.")
def watch(target: Target, since: str | None, follow: bool, as_json: bool) -> None:
    """Print what happens to the tokens: when, what, to which record, and by which process.

    Times are those of Redis. About the last 10,000 events are kept. Who it was by is the label that the process has
    given itself, and "-" for an event of an older release; whoever can write to Redis can write events. No event holds
    a secret or a user name, and what is printed is plain ASCII, whatever was written there.

    A Redis that goes away is waited for, and then the events go on where they ended. SIGTERM and SIGINT end it, with
    exit status 0.
    """
    with target.open_redis() as store, store.events(_start(since, follow)) as events:
        show = _show_json if as_json else _show_line
        try:
            with interruptible():
                _follow(events, show) if follow else _show_all(events, show)
        except KeyboardInterrupt:
            pass


def _start(since: str | None, follow: bool) -> str | float | None:
    """Return where to begin, as :meth:`RedisTokenStore.events` takes it."""
    if since is None:
        return 0.0 if follow else None
    if since == "all":
        return None
    if (ago := read_duration(since)) is not None:
        return ago
    if re.fullmatch(r"\d{1,19}-\d{1,20}", since, re.ASCII):
        return since
    raise click.BadParameter(SINCE, param_hint="--since")


def _show_all(events: EventReader, show: Show) -> None:
    """Show what there is."""
    while _show(events, show) == BATCH:
        pass


def _follow(events: EventReader, show: Show) -> None:
    """Show what there is and what comes, for ever; a Redis that is away is waited for."""
    away = False
    while True:
        try:
            _show(events, show, wait=0 if away else WAIT)
        except StoreUnavailable as error:
            if not error.passing:
                raise
            if not away:
                _say(f"Redis cannot be used, and is asked again: {error.error_message}")
            away = True
            time.sleep(AWAY_REST)
            continue
        if away:
            _say(f"Redis can be used again; going on after {events.position}")
        away = False


def _show(events: EventReader, show: Show, wait: float = 0.0) -> int:
    """Show the next events; return how many there were."""
    batch = events.read(wait)
    if batch.gap:
        _say(GAPS[batch.gap])
    for event in batch.events:
        for each in event.each():
            show(each)
    return len(batch.events)


def _show_line(event: Event) -> None:
    record = f"{event.record_id} into {event.into}" if event.into else event.record_id
    click.echo(f"{_time(event) or event.id}  {event.name or '-':11}  {record or '-':16}  {event.by or '-'}")


def _show_json(event: Event) -> None:
    told = {"time": _time(event), "event": event.name, "record": event.record_id, "by": event.by}
    more = {"into": event.into} if event.into else {}
    click.echo(json.dumps({"id": event.id} | {name: text or None for name, text in told.items()} | more))


def _time(event: Event) -> str | None:
    """Return when it happened; None for a time that no calendar has: ids can be forged."""
    try:
        at = datetime.fromtimestamp(event.at_ms / 1000, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _say(what: str) -> None:
    click.echo(what, err=True)
