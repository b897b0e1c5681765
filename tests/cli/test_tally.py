"""How workers' reports add up."""

from __future__ import annotations

from typing import Any

from zoho_token_store.cli.demo.tally import STALE, FleetTally, WorkerTally


def tally_of(*events: dict[str, Any]) -> FleetTally:
    """Return the tally of one worker's events."""
    tally = FleetTally([WorkerTally()])
    for event in events:
        tally.take(0, event)
    return tally


def boot(error: str | None = None) -> dict[str, Any]:
    """Make the report of a boot."""
    return {"event": "boot", "seconds": 0.5, "error": error}


def call(status: int | None, error: str | None, seconds: float = 0.1) -> dict[str, Any]:
    """Make the report of a call."""
    return {"event": "call", "seconds": seconds, "status": status, "error": error}


def test_only_the_first_boot_is_at_once() -> None:
    """A worker that comes up at its second attempt is up, was not at once, and its first attempt is an error."""
    tally = tally_of({"event": "ready"}, boot("invalid_code"), boot())
    assert (tally.up_at_once(), tally.up(), tally.failed()) == (0, 1, 1)
    assert tally_of(boot(), boot("x")).up_at_once() == 1


def test_calls_by_how_they_ended() -> None:
    """Success is a call, a 401 is left to the stand-in's count, everything else is an error; the slowest counts all."""
    tally = tally_of(boot(), call(200, None), call(401, "HTTP 401"), call(500, "HTTP 500"), call(None, "KeyError", 3.0))
    assert (tally.calls(), tally.failed(), tally.slowest_call) == (1, 2, 3.0)


def test_what_the_sdk_swallows_is_an_error() -> None:
    """A save that failed without an exception counts, and so does a worker that died."""
    tally = tally_of(boot(), {"event": "swallowed", "error": "swallowed by the SDK: OSError"})
    tally.fail(0, "the worker died: no word")
    assert tally.failed() == 2


def test_states() -> None:
    """A worker's state follows its last report, and silence is waiting."""
    worker = WorkerTally()
    seen = [worker.state(0)]
    for event in ({"event": "ready"}, boot("x"), boot(), call(500, "HTTP 500"), call(200, None)):
        tally = FleetTally([worker])
        tally.take(0, event)
        seen.append(worker.state(worker.heard_at))
    assert seen == ["starting", "booting", "failing", "working", "failing", "working"]
    assert worker.state(worker.heard_at + STALE + 1) == "waiting"
    FleetTally([worker]).take(0, {"event": "end", "statistics": {"saves": 2}})
    assert worker.state(worker.heard_at + STALE + 1) == "working"
