"""A fleet at one moment: at the expiry of an access token, and at a boot on one grant code."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import tasks
from benchmarks.crew import Crew, Reply
from benchmarks.figure import Figure, Spread
from benchmarks.file_store import write_rows
from benchmarks.server import BenchmarkServer, open_server
from benchmarks.tokens import expires_in, token_of
from zoho_token_store.options import SDK_LEAST, USABLE
from zoho_token_store.testing import FakeZoho

NAMES = ("refreshes", "boot")
LIFE = 12
"""Life of an access token, seconds. The SDK refreshes when 5 are left; the store, whose margin is half of it, at 6."""
LATE = 0.2
"""Seconds after an access token is due at which the fleet calls."""
ROW_ID = "1"
ACCOUNTS_LATENCY = 0.25
"""Seconds that a token request takes."""


class Storm(NamedTuple):
    """What one moment came to.

    Attributes:
        calls: Token requests for the grant, refused ones too.
        errors: Workers that got an error.
        rejected: CRM requests whose access token was refused.
        first_error: One of them.
    """

    calls: int
    errors: int
    rejected: int
    first_error: str


class Fleet:
    """Workers on one store, and a Zoho of their own.

    Args:
        kind: ``redis`` or ``file``.
        size: How many workers.
        place: URL of Redis, or a folder.
        stack: Ends them.
    """

    def __init__(self, kind: str, size: int, place: str, stack: ExitStack) -> None:
        self.kind = kind
        self._place = place
        self._resources = stack.enter_context(tempfile.TemporaryDirectory(prefix="zoho-bench-"))
        self.zoho = stack.enter_context(FakeZoho(expires_in=LIFE))
        self.zoho.faults.set(latency=ACCOUNTS_LATENCY)
        self.crew = stack.enter_context(Crew(size))

    def stage(self, name: str) -> tasks.Stage:
        """Return an empty namespace, or a file that is not there yet."""
        place = self._place if self.kind == "redis" else f"{self._place}/{name}.csv"
        return tasks.Stage(self.kind, place, name, self.zoho.url, self._resources)

    def storm(self, grant: str, task: Any, *args: Any) -> Storm:
        """Have all workers carry out a task at once, and count what it cost."""
        before, rejected = self._requests(grant), self.zoho.counters.crm_rejected
        replies: list[Reply] = self.crew.attempt(task, *args)
        errors = [reply.error.splitlines()[0] for reply in replies if reply.error]  # the rest is of this machine
        calls = self._requests(grant) - before
        return Storm(calls, len(errors), self.zoho.counters.crm_rejected - rejected, errors[0] if errors else "")

    def _requests(self, grant: str) -> int:
        seen = self.zoho.traffic(grant)
        return seen.exchanges + seen.refreshes + seen.throttled + seen.rejected

    def log_in(self) -> Any:
        """Return a token as an earlier run would have left it: with a new grant of Zoho's, and just refreshed."""
        return token_of(self.zoho, LIFE)


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure these figures, ours and the SDK's FileStore in turns.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer processes and rounds.
    """
    ours, theirs = (6, 3) if quick else (32, 16)
    with open_server() as server, ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="zoho-bench-"))
        fleets = Fleet("redis", ours, server.url, stack), Fleet("file", theirs, folder, stack)
        if "refreshes" in names:
            yield _refreshes(server, *fleets, rounds=1 if quick else 4)
        if "boot" in names:
            yield _boots(*fleets, rounds=1 if quick else 4)


def _refreshes(server: BenchmarkServer, ours: Fleet, theirs: Fleet, rounds: int) -> Figure:
    token = ours.log_in()
    file_stage = theirs.stage("refreshes")
    with server.store("refreshes") as store:
        store.save_token(token)
        ours.crew.do(tasks.boot, ours.stage("refreshes"), {"id": token.get_id()})
        _boot_on_row(theirs, file_stage)
        storms, file_storms = [], []
        for _ in range(rounds):
            row = theirs.log_in()  # a grant of its own for each round: a storm leaves neither the row nor the quota
            _write_row(file_stage, row)
            _sleep_until(_expiry(store.get(token.get_id())) - max(USABLE, LIFE / 2) + LATE)
            storms.append(ours.storm(token.get_refresh_token(), tasks.call))
            _sleep_until(_expiry(row) - SDK_LEAST + LATE)
            file_storms.append(theirs.storm(row.get_refresh_token(), tasks.call))
    spread = Spread.of([storm.calls for storm in storms])
    errors, rejected = sum(storm.errors for storm in storms), sum(storm.rejected for storm in storms)
    return Figure(
        "refreshes",
        f"refresh calls per expiry, {ours.crew.size} processes",
        "1.00, no error, nothing rejected by CRM",
        spread,
        {storm.calls for storm in storms} == {1} and errors == rejected == 0,
        note=f"{rounds} expiries, {errors} errors, {rejected} rejected by CRM",
        beside=_file_refreshes(theirs.crew.size, file_storms),
        details=_details(storms, file_storms),
    )


def _boot_on_row(fleet: Fleet, stage: tasks.Stage) -> None:
    """Boot FileStore's fleet on a file with one row that is good for an hour."""
    token = fleet.log_in()
    token.set_expires_in(expires_in(3600))
    _write_row(stage, token)
    fleet.crew.do(tasks.boot, stage, {"id": ROW_ID})


def _write_row(stage: tasks.Stage, token: Any) -> None:
    token.set_id(ROW_ID)
    write_rows(Path(stage.place), [token])


def _file_refreshes(size: int, storms: list[Storm]) -> str:
    calls = Spread.of([storm.calls for storm in storms]).text(1)
    errors = Spread.of([storm.errors for storm in storms]).text(0)
    return f"{calls} at {size} processes, errors in {errors} of them"


def _boots(ours: Fleet, theirs: Fleet, rounds: int) -> Figure:
    storms: dict[str, list[Storm]] = {"redis": [], "file": []}
    for turn in range(rounds):
        for fleet in (ours, theirs):
            code = fleet.zoho.issue_grant_code()
            token = {
                "client_id": fleet.zoho.client_id,
                "client_secret": fleet.zoho.client_secret,
                "redirect_url": fleet.zoho.redirect_uri,
                "grant_token": code,
            }
            storms[fleet.kind].append(fleet.storm(code, tasks.boot, fleet.stage(f"boot-{turn}"), token))
    up = [ours.crew.size - storm.errors for storm in storms["redis"]]
    file_up = Spread.of([theirs.crew.size - storm.errors for storm in storms["file"]])
    exchanges = Spread.of([storm.calls for storm in storms["redis"]])
    return Figure(
        "boot",
        f"workers up after a boot on one grant code, of {ours.crew.size}",
        f"{ours.crew.size}, one exchange",
        Spread.of(up),
        set(up) == {ours.crew.size} and {storm.calls for storm in storms["redis"]} == {1},
        digits=0,
        note=f"{rounds} boots, {exchanges.text(0)} exchanges each",
        beside=f"{file_up.text(0)} of {theirs.crew.size}",
        details=_details(storms["redis"], storms["file"]),
    )


def _details(ours: list[Storm], theirs: list[Storm]) -> dict[str, Any]:
    return {"ours": [storm._asdict() for storm in ours], "file_store": [storm._asdict() for storm in theirs]}


def _expiry(token: Any) -> float:
    """Return when a token's access token expires, seconds since the epoch."""
    return int(token.get_expires_in()) / 1000


def _sleep_until(moment: float) -> None:
    """Sleep until a time of day, seconds since the epoch."""
    time.sleep(max(0.0, moment - time.time()))
