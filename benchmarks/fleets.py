"""Every store under a fleet with the real SDK: at the end of an access token, and at a boot on one grant code."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from benchmarks import tasks
from benchmarks.comparison import Comparison, Point, Series
from benchmarks.crew import TOGETHER, Crew, Reply
from benchmarks.figure import Spread
from benchmarks.interleave import ratios
from benchmarks.rivals import RIVALS, Rival, Site
from benchmarks.tokens import secret, token_of
from zoho_token_store.testing import FakeZoho
from zoho_token_store.zoho_sdk import UserSignature

GROUPS = {
    "calls": "compare_storm",
    "storm": "compare_storm",
    "wake": "compare_storm",
    "up": "compare_boot",
    "exchanges": "compare_boot",
}
TITLES = {
    "calls": ("refresh calls for one expiry, {size} processes", "calls"),
    "storm": ("expiry to the last process with a new token", "ms"),
    "wake": ("first to last process with the new token", "ms"),
    "up": ("processes up after a boot on one grant code, of {size}", "processes"),
    "exchanges": ("attempts to exchange that code", "calls"),
}
LATENCY = 0.25
"""Seconds that a token request takes."""
OTHERS = 5
"""Tokens that a store holds beside; with ten, two rivals give an id out twice, and that is not the point here."""
NO_WAIT = "its workers do not wait for one another"


class Moment(NamedTuple):
    """What a moment came to for one store.

    Attributes:
        calls: Token requests, refused ones too.
        errors: Processes that got an error.
        last: Seconds to the last process that got what it wanted; to the last of all if none did.
        spread: Seconds from the first to the last of them.
        first_error: One of the errors.
    """

    calls: int
    errors: int
    last: float
    spread: float
    first_error: str


class Fleet:
    """One crew, which works with every store in turns.

    Args:
        size: How many processes.
        stack: Ends it.
    """

    def __init__(self, size: int, stack: ExitStack) -> None:
        self._crew = stack.enter_context(Crew(size))
        self._zoho = stack.enter_context(FakeZoho(expires_in=3600))
        self._zoho.faults.set(latency=LATENCY)
        self._resources = stack.enter_context(tempfile.TemporaryDirectory(prefix="zoho-bench-"))

    def storm(self, rival: Rival) -> Moment:
        """Have all processes ask for one token at the end of its access token."""
        rival.load(OTHERS)
        token, opener = self._log_in(), rival.opener()
        opener().save_token(token)
        self._crew.do(tasks.boot_on, opener, self._zoho.url, self._resources, {"id": token.get_id()})
        token.set_expires_in(str(int(time.time() * 1000)))
        rival.expire(token)
        return self._moment(token.get_refresh_token(), tasks.ask)

    def boot(self, rival: Rival) -> Moment:
        """Have all processes start the SDK with the same new grant code."""
        rival.load(OTHERS)
        code = self._zoho.issue_grant_code()
        application = {
            "client_id": self._zoho.client_id,
            "client_secret": self._zoho.client_secret,
            "redirect_url": self._zoho.redirect_uri,
            "grant_token": code,
        }
        return self._moment(code, tasks.boot_on, rival.opener(), self._zoho.url, self._resources, application)

    def _log_in(self) -> Any:
        """Return a token of a new user's, who has nothing in common with the others."""
        token = token_of(self._zoho, 3600)
        token.set_user_signature(UserSignature("fleet@example.com:60012345678"))
        token.set_grant_token(secret("fleet's grant", 0))
        return token

    def _moment(self, grant: str, task: object, *args: object) -> Moment:
        before, began = self._requests(grant), time.monotonic() + TOGETHER
        replies: list[Reply] = self._crew.attempt(task, *args)  # type: ignore[arg-type]
        ended = [reply.ended_at for reply in replies if not reply.error] or [reply.ended_at for reply in replies]
        errors = [reply.error for reply in replies if reply.error]
        calls = self._requests(grant) - before
        last, spread = max(ended) - began, max(ended) - min(ended)
        return Moment(calls, len(errors), last, spread, errors[0] if errors else "")

    def _requests(self, grant: str) -> int:
        seen = self._zoho.traffic(grant)
        return seen.exchanges + seen.refreshes + seen.throttled + seen.rejected


def measure(site: Site, names: Collection[str], quick: bool) -> Iterator[Comparison]:
    """Measure every store that is its own, in turns.

    Args:
        site: Where they are.
        names: Which of :data:`GROUPS`.
        quick: Fewer processes and rounds.
    """
    size, rounds = (4, 1) if quick else (16, 5)
    kinds = [kind for kind in RIVALS if kind.holds_tokens]
    rivals = [site.shared[kind] for kind in kinds if kind in site.shared]
    storms: dict[str, list[Moment]] = {rival.name: [] for rival in rivals}
    boots: dict[str, list[Moment]] = {rival.name: [] for rival in rivals}
    groups = {GROUPS[name] for name in names}
    with ExitStack() as stack:
        fleet = Fleet(size, stack)
        for _ in range(rounds):
            for rival in rivals:
                if "compare_storm" in groups:
                    storms[rival.name].append(fleet.storm(rival))
                if "compare_boot" in groups:
                    boots[rival.name].append(fleet.boot(rival))
    for name in names:
        moments = storms if GROUPS[name] == "compare_storm" else boots
        title, unit = TITLES[name]
        series = [_series(name, kind, moments, size) for kind in kinds]
        yield Comparison(name, GROUPS[name], title.format(size=size), unit, series)


def _series(name: str, kind: type[Rival], moments: dict[str, list[Moment]], size: int) -> Series:
    if kind.name not in moments:
        return Series(kind.name, left_out=kind.is_there())
    if name == "wake" and not kind.waits:
        return Series(kind.name, left_out=NO_WAIT)
    values, ours = (_values(name, moments[each.name], size) for each in (kind, RIVALS[0]))
    ratio = None if kind is RIVALS[0] or name in ("up", "exchanges") else ratios(values, ours)
    failed = sum(moment.errors for moment in moments[kind.name]) if name == "calls" else 0
    note = f"{failed} of {size * len(values)} processes got an error" if failed else ""
    return Series(kind.name, [Point(Spread.of(values), None, ratio)], note)


def _values(name: str, moments: list[Moment], size: int) -> list[float]:
    return {
        "calls": [float(moment.calls) for moment in moments],
        "storm": [moment.last * 1000 for moment in moments],
        "wake": [moment.spread * 1000 for moment in moments],
        "up": [float(size - moment.errors) for moment in moments],
        "exchanges": [float(moment.calls) for moment in moments],
    }[name]
