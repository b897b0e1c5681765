"""What the state of an event stream says about the time when nobody listened: rules without I/O."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import redis

from zoho_token_store.commit import EVENTS_KEPT

START = "0-0"
"""The position before the first event."""

Outcome = Literal["intact", "missed", "lost"]
"""What has become of the events after one that was seen: all are there, some were cut away, or Redis has lost data."""


class Server(NamedTuple):
    """Which process answers.

    Attributes:
        run_id: Its random name; None if this user may not know.
        uptime: How long it has been running, whole seconds.
    """

    run_id: str | None
    uptime: int


class Parting(NamedTuple):
    """How the connection was lost.

    Attributes:
        at: When, by the monotonic clock.
        ended: Whether the other side ended it, while this process was listening.
        refused: Whether nobody listened at its address right after that.
    """

    at: float
    ended: bool
    refused: bool = False


def is_witness(parting: Parting | None, before: Server, now: Server, away: float) -> bool:
    """Return whether this process listened until the end of the server that it was connected to.

    In doubt it did not, since what only looks lost may have been deleted in the meantime:

    * The other side ended the connection, by EOF or reset and not by silence, while this process was waiting for
      events. A server that is about to die first sends what it has acknowledged; what happened in the instant
      between two questions of this process it cannot know.
    * The server has ended, and not only the way to it: right after that nobody listened at its address, or what
      answers now was started within 2 s of it (``INFO`` counts whole seconds).
    * What answers now is another process. The same one without its data was emptied while this process was away.

    Args:
        parting: How the connection was lost.
        before: The server that it led to.
        now: The one that answers now.
        away: Seconds since the parting.
    """
    if parting is None or not parting.ended:
        return False
    if None in (before.run_id, now.run_id) or before.run_id == now.run_id:
        return False
    return parting.refused or abs(away - now.uptime) <= 2


def judge(seen: str, stream: dict[str, Any] | None) -> Outcome:
    """Return what it means that an event is not in the stream any more."""
    if seen == START:
        return "intact"  # nothing was seen, and all that there is will be read
    if stream is None or number(stream["last-generated-id"]) < number(seen):
        return "lost"
    first = stream["first-entry"]
    if first is None and stream["last-generated-id"] == seen:
        return "intact"
    if first is not None and number(first[0]) < number(seen):
        return "lost"  # what came before it is there: an old dump, and written to since
    # Trimmed away, or a new stream that others were the first to write to. Before 7.0 Redis does not say how many there
    # were; but it trims none of fewer than are kept.
    length = stream["length"]
    whole = stream["entries-added"] == length if "entries-added" in stream else length < EVENTS_KEPT
    return "lost" if whole else "missed"


def pairs(reply: Any) -> list[tuple[str, Any]]:
    """Return the pairs of a map, however the protocol's version writes it."""
    if isinstance(reply, dict):
        return list(reply.items())
    if isinstance(reply[0], list):
        return [(name, value) for name, value in reply]
    return list(zip(reply[::2], reply[1::2], strict=True))


def number(event_id: str) -> tuple[int, ...]:
    """Return an event's id in a form that can be compared."""
    return tuple(map(int, event_id.split("-")))


def os_error(error: BaseException) -> OSError | None:
    """Return what the operating system said; redis-py wraps it."""
    chain: BaseException | None = error
    while chain is not None and not isinstance(chain, OSError):
        chain = chain.__cause__ or chain.__context__
    return chain


def ended(error: Exception) -> bool:
    """Return whether the other side ended the connection: EOF, or a reset."""
    if type(error) is not redis.ConnectionError and not isinstance(error, OSError):
        return False
    cause = os_error(error)
    return cause is None or isinstance(cause, (ConnectionResetError, BrokenPipeError))


def refused(error: Exception) -> bool:
    """Return whether nobody listens at the server's address."""
    return isinstance(os_error(error), (ConnectionRefusedError, FileNotFoundError))
