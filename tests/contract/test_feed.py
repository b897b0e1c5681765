"""The reader of the event stream, on each back end: what the near cache is told, and when."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from proxy import FaultyProxy
from servers import Backend, Server
from zoho_token_store import events, feed, link
from zoho_token_store.breaker import Breaker
from zoho_token_store.clock import SystemClock
from zoho_token_store.commit import EVENTS_KEPT
from zoho_token_store.events import BATCH
from zoho_token_store.feed import EventFeed
from zoho_token_store.link import RedisLink
from zoho_token_store.near import Near
from zoho_token_store.stats import Stats
from zoho_token_store.topology import topology_of

STREAM = "zts:{test}:events"
USER = ("user", "digest")
pytestmark = pytest.mark.redis

WaitFor = Callable[[Callable[[], Any]], Any]


class Reader:
    """A feed with its cache, and what it has handed over."""

    def __init__(self, client: redis.Redis, stream: str = STREAM) -> None:
        clock = SystemClock()
        self.near: Near[str] = Near(1000, 3600.0, 300.0, clock)
        self.losses: list[tuple[list[str], bool]] = []
        self.link = RedisLink(topology_of(client).route(STREAM), 2.0, clock, Stats())
        self.feed = EventFeed(self.link, stream, lambda: None, self.near, self.note, Breaker(clock), clock)

    def note(self, values: list[str], witness: bool) -> None:
        """Take note of a loss; nothing is forgotten yet."""
        assert len(self.near) >= len(values)
        self.losses.append((sorted(values), witness))

    def hold(self, *record_ids: str) -> None:
        """Put something in for each of these ids."""
        for record_id in record_ids:
            self.near.put(record_id, record_id, f"token {record_id}", 3000, 3000, self.near.ticket())
            self.near.put((*USER, record_id), record_id, f"token {record_id}", 3000, 3000, self.near.ticket())
            assert self.near.find(record_id)

    @property
    def is_connected(self) -> bool:
        """Whether the cache takes entries and knows of every event."""
        return self.near.is_connected


@pytest.fixture
def namespace() -> str:
    """Name the namespace of the stream, for the back end that lets its clients into one only."""
    return "test"


@pytest.fixture
def start_reader(wait_for: WaitFor) -> Iterator[Callable[..., Reader]]:
    """Start readers that have seen at least one event and end with the test."""
    started: list[Reader] = []

    def start(client: redis.Redis, **options: Any) -> Reader:
        reader = Reader(client, **options)
        started.append(reader)
        reader.feed.start()
        wait_for(lambda: reader.is_connected)
        return reader

    yield start
    for reader in started:
        reader.feed.close()
        reader.link.close()
        if reader.feed._thread:
            reader.feed._thread.join(5)
            assert not reader.feed._thread.is_alive()


@pytest.fixture
def reader(start_reader: Callable[..., Reader], backend: Backend, raw: redis.Redis) -> Reader:
    """Give a connected reader that holds 7 and 8; some events were there before."""
    happen(raw, "saved", "1", "2", "3")
    reader = start_reader(backend.client())
    reader.hold("7", "8")
    return reader


@pytest.fixture
def own(start_server: Callable[..., Server]) -> Server:
    """Start a server that the test may kill."""
    server = start_server()
    with server.client() as client:
        happen(client, "saved", "1", "2", "3")
    return server


def happen(client: redis.Redis, event: str, *record_ids: str) -> None:
    """Write an event for each of these ids, as a commit does."""
    pipeline = client.pipeline(transaction=False)
    for record_id in record_ids:
        pipeline.xadd(STREAM, {"event": event, "id": record_id}, maxlen=EVENTS_KEPT, approximate=True)
    pipeline.execute()


def blocked(client: redis.Redis) -> list[str]:
    """Return the ids of the connections that wait for events."""
    return [each["id"] for each in client.client_list() if each["cmd"].startswith("xread") and "b" in each["flags"]]


def block_for_long(setattr: Callable[[Any, str, Any], None] = setattr) -> None:
    """Have readers wait a minute for an event, so that what a call is to end does not end by itself."""
    for module in (feed, events):
        setattr(module, "BLOCK_MS", 60_000)
    setattr(link, "LINE_TIMEOUT", 90.0)


@contextlib.contextmanager
def unreachable(reader: Reader, proxy: FaultyProxy, wait_for: WaitFor) -> Iterator[None]:
    """Cut a reader off for a block."""
    proxy.refuse = True
    proxy.cut()
    wait_for(lambda: not reader.is_connected)
    yield
    proxy.refuse = False
    wait_for(lambda: reader.is_connected)


class TestEvents:
    """While the reader is connected."""

    def test_an_event_drops_its_record(self, reader: Reader, raw: Any, wait_for: WaitFor) -> None:
        """The record and what leads to it are forgotten, whatever has happened to it; others stay."""
        for event in (
            "saved",
            "refreshed",
            "deleted",
            "invalidated",
            "merged",
            "rejected",
            "restored",
            "of a later release",
        ):
            reader.hold("7")
            happen(raw, event, "7")
            wait_for(lambda: reader.near.find("7") is None)
            assert reader.near.find((*USER, "7")) is None
            assert reader.near.find("8") == reader.near.find((*USER, "8")) == "token 8"
        assert reader.losses == []

    def test_a_record_that_gets_a_name_drops_all_selectors(self, reader: Reader, raw: Any, wait_for: WaitFor) -> None:
        """It may be what that name means from now on."""
        raw.xadd(STREAM, {"event": "saved", "id": "9", "names": "changed"})
        wait_for(lambda: reader.near.find((*USER, "7")) is None)
        assert reader.near.find("7") == "token 7"

    def test_within_50_ms(self, reader: Reader, raw: Any) -> None:
        """The reader is woken; it does not poll. On a busy machine half of the attempts may take longer."""
        took = []
        for _ in range(10):
            reader.hold("7")
            begun = time.monotonic()
            happen(raw, "deleted", "7")
            while reader.near.find("7"):
                time.sleep(0.0005)
            took.append(time.monotonic() - begun)
        assert sorted(took)[4] < 0.05, took

    def test_without_a_stream(self, start_reader: Any, backend: Backend, raw: Any, wait_for: WaitFor) -> None:
        """In a new namespace the first event is seen, too."""
        reader = start_reader(backend.client())
        reader.hold("7")
        happen(raw, "saved", "7")
        wait_for(lambda: reader.near.find("7") is None)
        assert reader.losses == []

    def test_a_burst(self, reader: Reader, raw: Any, wait_for: WaitFor) -> None:
        """More events than are read at a time: all are seen, and none counts as missed."""
        happen(raw, "saved", *(str(number) for number in range(100, 100 + 2 * BATCH)), "7")
        wait_for(lambda: reader.near.find("7") is None)
        assert reader.near.find("8") == "token 8"
        assert reader.feed.counts == {"disconnects": 0, "missed": 0, "losses": 0}

    def test_emptied(self, reader: Reader, raw: Any, wait_for: WaitFor) -> None:
        """Somebody empties Redis: found within about a second, and this process is a witness."""
        raw.flushall()
        wait_for(lambda: reader.losses)
        assert reader.losses == [(["token 7", "token 8"], True)]
        wait_for(lambda: reader.is_connected)
        assert len(reader.near) == 0
        reader.hold("7")
        happen(raw, "saved", "7")
        wait_for(lambda: reader.near.find("7") is None)

    def test_emptied_and_written_to(self, server: Backend, start_reader: Any, wait_for: WaitFor) -> None:
        """The stream is there, but not with what was seen of it. What has happened since is not handed over."""
        with server.client() as raw:
            happen(raw, "saved", "1")
            reader = start_reader(server.client())
            reader.hold("7", "8")
            pipeline = raw.pipeline().flushall()
            pipeline.xadd(STREAM, {"event": "deleted", "id": "7"})
            pipeline.execute()
            wait_for(lambda: reader.losses)
            assert reader.losses == [(["token 8"], True)]


class TestDisconnected:
    """The connection breaks, and Redis has its data."""

    def test_catches_up(self, server: Backend, start_reader: Any, wait_for: WaitFor) -> None:
        """What happened in the meantime is seen before anything is served as known to be true."""
        assert server.server
        with FaultyProxy(server.server.socket_path) as proxy, server.client() as raw:
            happen(raw, "saved", "1")
            reader = start_reader(proxy.client(server.protocol))
            reader.hold("7", "8")
            with unreachable(reader, proxy, wait_for):
                assert reader.near.find("7") == "token 7"
                happen(raw, "deleted", *(str(number) for number in range(100, 101 + BATCH)), "7")
            assert reader.near.find("7") is None
            assert reader.near.find("8") == "token 8"
            assert reader.feed.counts == {"disconnects": 1, "missed": 0, "losses": 0}
            assert reader.losses == []
            reader.feed.close()

    def test_killed_by_the_server(self, server: Backend, start_reader: Any, wait_for: WaitFor) -> None:
        """CLIENT KILL: the reader is back at once, and nothing is lost."""
        with server.client() as raw:
            happen(raw, "saved", "1")
            reader = start_reader(server.client())
            reader.hold("7", "8")
            (waiting,) = wait_for(lambda: blocked(raw))
            raw.client_kill_filter(_id=waiting)
            wait_for(lambda: reader.feed.counts["disconnects"])
            wait_for(lambda: reader.is_connected)
            happen(raw, "saved", "7")
            wait_for(lambda: reader.near.find("7") is None)
            assert reader.near.find("8") == "token 8"
            assert reader.losses == []

    def test_missed_events(self, server: Backend, start_reader: Any, wait_for: WaitFor) -> None:
        """What was trimmed away in the meantime nobody knows: the cache is emptied."""
        assert server.server
        with FaultyProxy(server.server.socket_path) as proxy, server.client() as raw:
            happen(raw, "saved", "1")
            reader = start_reader(proxy.client(server.protocol))
            reader.hold("7", "8")
            with unreachable(reader, proxy, wait_for):
                # Before 7.0 a server does not say that it has trimmed, and it must be as much as the store would trim.
                trimmed = EVENTS_KEPT if server.name.startswith("redis-6") else 5
                happen(raw, "saved", *(str(number) for number in range(100, 120 + trimmed)))
                raw.xtrim(STREAM, maxlen=trimmed, approximate=False)
            assert len(reader.near) == 0
            assert reader.feed.counts == {"disconnects": 1, "missed": 1, "losses": 0}
            assert reader.losses == []
            reader.hold("7")
            happen(raw, "saved", "7")
            wait_for(lambda: reader.near.find("7") is None)
            reader.feed.close()

    def test_emptied_meanwhile(self, real_server: Server, start_reader: Any, wait_for: WaitFor) -> None:
        """Redis was emptied while the reader was cut off: it hands over, but is no witness."""
        with FaultyProxy(real_server.socket_path) as proxy, real_server.client() as raw:
            happen(raw, "saved", "1")
            reader = start_reader(proxy.client())
            reader.hold("7")
            with unreachable(reader, proxy, wait_for):
                raw.flushall()
            assert reader.losses == [(["token 7"], False)]
            assert len(reader.near) == 0
            reader.feed.close()

    def test_silence(self, own: Server, start_reader: Any, wait_for: WaitFor) -> None:
        """A frozen server is found out, whatever the client's timeout; when it goes on, so does the reader."""
        reader = start_reader(own.client(socket_timeout=60.0))
        reader.hold("7", "8")
        with own.paused():
            begun = time.monotonic()
            wait_for(lambda: not reader.is_connected)
            assert time.monotonic() - begun < 6
            assert reader.near.find("7") == "token 7"
        wait_for(lambda: reader.is_connected)
        assert reader.near.find("7") == "token 7"
        assert reader.losses == []

    def test_a_caller_finds_redis_away(self, reader: Reader, wait_for: WaitFor) -> None:
        """What a caller has told the cache holds until the reader hears of Redis again."""
        assert reader.near.last_resort("7") == "token 7"
        assert reader.near.ticket() is None
        wait_for(lambda: reader.is_connected)
        reader.hold("7")


class TestRestarts:
    """The server dies and comes back."""

    @pytest.mark.parametrize("protocol", [2, 3])
    def test_back_empty(self, own: Server, start_reader: Any, wait_for: WaitFor, protocol: Any) -> None:
        """Who was connected until the end hands over everything as a witness."""
        reader = start_reader(own.client(protocol))
        reader.hold("7", "8")
        own.kill()
        wait_for(lambda: not reader.is_connected)
        assert reader.near.find("7") == "token 7"
        wait_for(lambda: reader.feed._parting.refused)
        own.start()
        wait_for(lambda: reader.is_connected)
        assert reader.losses == [(["token 7", "token 8"], True)]
        assert len(reader.near) == 0
        reader.hold("7", "8")
        with own.client() as raw:
            raw.xadd(STREAM, {"event": "saved", "id": "7"}, id="1-1")  # by a clock that is behind the old one
        wait_for(lambda: reader.near.find("7") is None)
        assert reader.near.find("8") == "token 8"
        assert len(reader.losses) == 1

    def test_back_empty_and_others_were_faster(self, own: Server, start_reader: Any, wait_for: WaitFor) -> None:
        """The stream is there again before this process is: still a loss, but not of what others have brought back."""
        with FaultyProxy(own.socket_path) as proxy:
            reader = start_reader(proxy.client())
            reader.hold("7", "8")
            proxy.refuse = True
            own.restart()
            with own.client() as raw:
                happen(raw, "restored", "7")
            proxy.refuse = False
            wait_for(lambda: reader.is_connected)
            assert [values for values, _ in reader.losses] == [["token 8"]]
            assert len(reader.near) == 0
            reader.feed.close()

    @pytest.mark.parametrize("written_to", [False, True])
    def test_back_with_an_old_dump(self, own: Server, start_reader: Any, wait_for: WaitFor, written_to: bool) -> None:
        """The last events are gone, whether or not others have written since."""
        with own.client() as raw:
            happen(raw, "saved", "7")
            raw.xtrim(STREAM, maxlen=2, approximate=False)  # so that trimming, too, might explain what is not there
            raw.save()
            happen(raw, "saved", "8")
        with FaultyProxy(own.socket_path) as proxy:
            reader = start_reader(proxy.client())
            reader.hold("7", "8")
            proxy.refuse = True
            own.restart()
            if written_to:
                with own.client() as raw:
                    happen(raw, "saved", "9")
            proxy.refuse = False
            wait_for(lambda: reader.losses)
            assert reader.losses == [(["token 7", "token 8"], True)]
            reader.feed.close()

    def test_back_with_its_data(self, start_server: Any, start_reader: Any, wait_for: WaitFor) -> None:
        """The reader goes on where it was."""
        server = start_server(arguments=("--appendonly", "yes", "--appendfsync", "always"))
        with server.client() as raw:
            happen(raw, "saved", "1")
        reader = start_reader(server.client())
        reader.hold("7", "8")
        server.kill()
        wait_for(lambda: not reader.is_connected)
        server.start()
        wait_for(lambda: reader.is_connected)
        assert reader.losses == []
        assert reader.near.find("7") == "token 7"
        with server.client() as raw:
            happen(raw, "saved", "7")
        wait_for(lambda: reader.near.find("7") is None)

    def test_no_witness_after_silence(self, own: Server, start_reader: Any, wait_for: WaitFor) -> None:
        """Whoever lost Redis before it died may have missed a deletion."""
        reader = start_reader(own.client())
        reader.hold("7")
        own.pause()
        wait_for(lambda: not reader.is_connected)
        own.restart()
        wait_for(lambda: reader.losses)
        assert reader.losses == [(["token 7"], False)]

    def test_no_witness_behind_a_broken_way(self, own: Server, start_reader: Any, wait_for: WaitFor) -> None:
        """The way to the server broke, and the server died a good while later."""
        with FaultyProxy(own.socket_path) as proxy:
            reader = start_reader(proxy.client())
            reader.hold("7")
            with unreachable(reader, proxy, wait_for):
                time.sleep(3.2)  # INFO counts whole seconds, and 2 of them are granted
                own.restart()
            assert reader.losses == [(["token 7"], False)]
            reader.feed.close()


class TestCallbacks:
    """What the one who is told of a loss does wrong."""

    def test_an_error_ends_nothing(
        self, backend: Backend, raw: Any, start_reader: Any, wait_for: WaitFor, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is logged; the cache is emptied, and the reader goes on."""
        happen(raw, "saved", "1")
        reader = start_reader(backend.client())
        reader.hold("7")

        def fail(values: list[str], witness: bool) -> None:
            raise RuntimeError("made up")

        reader.feed._on_loss = fail
        raw.flushall()
        wait_for(lambda: reader.feed.counts["losses"] and reader.is_connected)
        assert len(reader.near) == 0
        assert "made up" in caplog.text
        reader.hold("7")
        happen(raw, "saved", "7")
        wait_for(lambda: reader.near.find("7") is None)


class TestEnd:
    """Starting and closing."""

    def test_close_is_prompt(
        self, start_reader: Any, backend: Backend, raw: Any, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Though the reader is blocked, its thread ends at once; nothing is served any more."""
        # fakeredis has no socket that could be shut down: there the read ends when its time is over.
        if backend.server is not None:
            block_for_long(monkeypatch.setattr)
        reader = start_reader(backend.client())
        reader.hold("7")
        thread = reader.feed._thread
        assert thread
        if backend.server is not None:
            wait_for(lambda: blocked(raw))
        begun = time.monotonic()
        reader.feed.close()
        assert time.monotonic() - begun < 5
        thread.join(10)
        assert not thread.is_alive()
        assert (reader.near.find("7"), reader.near.ticket()) == (None, None)
        reader.feed.start()
        assert not thread.is_alive()
        assert reader.feed._thread is thread

    def test_close_while_redis_is_away(
        self, own: Server, start_reader: Any, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It does not wait for the next attempt."""
        monkeypatch.setattr(feed, "_FIRST_PAUSE", 60.0)
        monkeypatch.setattr(feed, "_LONGEST_PAUSE", 60.0)
        reader = start_reader(own.client())
        own.kill()
        wait_for(lambda: not reader.is_connected)
        wait_for(lambda: reader.feed._pause == 60)
        reader.feed.close()
        reader.feed._thread.join(10)
        assert not reader.feed._thread.is_alive()

    def test_one_thread(self, reader: Reader) -> None:
        """Starting again starts nothing."""
        before = {*threading.enumerate()}
        thread = reader.feed._thread
        for _ in range(100):
            reader.feed.start()
        assert reader.feed._thread is thread
        assert {*threading.enumerate()} <= before

    def test_started_while_redis_is_away(self, own: Server, wait_for: WaitFor) -> None:
        """The reader connects when it can."""
        own.kill()
        reader = Reader(own.client())
        reader.feed.start()
        time.sleep(0.1)
        assert not reader.is_connected
        own.start()
        wait_for(lambda: reader.is_connected)
        assert (reader.losses, reader.feed.counts["disconnects"]) == ([], 0)
        reader.feed.close()
        assert reader.feed._thread
        reader.feed._thread.join(5)

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_fork(self, server: Backend, start_reader: Any, wait_for: WaitFor) -> None:
        """A child has no reader until it starts its own; the parent's goes on."""
        with server.client() as raw:
            happen(raw, "saved", "1")
            reader = start_reader(server.client())
            reader.hold("7", "8")
            child = os.fork()
            if child == 0:
                os._exit(_in_child(reader, server))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            wait_for(lambda: reader.near.find("7") is None)  # an event that the child has written
            assert reader.near.find("8") == "token 8"
            assert reader.feed.counts["disconnects"] == 0


def _in_child(reader: Reader, server: Backend) -> int:
    """Use a reader after a fork; return an exit code."""
    try:
        reader.near.reset_after_fork()
        reader.feed.reset_after_fork()
        deadline = time.monotonic() + 30
        reader.feed.start()
        while not reader.is_connected and time.monotonic() < deadline:
            time.sleep(0.005)
        reader.hold("7", "8")
        with server.client() as raw:
            happen(raw, "saved", "7")
        while reader.near.find("7") and time.monotonic() < deadline:
            time.sleep(0.005)
        return 0 if reader.near.find("8") and not reader.near.find("7") else 1
    except BaseException:
        return 2


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys, time
import gevent
from servers import client_for
from contract.test_feed import Reader, block_for_long, happen
block_for_long()
ticks = []
def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)
gevent.spawn(tick)
raw, reader = client_for(sys.argv[1]), Reader(client_for(sys.argv[1]))
def wait(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        gevent.sleep(0.005)
reader.feed.start()
wait(lambda: reader.is_connected)
reader.hold("7", "8")
happen(raw, "saved", "7")
wait(lambda: reader.near.find("7") is None)
assert reader.near.find("8")
ticks.clear()
wait(lambda: len(ticks) > 20)
gaps = sorted(later - earlier for earlier, later in zip(ticks, ticks[1:]))
assert gaps[10] < 0.3, gaps
reader.feed.close()
reader.feed._thread.join(10)
assert not reader.feed._thread.is_alive()
"""


@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")
def test_gevent(own: Server) -> None:
    """In a patched process the reader is a greenlet: it holds up nobody, sees events, and ends at once."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", GREENLETS, own.url]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
