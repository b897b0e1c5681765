"""What a worker tells a test: values, errors and times that go from process to process."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple


class Failure(NamedTuple):
    """An error, as it is told to another process.

    Attributes:
        kind: Name of its class.
        text: Its message.
        data: The plain values that it carries, as ``retry_at``.
        trace: Where it was raised.
    """

    kind: str
    text: str
    data: dict[str, Any]
    trace: str


class Reply(NamedTuple):
    """The outcome of a command.

    Attributes:
        value: What it returned.
        failure: What it raised.
        seconds: How long it took.
    """

    value: Any
    failure: Failure | None
    seconds: float


class Loop(NamedTuple):
    """What a worker that calls CRM again and again has seen.

    Attributes:
        calls: Those that went well.
        failures: Those that did not.
        slowest: Longest call, seconds.
    """

    calls: int
    failures: list[Failure]
    slowest: float


class Trouble(NamedTuple):
    """A call that has failed.

    Attributes:
        began: When, by the machine's monotonic clock.
        ended: The same.
        failure: What it raised.
    """

    began: float
    ended: float
    failure: Failure


class Toil(NamedTuple):
    """What a worker that saves, refreshes and deletes has met.

    Attributes:
        calls: How many there were.
        troubles: Those that failed.
        went_well: When the last that did not had ended.
    """

    calls: int
    troubles: list[Trouble]
    went_well: float


def attempt(work: Callable[..., Any], *args: Any, **options: Any) -> Reply:
    """Carry out something; nothing escapes."""
    started = time.monotonic()
    value, failure = None, None
    try:
        value = work(*args, **options)
    except Exception as error:
        data = {name: found for name, found in vars(error).items() if isinstance(found, (int, float, str))}
        failure = Failure(type(error).__name__, f"{error}", data, traceback.format_exc())
    return Reply(value, failure, time.monotonic() - started)
