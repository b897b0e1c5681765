"""The events of a namespace, as they are read: what has happened to which record, by whom and when.

Whoever can write to Redis can write anything into the stream. So an :class:`Event` holds text that can be shown to a
terminal as it is, whatever was written; who it says it was by is what that process has called itself, and no proof.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, NamedTuple

import redis

from zoho_token_store.continuity import START, Outcome, judge, number, pairs
from zoho_token_store.errors import InvalidToken, StoreUnavailable
from zoho_token_store.keyspace import is_id
from zoho_token_store.link import BLOCK_MS, Line, passing

LONGEST = 128
"""Characters of one text that are shown: as many as a record id may have."""

BATCH = 1000
"""Most events read at a time. Fewer than are kept: an answer that is not full has left out none by trimming."""

MOST_OTHERS = 100
"""Most further records of one event that are read."""

DELETIONS = ("deleted", "revoked", "cleared")
"""Names of events after which a record is no more."""

LAST = (1 << 64) - 1
"""The greatest number that an id may have behind its milliseconds."""

_ID = re.compile(r"\d{1,19}-\d{1,20}", re.ASCII)


class Event(NamedTuple):
    """One event. Each text is of printable ASCII, and "" if the entry says nothing of it.

    Attributes:
        id: Its place in the stream, ``<milliseconds>-<number>``, by Redis's clock; those that come later are greater.
        name: What has happened: ``saved``, ``refreshed``, ``deleted``, ``revoked``, ``invalidated``, ``rejected``,
            ``appealed``, ``merged``, ``restored``, ``cleared`` (deleted with all others), or what a later release
            calls it.
        record_id: To which record.
        by: Who has done it, by its label; releases before 0.2 do not say.
        into: The record that a merged one leads to.
        names_changed: Whether the record got a user name.
        others: Further records to which the same has happened in the same moment.
    """

    id: str
    name: str
    record_id: str
    by: str
    into: str
    names_changed: bool
    others: tuple[str, ...] = ()

    @property
    def at_ms(self) -> int:
        """When it happened, milliseconds since the epoch by Redis's clock."""
        return int(self.id.partition("-")[0])

    def each(self) -> Iterator[Event]:
        """Yield it for each of its records by itself."""
        for record_id in (self.record_id, *self.others):
            yield self._replace(record_id=record_id, others=())


def read_event(event_id: str, fields: Sequence[str]) -> Event:
    """Return an entry of the stream, whatever stands in it.

    Args:
        event_id: Its id, which Redis has checked.
        fields: Names and values in turns.
    """
    if not _ID.fullmatch(event_id):
        raise ValueError
    told = dict(zip(fields[::2], fields[1::2], strict=False))
    name, record_id, into = (_plain(told.get(field, "")).replace(" ", r"\x20") for field in ("event", "id", "into"))
    others = filter(is_id, told.get("others", "").split(" ", MOST_OTHERS)[:MOST_OTHERS])
    return Event(event_id, name, record_id, _plain(told.get("by", "")), into, "names" in told, tuple(others))


def _plain(text: str) -> str:
    """Return a text with escapes in the place of whatever a terminal might act upon, and no longer than is shown."""
    if len(text) <= LONGEST and text.isascii() and text.isprintable():
        return text
    escaped = text[: LONGEST + 1].encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= LONGEST else f"{escaped[:LONGEST]}..."


class EventStream:
    """The stream itself, for whoever follows it; what goes wrong on the way is raised as it is.

    Args:
        line: The way to Redis.
        key: The stream's key.
    """

    def __init__(self, line: Line, key: str) -> None:
        self._line = line
        self._key = key

    def read(self, after: str, wait_ms: int = 0) -> list[Event]:
        """Return the next events after an id, oldest first, :data:`BATCH` at most; waits if there is none yet."""
        blocking = ("BLOCK", min(wait_ms, BLOCK_MS)) if wait_ms > 0 else ()
        reply = self._line.ask("XREAD", "COUNT", BATCH, *blocking, "STREAMS", self._key, after)
        with _making_sense():
            return [read_event(event_id, fields) for event_id, fields in pairs(reply)[0][1]] if reply else []

    def last_id(self) -> str:
        """Return the id of the last event that there was."""
        stream = self._describe()
        with _making_sense():
            return _last(stream)

    def compare(self, seen: str) -> tuple[Outcome, str]:
        """Return what has become of an event that was seen, and with it of those after it, and the last event's id."""
        if self._line.ask("XRANGE", self._key, seen, seen, "COUNT", 1):
            return "intact", seen
        stream = self._describe()
        with _making_sense():
            return judge(seen, stream), _last(stream)

    def now_ms(self) -> int:
        """Return Redis's time, ms."""
        reply = self._line.ask("TIME")
        with _making_sense():
            seconds, micros = reply
            return int(seconds) * 1000 + int(micros) // 1000

    def _describe(self) -> dict[str, Any] | None:
        """Return what Redis says of the stream; None if there is none."""
        try:
            reply = self._line.ask("XINFO", "STREAM", self._key)
        except redis.ResponseError as error:
            if "no such key" in str(error):
                return None
            raise
        with _making_sense():
            return dict(pairs(reply))


@contextmanager
def _making_sense() -> Iterator[None]:
    """Have what makes no sense be an error of the connection: something else answers in Redis's place."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise redis.InvalidResponse(type(error).__name__) from None


def _last(stream: dict[str, Any] | None) -> str:
    last = stream["last-generated-id"] if stream else START
    if not _ID.fullmatch(last):
        raise ValueError
    return str(last)


Gap = Literal["missed", "lost"] | None


class Batch(NamedTuple):
    """The next events.

    Attributes:
        events: Oldest first; none if nothing has happened meanwhile.
        gap: ``"missed"`` if some before these were cut away before they could be read, ``"lost"`` if Redis has lost
            data and its events begin anew; else None.
    """

    events: list[Event]
    gap: Gap


class EventReader:
    """Reads a namespace's events from some point on. For one thread; made by :meth:`RedisTokenStore.events`.

    Args:
        line: A connection of its own.
        key: The stream's key.
        since: See :meth:`RedisTokenStore.events`.
    """

    def __init__(self, line: Line, key: str, since: str | float | None) -> None:
        self._line = line
        self._stream = EventStream(line, key)
        self._seconds, self._position, self._seen = _start(since)

    @property
    def position(self) -> str:
        """The id of the last event that was read, or after which it begins."""
        return self._position

    def read(self, wait: float = 0.0) -> Batch:
        """Return the next events.

        Args:
            wait: How long to wait for one if there is none, seconds; at most 1.

        Raises:
            StoreUnavailable: Redis does not answer. The next call goes on where the last one ended.
        """
        try:
            return self._read(int(wait * 1000))
        except (redis.RedisError, OSError) as error:
            raise StoreUnavailable("the events cannot be read", cause=error, passing=passing(error)) from error

    def close(self) -> None:
        """Close the connection."""
        self._line.close()

    def __enter__(self) -> EventReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, wait_ms: int) -> Batch:
        if self._seconds is not None:
            # An id of the millisecond before, so that none is left out that has happened at that time.
            self._position = f"{max(1, self._stream.now_ms() - int(self._seconds * 1000)) - 1}-{LAST}"
            self._seconds = None
        events = self._stream.read(self._position, wait_ms)
        # After reading: what is there now was there when the events were read.
        outcome, last = self._stream.compare(self._position)
        # At the position there may never have been an event: then its absence says nothing, a cut after it does.
        gap: Gap = outcome if outcome == "missed" or (outcome == "lost" and self._seen) else None
        if events:
            self._position, self._seen = events[-1].id, True
        elif gap:
            self._position, self._seen = min(self._position, last, key=number), False
        return Batch(events, gap)


class _Start(NamedTuple):
    """Where a reader begins.

    Attributes:
        seconds: How long ago; None if the position says it.
        position: After which event.
        seen: Whether there has been an event at the position.
    """

    seconds: float | None
    position: str
    seen: bool


def _start(since: str | float | None) -> _Start:
    if since is None:
        return _Start(None, START, True)
    if isinstance(since, (int, float)) and not isinstance(since, bool) and 0 <= since < 1e10:
        return _Start(float(since), START, False)
    if isinstance(since, str) and _ID.fullmatch(since) and number(since)[1] <= LAST:
        return _Start(None, since, True)
    raise InvalidToken("since", "must be an event's id such as 1700000000000-0, seconds from 0 on, or None")
