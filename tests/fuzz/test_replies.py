"""Nothing that comes from Redis's place gets past the store but as one of its own errors.

Hypothesis makes the replies up. ``make fuzz`` runs the same tests under atheris, which looks for replies that lead to
new places in the code (``tests/fuzz/guided.py``).
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis._parsers import _RESP2Parser, _RESP3Parser
from redis.connection import Connection

from contract.tokens import by_access, by_user, make_token, refreshed
from fuzz.liar import LeapingClock, LeapingEvent, Liar, lying_store
from fuzz.made_up import IDS, command_replies, event_ids, records, script_replies, wire_replies
from zoho_token_store import AesGcmCipher, RedisTokenStore, TokenStoreError
from zoho_token_store.breaker import Breaker
from zoho_token_store.codec import MARK, Codec, SealedCodec
from zoho_token_store.events import read_event
from zoho_token_store.feed import EventFeed
from zoho_token_store.keyspace import read_user_pointer, write_user_pointer
from zoho_token_store.link import RedisLink
from zoho_token_store.match import named_record
from zoho_token_store.near import Near
from zoho_token_store.record import TokenRecord
from zoho_token_store.stats import Stats

CIPHER = AesGcmCipher([bytes(range(32))])
"""The same in every run, so that an input that was found can be tried again."""

ANSWERS = 12
"""How many replies there are before the connection is gone for good."""

SEALED = {"cipher": CIPHER, "encrypt_identity": True, "pointer_keys": [bytes(32), "plain"]}
KINDS: dict[str, tuple[Codec, dict[str, Any]]] = {
    "readable": (Codec(), {}),
    "sealed": (SealedCodec(CIPHER, "crm", hides_identity=True, takes_readable=False), SEALED),
    "migrating": (
        SealedCodec(CIPHER, "crm", hides_identity=False, takes_readable=True),
        {"cipher": CIPHER, "migrate_plaintext": True},
    ),
}
kinds = st.sampled_from(sorted(KINDS))

bounded = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

OPERATIONS: dict[str, Callable[[RedisTokenStore], Any]] = {
    "by id": lambda store: store.find_token_by_id("ada-1"),
    "by user": lambda store: store.find_token(by_user("ada")),
    "by access token": lambda store: store.find_token(by_access("at")),
    "by grant code": lambda store: store.find_token(make_token(grant="gt")),
    "by refresh token": lambda store: store.find_token(make_token("ada", refresh="rt")),
    "by id alone": lambda store: store.find_token(make_token(id="ada-1", client_id=None, secret=None)),
    "found and saved": lambda store: store.save_token(
        refreshed(store.find_token_by_id("ada-1") or make_token("ada"), "at2")
    ),
    "got and saved": lambda store: store.save_token(refreshed(store.get("ada-1") or make_token("ada"), "at2")),
    "saved": lambda store: store.save_token(make_token("ada", refresh="rt", grant="gt", access="at2")),
    "saved by id": lambda store: store.save_token(make_token("ada", id="ada-1", refresh="rt2", access="at2")),
    "invalidated": lambda store: store.invalidate_access_token("ada-1", "at"),
    "deleted": lambda store: store.delete_token("ada-1"),
    "all deleted": lambda store: store.delete_tokens(),
    "revoked": lambda store: store.revoke("ada-1"),
    "listed": lambda store: store.get_tokens(),
    "rotated": lambda store: list(store.rotate_keys()),
    "pinged": lambda store: store.ping(),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Leave the log alone: it would hold every reply."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def made_up(draw: Callable[[st.SearchStrategy[Any]], Any], how: Codec, checked: bool = True) -> Callable[..., Any]:
    """Return what a server answers: some replies, and then no more."""
    left = [ANSWERS]

    def reply(name: str, args: list[str]) -> Any:
        if checked and name in ("INFO", "COMMAND"):  # what is asked first, and leads nowhere
            return None
        left[0] -= 1
        if left[0] < 0:
            return redis.ConnectionError("gone")
        return draw(command_replies(name) if name.isupper() else script_replies(how, name, args))

    return reply


@bounded
@given(kinds, st.lists(st.sampled_from(sorted(OPERATIONS)), min_size=1, max_size=3), st.data())
def test_replies_to_a_store(kind: str, operations: list[str], data: st.DataObject) -> None:
    """Whatever is asked and however it is answered: an outcome, or an error of ours."""
    how, options = KINDS[kind]
    store = lying_store(made_up(data.draw, how), **options)
    try:
        for name in operations:
            with contextlib.suppress(TokenStoreError):
                OPERATIONS[name](store)
    finally:
        store.close()


@bounded
@given(kinds, st.data())
def test_records(kind: str, data: st.DataObject) -> None:
    """A record that can be read at all is one of which everything can be asked, or that says that it is corrupt."""
    how, _ = KINDS[kind]
    access, stored = data.draw(records(how))
    with contextlib.suppress(TokenStoreError):
        record = how.read(data.draw(st.sampled_from(IDS)), access, stored)
        repr(record), record.next_rev(), int(record.fence), int(record.schema), record.refreshable
        for ask in (record.bookkeeping, record.spare_tokens, record.written_ms, lambda: record.next_ops(1, "n")):
            with contextlib.suppress(TokenStoreError):
                ask()
        how.changes(None, record), how.whole(record), how.changes(record, record)
        record.bookkeeping().pack()


TEXTS: dict[str, Callable[[Codec, str], Any]] = {
    "access part": lambda how, text: how.read_access("ada-1", text),
    "sealed token": lambda how, text: how.read_access("ada-1", f"1 1 {MARK}{text}"),
    "token under the key": lambda how, text: how.read_access("ada-1", f"1 1 {_sealed('')[:-30]}{text}"),
    "bookkeeping": lambda how, text: TokenRecord("ada-1", meta=text).bookkeeping().pack(),
    "spare refresh tokens": lambda how, text: TokenRecord("ada-1", spares=text).spare_tokens(),
    "operations": lambda how, text: TokenRecord("ada-1", ops=text).next_ops(1, "nonce"),
    "time of writing": lambda how, text: TokenRecord("ada-1", ops=text).written_ms(),
    "user pointer": lambda how, text: write_user_pointer(read_user_pointer(text)),
    "record of a user": lambda how, text: named_record(text, None),
    "event": lambda how, text: read_event("1-1", ["event", text, "id", text, "by", text, "into", text]),
}


def _sealed(text: str) -> str:
    return MARK + CIPHER.encrypt(text.encode(), b"")


@bounded
@given(kinds, st.sampled_from(sorted(TEXTS)), st.binary(max_size=300))
def test_texts(kind: str, what: str, raw: bytes) -> None:
    """Each text that has a form of its own is read, or said to be corrupt."""
    with contextlib.suppress(TokenStoreError):
        TEXTS[what](KINDS[kind][0], raw.decode("utf-8", "surrogateescape"))


@bounded
@given(st.data())
def test_the_first_questions(data: st.DataObject) -> None:
    """What a server says of itself is taken, or refused as what is configured wrongly."""
    store = lying_store(made_up(data.draw, Codec(), checked=False))
    try:
        for _ in range(2):
            with contextlib.suppress(TokenStoreError):
                store.ping()
    finally:
        store.close()


@bounded
@given(st.none() | event_ids | st.floats(), st.data())
def test_events(since: Any, data: st.DataObject) -> None:
    """A reader of events gives events that can be shown, or an error of ours; the next call goes on."""
    store = lying_store(made_up(data.draw, Codec()))
    with contextlib.suppress(TokenStoreError), store.events(since) as events:
        for _ in range(4):
            with contextlib.suppress(TokenStoreError):
                for event in events.read().events:
                    assert event.at_ms >= 0
                    assert all(text.isascii() and text.isprintable() for text in event[:5])
    store.close()


@bounded
@given(st.booleans(), st.data())
def test_the_reader_of_events(hitch: bool, data: st.DataObject) -> None:
    """The thread that keeps the near cache right ends when it is closed, and of nothing else."""
    clock = LeapingClock()
    answer = made_up(data.draw, Codec())
    ended = []

    def reply(name: str, args: list[str]) -> Any:
        outcome = answer(name, args)
        if isinstance(outcome, redis.ConnectionError) and str(outcome) == "gone":
            ended.append(True)
            feed._closed.set()
        return outcome

    def offer(values: list[Any], witness: bool) -> None:
        if hitch:
            raise ValueError("what is offered back cannot be")

    near: Near[str] = Near(10, 60.0, 60.0, clock)
    link = RedisLink(Liar(reply, clock), 1.0, clock, Stats())
    feed: EventFeed[str] = EventFeed(link, "stream", lambda: None, near, offer, Breaker(clock), clock)
    feed._closed = LeapingEvent()
    feed._run()
    assert ended


class Spoken(Connection):
    """A connection on whose other end the answers stand already."""

    def __init__(self, answers: bytes, protocol: int) -> None:
        # redis-py's own parser: that of hiredis has been seen to end the process over such bytes (SECURITY.md).
        super().__init__(
            socket_timeout=1.0,
            decode_responses=True,
            encoding_errors="surrogateescape",
            protocol=protocol,
            parser_class={2: _RESP2Parser, 3: _RESP3Parser}[protocol],
        )
        self._answers = answers

    def _connect(self) -> socket.socket:
        here, there = socket.socketpair()
        there.sendall(self._answers)
        there.shutdown(socket.SHUT_WR)
        self._there = there
        return here

    def on_connect_check_health(self, check_health: bool = True) -> None:
        self._parser.on_connect(self)

    def disconnect(self, *args: Any, **options: Any) -> None:
        super().disconnect(*args, **options)
        if there := getattr(self, "_there", None):
            there.close()


class SpokenTo(Liar):
    """Leads to such connections, and after some to none."""

    def __init__(self, answers: list[bytes], protocol: int, clock: LeapingClock) -> None:
        super().__init__(lambda name, args: None, clock)
        self._answers = answers
        self._protocol = protocol

    def open(self, timeout: float, at_most: float) -> Any:
        self._clock.sleep(0.01)
        if not self._answers:
            raise redis.ConnectionError("gone")
        spoken = Spoken(self._answers.pop(0), self._protocol)
        spoken.connect()
        return spoken


@bounded
@given(st.lists(wire_replies, max_size=4), st.sampled_from([2, 3]))
def test_bytes(answers: list[bytes], protocol: int) -> None:
    """Bytes that are none of the protocol's end in an error of ours, too."""
    store = lying_store(lambda name, args: None)
    route = SpokenTo(answers, protocol, LeapingClock())
    link = RedisLink(route, 1.0, route._clock, Stats())
    with contextlib.suppress(TokenStoreError):
        link.ask("PING")
    link.close()
    store.close()
