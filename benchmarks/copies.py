"""Fill a Redis with very many tokens: a store saves two, and all others are made after the pattern of the first.

So what a store writes is what is measured, and a million of it takes half a minute: the commands for one token are one
piece of bytes with gaps, and replies are turned off. What the pattern gives for the second token must be what the store
itself has written for it, or nothing is filled.
"""

from __future__ import annotations

import re
import socket
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from os import urandom
from typing import Any, NamedTuple

import redis

from benchmarks.server import BenchmarkServer
from benchmarks.tokens import full_token
from zoho_token_store.codec import COMPACT
from zoho_token_store.keyspace import digest

Command = tuple[bytes, ...]

AT_ONCE = 1_000
"""Tokens that are sent in one go."""
MOMENT = re.compile(rb"[0-9]{10,}(\.[0-9]+)?( [\w-]+)?|\$[0-9]+")
"""What differs between two saves: times, operations named after them, and the lengths of texts with such."""


class Layout(NamedTuple):
    """How a store keeps its tokens.

    Attributes:
        save: Saves a token, which gets its id.
        new_id: Makes the id of a further token, as the store would.
        close: Closes the store.
    """

    save: Callable[[Any], None]
    new_id: Callable[[], str]
    close: Callable[[], None]


def short_id() -> str:
    """Return an id as our store makes them."""
    return urlsafe_b64encode(urandom(12)).decode()


def fill(server: BenchmarkServer, layout: Layout, count: int) -> list[str]:
    """Save ``count`` tokens, two at the least, in an empty Redis; return their ids, in the order of their numbers."""
    with redis.Redis.from_url(server.url) as client:
        saved, written = [], []
        for number in range(2):
            token, before = full_token(number), {_without_expiry(command) for command in _commands(client)}
            layout.save(token)
            saved.append(str(token.get_id()))
            written.append([each for each in _commands(client) if _without_expiry(each) not in before])
        gaps = Gaps(written[0], _pieces(0, saved[0]))
        layout.close()
        _compare(gaps.filled(_pieces(1, saved[1])), _packed(written[1]))
        ids = saved + [layout.new_id() for _ in range(2, count)]
        keys = client.dbsize()
        _send(server, (gaps.filled(_pieces(number, ids[number])) for number in range(2, count)))
        added = sum(command[0] in (b"SET", b"HSET") for command in written[1])
        assert client.dbsize() == keys + added * (count - 2), "what was sent was not taken"
    return ids


class Gaps:
    """The commands for one token, with gaps where its own texts stood.

    Args:
        commands: The commands.
        pieces: The texts.
    """

    def __init__(self, commands: Sequence[Command], pieces: Sequence[bytes]) -> None:
        self._lengths = [len(piece) for piece in pieces]
        longest_first = sorted(pieces, key=len, reverse=True)
        parts = re.split(b"(" + b"|".join(map(re.escape, longest_first)) + b")", _packed(commands))
        self._order = [pieces.index(part) for part in parts[1::2]]
        self._format = b"%b".join(part.replace(b"%", b"%%") for part in parts[::2])

    def filled(self, pieces: Sequence[bytes]) -> bytes:
        """Return the commands for another token."""
        assert [len(piece) for piece in pieces] == self._lengths, "the commands say how long each part is"
        return self._format % tuple([pieces[at] for at in self._order])


def _pieces(number: int, record_id: str) -> list[bytes]:
    """Return each text of a token's own that may occur in a key or a value."""
    token = full_token(number)
    name, access = token.get_user_signature().get_name(), token.get_access_token()
    refresh, grant = token.get_refresh_token(), token.get_grant_token()
    digests = [
        digest(kind, value)
        for kind, value in (("user", name), ("refresh", refresh), ("grant", grant), ("access-token", access))
    ]
    halves = [part for value in (refresh, grant) for part in (value[:COMPACT], value[COMPACT:])]
    return [text.encode() for text in (record_id, name, access, refresh, grant, *digests, *halves)]


def _commands(client: redis.Redis) -> Iterator[Command]:
    """Yield the commands that write what is there, but for streams."""
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        if kind == b"string":
            left_ms = client.pttl(key)
            ends_ms = int(time.time() * 1000) + left_ms
            yield (b"SET", key, client.get(key), *((b"PXAT", b"%d" % ends_ms) if left_ms > 0 else ()))
        elif kind == b"hash":
            yield (b"HSET", key, *(part for pair in client.hgetall(key).items() for part in pair))
        elif kind == b"zset":
            yield from ((b"ZADD", key, b"%g" % score, each) for each, score in client.zscan_iter(key))
        elif kind == b"set":
            yield from ((b"SADD", key, each) for each in client.sscan_iter(key))


def _without_expiry(command: Command) -> Command:
    """Return what can be compared: the rest of a life is a millisecond more or less at each look."""
    return command[:3] if command[0] == b"SET" else command


def _packed(commands: Sequence[Command]) -> bytes:
    return b"".join(
        b"*%d\r\n%b" % (len(command), b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in command))
        for command in sorted(commands)
    )


def _compare(made: bytes, written: bytes) -> None:
    ours, theirs = (sorted(MOMENT.sub(b"<moment>", each).split(b"\r\n")) for each in (made, written))
    unlike = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
    assert not unlike, f"the store writes something that the pattern does not explain: {unlike[0]}"


def _send(server: BenchmarkServer, tokens: Iterator[bytes]) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(server.url.removeprefix("unix://"))
        connection.sendall(_packed([(b"CLIENT", b"REPLY", b"OFF")]))
        gathered: list[bytes] = []
        for token in tokens:
            gathered.append(token)
            if len(gathered) == AT_ONCE:
                connection.sendall(b"".join(gathered))
                gathered.clear()
        connection.sendall(b"".join([*gathered, _packed([(b"CLIENT", b"REPLY", b"ON")])]))
        assert connection.recv(64) == b"+OK\r\n"
