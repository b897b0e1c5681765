"""``zoho-tokens stats``: what a store can say of the fleet that uses it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import click

from zoho_token_store.cli.fleet.census import count_tokens
from zoho_token_store.cli.fleet.happenings import read_all
from zoho_token_store.cli.fleet.leases import FleetLine, paused
from zoho_token_store.cli.plain import as_json as json_of
from zoho_token_store.cli.plain import plain
from zoho_token_store.cli.settings import json_option, quiet_option
from zoho_token_store.cli.target import Target, on_target
from zoho_token_store.cli.view import CALENDAR_MS
from zoho_token_store.redis_store import RedisTokenStore

NO_FLEET = 'the events of a file are in its table "events"; look-ups and waits are counted by store.stats() alone'

SHOWN = (
    "leases",
    "takeovers",
    "waits",
    "wait_timeouts",
    "failing",
    "refreshes",
    "refreshes_failed",
    "refreshes_throttled",
    "refreshes_rejected",
    "saves",
    "late_saves",
    "saves_kept",
    "retries",
    "unavailable",
)
"""Counters that are shown in the text; JSON has them all."""


@click.command()
@on_target
@quiet_option
@json_option("A JSON object.")
def stats(target: Target, quiet: bool, as_json: bool) -> None:
    """Count the tokens and what the fleet has done with them, as far as the store knows.

    Tokens are counted by how they stand. From Redis come also the refreshes that are under way or held back, how many
    clients wait on the server (for a refresh, for events, or for something else), and the events, of which the last
    10,000 or so are kept; and what all processes together have counted: look-ups, hit rates of near caches, waits,
    refreshes, throttles, retries. A process tells that every ten seconds, and when it ends in good order. It looks at
    every token and every key, some at a time.
    """
    with target.open() as store:
        *_, census = count_tokens(store)
        told: dict[str, Any] = {"tokens": census.told()}
        told |= dict.fromkeys(("leases", "blocked_clients", "events", "counted"))
        if isinstance(store, RedisTokenStore):
            told |= _of_fleet(store, target)
    if as_json:
        click.echo(json_of(told))
        return
    _tell(told)
    if not quiet and not told["events"]:
        click.echo(NO_FLEET, err=True)


def _of_fleet(store: RedisTokenStore, target: Target) -> dict[str, Any]:
    with FleetLine(target) as line:
        *_, leases = line.leases()
        blocked, counted = line.blocked(), line.counted()
    with store.events() as reader:
        seen = read_all(reader)
    return {
        "leases": {"held": sum(lease.held for lease in leases), "paused": dict(sorted(paused(leases).items()))},
        "blocked_clients": blocked,
        "events": {
            "since": _time(seen.since_ms),
            "processes": len(seen.processes),
            "counts": dict(sorted(seen.names.items())),
        },
        "counted": {
            "since": _time(counted.since_ms),
            "look_ups": counted.look_ups,
            "hit_rate": counted.hit_rate,
            **counted.counts,
        },
    }


def _time(at_ms: int | None) -> str | None:
    # Whoever can write to Redis can make an event of any time.
    if at_ms is None or at_ms > CALENDAR_MS:
        return None
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc).isoformat(timespec="seconds")


def _tell(told: dict[str, Any]) -> None:
    tokens = dict(told["tokens"])
    _line("tokens", tokens.pop("total"))
    for name, number in tokens.items():
        _line(f"  {name.replace('_', ' ')}", number)
    if told["leases"]:
        _line("refreshes under way", told["leases"]["held"])
        _line("refreshes held back", sum(told["leases"]["paused"].values()))
        for reason, number in told["leases"]["paused"].items():
            _line(f"  {plain(reason)}", number)
        _line("clients that wait on the server", told["blocked_clients"])
    if told["events"]:
        counts = told["events"]["counts"]
        _line("events", sum(counts.values()), f"since {told['events']['since']}" if counts else "")
        for name, number in counts.items():
            _line(f"  {plain(name)}", number)
        _line("processes that have done these", told["events"]["processes"])
    if told["counted"]:
        _tell_of_counted(told["counted"])


def _tell_of_counted(counted: dict[str, Any]) -> None:
    since, rate = counted["since"], counted["hit_rate"]
    _line("look-ups", counted["look_ups"], f"since {since}" if since else "")
    _line("  by near caches", counted["near_hits"], "" if rate is None else f"{rate:.1%}")
    _line("  by asking", counted["finds"])
    for name in SHOWN:
        _line(name.replace("_", " "), counted[name])


def _line(name: str, number: int | None, remark: str = "") -> None:
    click.echo(f"{name:32}{'-' if number is None else format(number, ','):>12}  {remark}".rstrip())
