"""The audit trail: what happened to which record, by whom and when; and its reader, on each back end."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter

import zoho_token_store.saver
from contract.tokens import make_token, refreshed
from proxy import FaultyProxy
from zoho_token_store import EventReader, InvalidToken, RedisTokenStore, RefreshRejected, StoreUnavailable
from zoho_token_store.commit import EVENTS_KEPT
from zoho_token_store.events import BATCH, Event
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.label import process_label
from zoho_token_store.shortcut import Known, give_back
from zoho_token_store.testing import FakeZoho

pytestmark = pytest.mark.redis

MakeStore = Callable[..., RedisTokenStore]


def told(store: RedisTokenStore) -> list[tuple[str, str, str]]:
    """Return what has happened: names, record ids and labels."""
    with store.events() as events:
        return [(event.name, event.record_id, event.by) for event in events.read().events]


def environment_of(zoho: FakeZoho) -> Any:
    """Return the environment that leads to a stand-in."""
    named = "name" in inspect.signature(DataCenter.Environment.__init__).parameters  # SDK 5.0
    where = (zoho.url, f"{zoho.url}/oauth/v2/token", zoho.url)
    return DataCenter.Environment(*where, *(("stand-in",) if named else ()))


class TestWhatIsTold:
    """Each way in which a record changes leaves an event; ``test_state_machine.py`` looks for others."""

    def test_who_and_what(self, make_store: MakeStore) -> None:
        """Each process signs with its own label."""
        web, worker = make_store(label="web-1"), make_store(label="worker-1")
        token = make_token("ada", refresh="rt", access="at", left=5)
        web.save_token(token)
        record_id = token.get_id()
        worker.save_token(refreshed(worker.find_token_by_id(record_id), "at2"))
        web.invalidate_access_token(record_id)
        worker.delete_token(record_id)
        assert told(web) == [
            ("saved", record_id, "web-1"),
            ("refreshed", record_id, "worker-1"),
            ("invalidated", record_id, "web-1"),
            ("deleted", record_id, "worker-1"),
        ]

    def test_the_default_label(self, store: RedisTokenStore) -> None:
        """Host and process, which is enough to find the log that goes with it."""
        store.save_token(make_token("ada", refresh="rt"))
        assert [by for _, _, by in told(store)] == [process_label()]

    def test_a_refresh_the_general_way(self, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is told as it is by the shorter way."""
        monkeypatch.setattr(zoho_token_store.saver, "plan_refresh", lambda wish, now_ms: None)
        store = make_store(label="web-1")
        token = make_token("ada", refresh="rt", access="at", left=5)
        store.save_token(token)
        store.save_token(refreshed(store.find_token_by_id(token.get_id()), "at2"))
        assert told(store)[1:] == [("refreshed", token.get_id(), "web-1")]

    def test_a_merge(self, make_store: MakeStore) -> None:
        """Both records are named, and which of them is left."""
        store = make_store(label="web-1")
        first, second = make_token("ada", refresh="rt1", access="at1"), make_token(refresh="rt2", access="at2")
        store.save_token(first)
        store.save_token(second)
        store.save_token(make_token("ada", id=second.get_id()))
        with store.events() as events:
            saved, merged = events.read().events[-2:]
        assert {saved.record_id, merged.record_id} == {first.get_id(), second.get_id()}
        assert (saved.name, saved.by) == ("saved", "web-1")
        assert (merged.name, merged.into, merged.by) == ("merged", saved.record_id, "web-1")

    def test_a_record_that_is_given_back(self, make_store: MakeStore, raw: Any) -> None:
        """After a loss of data."""
        store = make_store(label="web-1")
        token = make_token("ada", refresh="rt", access="at")
        store.save_token(token)
        record = store._repository.get(token.get_id())
        raw.flushall()
        give_back(store._transactions, store._stats, [Known(record, {})], witness=True)
        assert told(store) == [("restored", token.get_id(), "web-1")]

    def test_refusals(self, make_store: MakeStore, raw: Any, namespace: str) -> None:
        """What Zoho refuses for good, and that another server may be asked."""
        with FakeZoho() as zoho, FakeZoho() as elsewhere:
            fields = {"client_id": zoho.client_id, "secret": zoho.client_secret}
            token = make_token("ada", refresh=elsewhere.issue_refresh_token(), **fields)
            here, there = (
                make_store(refresh="managed", environment=environment_of(place), label=label)
                for place, label in ((zoho, "here"), (elsewhere, "there"))
            )
            here.save_token(token)
            with pytest.raises(RefreshRejected):
                here.find_token_by_id(token.get_id())
            there.find_token_by_id(token.get_id())
        assert [(name, by) for name, _, by in told(here)] == [
            ("saved", "here"), ("rejected", "here"), ("appealed", "there"), ("refreshed", "there"),
        ]  # fmt: skip

    def test_what_changes_nothing(self, make_store: MakeStore, raw: Any, namespace: str) -> None:
        """A look, a listing, a repeated deletion, a second report of a rejected token."""
        store = make_store()
        token = make_token("ada", refresh="rt", access="at")
        store.save_token(token)
        store.invalidate_access_token(token.get_id())
        store.delete_token(token.get_id())
        before = told(store)
        store.get(token.get_id())
        store.get_tokens()
        store.invalidate_access_token(token.get_id())
        store.delete_token(token.get_id())
        assert told(store) == before

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    def test_a_forked_child(self, server: Any, namespace: str) -> None:
        """It signs with a label of its own, though its store was made before."""
        with RedisTokenStore(server.client(), namespace) as store:
            store.save_token(make_token("ada", refresh="rt"))
            pid = os.fork()
            if pid == 0:
                store.save_token(make_token("grace", refresh="rt2"))
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            host = process_label().rpartition(":")[0]
            assert [by for _, _, by in told(store)] == [f"{host}:{os.getpid()}", f"{host}:{pid}"]


class Stream:
    """The event stream of a namespace, written to by others."""

    def __init__(self, raw: Any, namespace: str) -> None:
        self.raw = raw
        self.key = Keyspace(namespace).events

    def add(self, count: int) -> list[str]:
        """Write so many events, as an older release does; return their ids."""
        pipeline = self.raw.pipeline(transaction=False)
        for number in range(count):
            pipeline.xadd(self.key, {"event": "saved", "id": f"r{number}"})
        ids = pipeline.execute()
        self.raw.xtrim(self.key, maxlen=EVENTS_KEPT, approximate=False)
        return list(ids)


@pytest.fixture
def stream(raw: Any, namespace: str) -> Stream:
    """Give the stream."""
    return Stream(raw, namespace)


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


class TestReader:
    """``store.events``."""

    def test_all(self, store: RedisTokenStore, stream: Stream) -> None:
        """Every event that is kept, oldest first, in batches; then nothing, and no gap."""
        written = stream.add(BATCH + 2)
        with store.events() as events:
            first, second, third = events.read(), events.read(), events.read()
        assert ids(first.events) + ids(second.events) == written
        assert (len(first.events), third.events) == (BATCH, [])
        assert first.gap is second.gap is third.gap is None
        assert first.events[0].by == ""

    def test_without_a_stream(self, store: RedisTokenStore) -> None:
        """A new namespace has no events, and that is no gap."""
        for since in (None, 0.0, 600.0):
            with store.events(since) as events:
                assert events.read() == ([], None)

    def test_after_an_id(self, store: RedisTokenStore, stream: Stream) -> None:
        """One goes on where one has ended."""
        written = stream.add(3)
        with store.events(written[0]) as events:
            assert ids(events.read().events) == written[1:]
            assert events.position == written[2]

    def test_from_now_on(self, store: RedisTokenStore, stream: Stream) -> None:
        """What was before is left out, by Redis's clock."""
        stream.add(3)
        seconds, micros = stream.raw.time()
        while stream.raw.time()[0] * 1000 + stream.raw.time()[1] // 1000 == seconds * 1000 + micros // 1000:
            pass
        with store.events(since=0) as events:
            assert events.read() == ([], None)
            written = stream.add(1)
            assert ids(events.read().events) == written

    def test_some_seconds_ago(self, store: RedisTokenStore, stream: Stream) -> None:
        """Only what is not older."""
        now_ms = stream.raw.time()[0] * 1000
        for seconds in (7200, 600, 60):
            stream.raw.xadd(stream.key, {"event": "saved", "id": f"r{seconds}"}, id=f"{now_ms - seconds * 1000}-0")
        with store.events(since=900) as events:
            batch = events.read()
        assert [event.record_id for event in batch.events] == ["r600", "r60"]
        assert batch.gap is None

    def test_it_is_woken(self, server: Any, namespace: str) -> None:
        """It waits for the next event and does not poll."""
        with RedisTokenStore(server.client(), namespace) as store, store.events() as events:
            saving = threading.Timer(0.1, store.save_token, [make_token("ada", refresh="rt")])
            saving.start()
            while not (batch := events.read(wait=1.0)).events:
                pass
            saving.join()
        assert [event.name for event in batch.events] == ["saved"]

    def test_events_that_were_cut_away(self, store: RedisTokenStore, stream: Stream) -> None:
        """It says so once, with the oldest of those that are left, and goes on."""
        stream.add(3)
        with store.events() as events:
            assert events.read().gap is None
            written = stream.add(EVENTS_KEPT + 7)
            batch = events.read()
            assert (batch.gap, ids(batch.events)) == ("missed", written[7 : 7 + BATCH])
            batch = events.read()
            assert (batch.gap, ids(batch.events)) == (None, written[7 + BATCH : 7 + 2 * BATCH])

    def test_a_beginning_that_was_cut_away(self, store: RedisTokenStore, stream: Stream) -> None:
        """Whether it is said as an id or as a time; of all that is kept nothing is missing."""
        first = stream.add(1)[0]
        written = stream.add(EVENTS_KEPT + 7)
        for since, gap in ((first, "missed"), (3600.0, "missed"), (None, None)):
            with store.events(since) as events:
                batch = events.read()
                assert (batch.gap, ids(batch.events)) == (gap, written[7 : 7 + BATCH])
                assert events.read().gap is None

    def test_redis_without_its_data(self, store: RedisTokenStore, stream: Stream) -> None:
        """It says so once, and reads what is written from then on."""
        stream.add(3)
        with store.events() as events:
            events.read()
            stream.raw.flushall()
            assert events.read() == ([], "lost")
            assert events.read() == ([], None)
            written = stream.add(2)
            assert ids(events.read().events) == written

    def test_redis_away_and_back(self, server: Any, namespace: str) -> None:
        """An error, and then it goes on where it was; nothing is shown twice or left out."""
        with FaultyProxy(server.server.socket_path) as proxy, server.client(decode_responses=True) as raw:
            stream = Stream(raw, namespace)
            before = stream.add(2)
            with (
                RedisTokenStore(proxy.client(server.protocol), namespace) as store,
                store.events() as events,
            ):
                assert ids(events.read().events) == before
                proxy.refuse = True
                proxy.cut()
                with pytest.raises(StoreUnavailable) as caught:
                    events.read()
                assert caught.value.passing
                after = stream.add(2)
                proxy.refuse = False
                batch = events.read()
                assert (ids(batch.events), batch.gap) == (after, None)

    def test_a_lost_answer(self, server: Any, namespace: str) -> None:
        """What was read but not heard is read again."""
        with FaultyProxy(server.server.socket_path) as proxy, server.client(decode_responses=True) as raw:
            written = Stream(raw, namespace).add(2)
            with (
                RedisTokenStore(proxy.client(server.protocol), namespace) as store,
                store.events() as events,
            ):
                for command in ("XREAD", "XRANGE"):
                    proxy.drop_next_reply(command)
                    with pytest.raises(StoreUnavailable):
                        events.read()
                assert ids(events.read().events) == written

    def test_what_asking_again_does_not_mend(self, server: Any, namespace: str) -> None:
        """Something else under the stream's key."""
        with server.client() as raw:
            raw.set(Keyspace(namespace).events, "forged")
        with (
            RedisTokenStore(server.client(), namespace) as store,
            store.events() as events,
            pytest.raises(StoreUnavailable) as caught,
        ):
            events.read()
        assert not caught.value.passing

    def test_a_beginning_that_cannot_be_used(self, store: RedisTokenStore) -> None:
        """It is refused at once."""
        with pytest.raises(InvalidToken, match="since"):
            store.events("yesterday")


def test_forged_events(store: RedisTokenStore, raw: Any, namespace: str) -> None:
    """Whatever stands in the stream, reading it brings plain text; the near cache's feed lives on too."""
    hostile = [b"\x1b[2J\x07", b"\xff\xfe\x00", "\u202e".encode(), b"a\nb", b"x" * 100_000, b""]
    for number, value in enumerate(hostile):
        fields = {b"event": value, b"id": value, b"by": value, value or b"-": value}
        raw.xadd(Keyspace(namespace).events, fields, id=f"{10**18}-{number + 1}")
    raw.xadd(Keyspace(namespace).events, {"event": "saved"})
    with store.events() as events:
        batch = events.read()
    assert len(batch.events) == len(hostile) + 1
    assert all((event.name + event.record_id + event.by).isprintable() for event in batch.events)
    assert all((event.name + event.record_id + event.by).isascii() for event in batch.events)
    assert isinstance(events, EventReader)


def test_a_feed_among_forged_and_older_events(
    make_store: MakeStore, raw: Any, namespace: str, wait_for: Callable[[Callable[[], Any]], Any]
) -> None:
    """What an older release tells ends what the near cache knows, and what nobody can read ends nothing else."""
    near, other = make_store(near_cache=True), make_store()
    token = make_token("ada", refresh="rt", access="at")
    other.save_token(token)

    def is_near() -> bool:
        before = near.stats()["near_hits"]
        near.find_token_by_id(token.get_id())
        return near.stats()["near_hits"] > before

    wait_for(is_near)
    raw.xadd(Keyspace(namespace).events, {b"event": b"\xff", b"id": b"\x1b[31m", b"by": b"\xff" * 1000})
    raw.xadd(Keyspace(namespace).events, {"event": "deleted", "id": token.get_id()})
    wait_for(lambda: not is_near())
    wait_for(is_near)
