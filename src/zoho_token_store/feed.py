"""The reader of a namespace's event stream, which keeps the near cache right.

One thread of each process follows the stream over a connection of its own. When the connection breaks it tells the
cache at once, and tries to reconnect until it succeeds; then it compares the stream with what it has seen of it:

* The last event that it has seen is still there: it reads on. So after a restart with all data, too.
* That event was trimmed away, and perhaps others after it that it has not seen: the cache is emptied.
* That event is not there, though nothing was trimmed: Redis has lost data. It came back empty or with an old dump, or
  somebody has emptied it. What the cache holds is handed over, to be offered back, and then the cache is emptied.

It compares once a second while it is connected, too, since reading alone does not show that Redis was emptied.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import redis

from zoho_token_store.breaker import Breaker
from zoho_token_store.clock import SystemClock
from zoho_token_store.continuity import START, Parting, Server, ended, is_witness, number, refused
from zoho_token_store.errors import StoreClosed, StoreUnavailable
from zoho_token_store.events import BATCH, DELETIONS, EventStream
from zoho_token_store.link import BLOCK_MS, RedisLink, passing, read_info
from zoho_token_store.near import Near
from zoho_token_store.record import is_number

log = logging.getLogger("zoho_token_store")

V = TypeVar("V")

COMPARE_EVERY = 1.0
"""Seconds between comparisons while connected."""

ATTENTIVE = 3.0
"""A process that has not asked for events for longer than this does not know what Redis held at its end, seconds."""

AT_ONCE = 0.5
"""How soon after a loss a refused connection shows that the server has ended, seconds."""

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class EventFeed(Generic[V]):
    """Follows the event stream in the background, from the first :meth:`start`.

    Args:
        link: Whose connection settings are used.
        stream: The key of the event stream.
        on_answer: Called in the reader's thread when Redis has answered, about once a second; it must not raise, nor
            refer to the store.
        near: What is kept right.
        on_loss: Called in the reader's thread with what ``near`` held when Redis lost data, and whether this process is
            a witness: it was listening until the server's end, so that no deletion can have escaped it. It must not
            refer to the store, which would then never be collected.
        breaker: Told whether Redis can be reached.
        clock: This machine's clocks.

    Attributes:
        counts: How often Redis was lost, events were missed, and data was lost.
    """

    def __init__(
        self,
        link: RedisLink,
        stream: str,
        on_answer: Callable[[], None],
        near: Near[V],
        on_loss: Callable[[list[V], bool], None],
        breaker: Breaker,
        clock: SystemClock,
    ) -> None:
        self._line = link.line()
        self._stream = EventStream(self._line, stream)
        self._on_answer = on_answer
        self._near = near
        self._on_loss = on_loss
        self._breaker = breaker
        self._clock = clock
        self._closed = threading.Event()
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start anew: the thread and its connection stay with the parent, and so does what it has seen."""
        was_closed = self._closed.is_set()
        self._closed, self._lock = threading.Event(), threading.Lock()
        if was_closed:
            self._closed.set()
        self._line.reset_after_fork()
        self._thread: threading.Thread | None = None
        self._position: str | None = None  # the last event that was seen to
        self._compared = START  # the position at the last comparison
        self._compared_at = self._asked = 0.0
        self._server = Server(None, 0)
        self._parting: Parting | None = None
        self._owed: bool | None = None  # a loss that is not handed over yet: whether this process is a witness
        self._pause = 0.0
        self.counts = {"disconnects": 0, "missed": 0, "losses": 0}

    def start(self) -> None:
        """Start to follow the stream, unless that has been done; returns at once."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                thread = threading.Thread(target=self._run, name="zoho-token-store-events", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # no room for a thread: nothing is held then, and Redis is asked
                    log.warning("the near cache cannot start its thread: %s", error)
                else:
                    self._thread = thread

    def close(self) -> None:
        """End the thread, without waiting for it, and empty the cache."""
        self._closed.set()
        self._near.lost()
        self._near.empty()
        self._line.close()

    def _run(self) -> None:
        closed = self._closed
        while not closed.is_set() and closed is self._closed:  # (a greenlet outlives a fork)
            try:
                self._connect()
                while not closed.is_set() and closed is self._closed:
                    self._follow()
            except StoreClosed:
                break
            except Exception as error:
                if closed.is_set():  # this is how a blocked read ends
                    break
                self._part(error)
                closed.wait(self._pause * (0.5 + random.random() / 2))  # noqa: S311 - spreads load, guards nothing
                self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._near.lost()

    def _part(self, error: Exception) -> None:
        """Take note of an error: the loss of the connection, or a vain attempt to reconnect."""
        self._near.lost()
        if passing(error):
            self._breaker.missed()
        now = self._clock.monotonic()
        if not isinstance(error, (redis.RedisError, OSError, StoreUnavailable)):
            log.error("the near cache's reader goes on after an error", exc_info=error)
        if self._parting is None:
            listening = self._position is not None and now - self._asked <= ATTENTIVE
            self._parting = Parting(now, listening and ended(error))
            self.counts["disconnects"] += self._position is not None
            log.warning("the near cache is without events (%s) and tries to reconnect", type(error).__name__)
        elif now - self._parting.at <= AT_ONCE:
            self._parting = self._parting._replace(refused=self._parting.refused or refused(error))

    def _connect(self) -> None:
        """Connect, and see to everything that has happened before the cache is told."""
        asked = self._clock.monotonic()
        server = self._who_answers()
        if self._position is None:
            self._position = self._stream.last_id()
        else:
            away = asked - self._parting.at if self._parting else 0
            self._compare(self._position, is_witness(self._parting, self._server, server, away))
            self._catch_up()
        self._compared, self._compared_at = self._position, asked
        if self._parting:
            log.info("the near cache has events again")
        self._server, self._parting, self._asked = server, None, asked
        self._hear(asked)

    def _follow(self) -> None:
        """Wait for events and see to them."""
        asked = self._clock.monotonic()
        listening = asked - self._asked <= ATTENTIVE
        seen = self._read(BLOCK_MS)
        if seen in (0, BATCH) or asked - self._compared_at >= COMPARE_EVERY:
            self._compare(self._compared, listening)
            self._catch_up()
            self._compared, self._compared_at = self._position or START, asked
        self._asked, self._pause = asked, 0.0
        self._hear(asked)  # also if a caller, but not this reader, has found Redis away

    def _hear(self, asked: float) -> None:
        """Tell the others that Redis has answered."""
        self._breaker.reached()
        self._near.connected(asked)
        self._on_answer()

    def _catch_up(self) -> None:
        """See to all events that there are, then hand over what Redis has lost."""
        while self._owed is not None or not self._near.is_connected:
            before = self._position or START
            if self._read() < BATCH:
                break
            self._compare(before, witness=False)
        if self._owed is None:
            return
        values, witness = self._near.entries(), self._owed
        try:
            self._on_loss(values, witness)
        except StoreUnavailable:
            raise  # a server that has just started is often not ready yet; it is offered again
        except Exception:
            log.exception("the near cache could not offer back what Redis has lost")
        self._owed = None
        self._near.empty()
        self.counts["losses"] += 1

    def _read(self, wait_ms: int = 0) -> int:
        """See to the next events; return how many there were."""
        events = self._stream.read(self._position or START, wait_ms)
        for event in events:
            if event.names_changed:
                self._near.drop_selectors()
            forget = self._near.end if event.name in DELETIONS else self._near.drop
            for record_id in (event.record_id, *event.others):
                forget(record_id)
            self._position = event.id
        return len(events)

    def _compare(self, seen: str, witness: bool) -> None:
        """Compare the stream with what was seen of it, and empty the cache or note the loss.

        Args:
            seen: The last event seen at an earlier time.
            witness: Whether this process is a witness if data was lost.
        """
        outcome, last = self._stream.compare(seen)
        if outcome == "missed":
            self.counts["missed"] += 1
            self._near.empty()
            self._position = last  # what came before cannot matter any more
            log.warning("the near cache has missed events and starts empty")
        elif outcome == "lost":
            self._near.lost()
            self._owed = witness if self._owed is None else self._owed and witness
            self._position = min(self._position or START, last, key=number)  # the clock may have gone back
            log.warning("Redis has lost data that the near cache has seen")

    def _who_answers(self) -> Server:
        try:
            told = read_info(self._line.ask("INFO", "server"))
        except redis.ResponseError:  # a managed service may not tell
            return Server(None, 0)
        uptime = told.get("uptime_in_seconds", "")
        return Server(told.get("run_id"), int(uptime) if is_number(uptime) else 0)
