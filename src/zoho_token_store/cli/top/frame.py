"""A scene as it is drawn: whatever the terminal's size."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zoho_token_store.cli.duration import show_span
from zoho_token_store.cli.fleet.counted import Pace
from zoho_token_store.cli.fleet.leases import Lease, paused
from zoho_token_store.cli.listing import STYLES
from zoho_token_store.cli.plain import plain
from zoho_token_store.cli.top.watcher import Scene
from zoho_token_store.cli.view import STATES, View

WIDE = 70
"""From how many cells on users are shown beside ids."""
HEAD = 9
"""Lines that are not the two lists."""
TROUBLE = ("rejected",)
"""Names of events that are errors."""
ERRORS = {
    "throttled": ("refreshes_throttled",),
    "failed": ("refreshes_failed", "refreshes_rejected", "wait_timeouts", "unavailable"),
}
"""Counters that are errors, and what they are called together."""


def draw(scene: Scene, width: int, height: int) -> Group:
    """Return a frame.

    Args:
        scene: What there is.
        width: Cells of a line.
        height: Lines; the two lists get what is left of them.
    """
    latest = min(len(scene.latest), max(0, (height - HEAD) // 3))
    room = max(0, height - HEAD - latest - (1 if latest else 0))
    parts: list[RenderableType] = [*_head(scene), _tokens(scene, width, room)]
    if latest:
        parts.append(_latest(scene, latest))
    return Group(*parts)


def _head(scene: Scene) -> Iterable[Text]:
    at = time.strftime("%H:%M:%S", time.gmtime(scene.now_ms / 1000))
    yield _text(("zoho-tokens top  ", "bold"), (f"{plain(scene.namespace)}  {at} UTC", ""))
    yield _text((scene.away and f"Redis is away: {plain(scene.away)}", "bold red"))
    yield _counts(scene)
    held = sum(lease.held for lease in scene.leases)
    waiting = "-" if scene.blocked is None else f"{scene.blocked:,}"
    yield _text(
        (f"refreshes under way {held:,}", "cyan" if held else ""), (f", clients waiting on the server {waiting}", "")
    )
    yield _text(
        (f"refreshed {scene.minute['refreshed']:,} in the last minute, {scene.window['refreshed']:,} in 10", ""),
        (f"; {scene.processes:,} processes at work", ""),
    )
    yield _look_ups(scene.pace)
    yield _trouble(scene)


def _look_ups(pace: Pace | None) -> Text:
    if pace is None:
        return _text(("look-ups: no process has told of any yet", "dim"))
    counts, rate = pace.of.counts, pace.of.hit_rate
    near = "" if rate is None else f", {rate:.1%} near"
    errors = {name: sum(counts[each] for each in those) for name, those in ERRORS.items()}
    return _text(
        (f"look-ups {pace.of.look_ups / pace.seconds:,.1f} a second{near}, {counts['waits']:,} waits", ""),
        *((f", {number:,} {name}", "red" if number else "") for name, number in errors.items()),
        (f" in {show_span(pace.seconds)}", ""),
    )


def _counts(scene: Scene) -> Text:
    census = scene.census
    if census is None:
        return _text((f"counting tokens: {scene.counted:,} so far", "dim"))
    states = [(f", {census.states[name]:,} {name}", STYLES[name] if census.states[name] else "") for name in STATES]
    lost = (f", {census.unreadable:,} cannot be read", "red") if census.unreadable else ("", "")
    return _text((f"tokens {census.total:,}", "bold"), *states, lost)


def _trouble(scene: Scene) -> Text:
    refused = sum(scene.window[name] for name in TROUBLE)
    held_back = paused(scene.leases)
    reasons = " ".join(f"{plain(reason)} {number:,}" for reason, number in sorted(held_back.items()))
    told = f"errors: {refused:,} refused for good in 10 minutes, {sum(held_back.values()):,} held back"
    return _text((f"{told} ({reasons})" if reasons else told, "red" if refused or held_back else ""))


def _tokens(scene: Scene, width: int, room: int) -> Table:
    """Return the refreshes that are under way or held back, then the tokens that end next."""
    table = Table(box=None, expand=True, padding=(0, 1), header_style="bold")
    table.add_column("ends in", width=8, no_wrap=True)
    table.add_column("id", ratio=2, no_wrap=True, overflow="ellipsis")
    table.add_column("state", width=11, no_wrap=True)
    if width >= WIDE:
        table.add_column("user", ratio=3, no_wrap=True, overflow="ellipsis")
    rows = [*map(_lease_row, scene.leases), *_token_rows(scene)]
    for cells, style in rows[:room]:
        table.add_row(*(Text(cell) for cell in cells[: len(table.columns)]), style=style)
    return table


def _lease_row(lease: Lease) -> tuple[tuple[str, ...], str]:
    doing = "refreshing" if lease.held else plain(lease.reason or "held back")
    # The name of a lease without a record is a digest, and nobody's id.
    cells = (show_span(lease.left_ms / 1000), plain(lease.name), doing, f"attempt {lease.attempts}")
    return cells, "cyan" if lease.held else "red"


def _token_rows(scene: Scene) -> Iterable[tuple[tuple[str, ...], str]]:
    at_work = {lease.name for lease in scene.leases}
    for seen in scene.census.next if scene.census else ():
        if seen.id not in at_work:
            yield _token_cells(seen), STYLES[seen.state]


def _token_cells(seen: View) -> tuple[str, ...]:
    left = (seen.expires_ms or 0) / 1000 - time.time()
    return show_span(left), plain(seen.id), seen.state, plain(seen.user_name)


def _latest(scene: Scene, number: int) -> Text:
    lines = [Text("latest", style="bold")]
    for event in scene.latest[:number]:
        ago = show_span((scene.now_ms - event.at_ms) / 1000)
        line = f"{ago:>8} ago  {event.name:11}  {event.record_id or '-'}  {event.by or '-'}"
        lines.append(Text(line, style="red" if event.name in TROUBLE else ""))
    text = Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _text(*parts: tuple[str, str]) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for part, style in parts:
        text.append(part, style=style or None)
    return text
