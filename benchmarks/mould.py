"""A million records: what the store writes for one token, sent again and again with other tokens' values in it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

from benchmarks.server import BenchmarkServer
from benchmarks.tokens import full_token, secret, user_name
from zoho_token_store.keyspace import digest
from zoho_token_store.script import COMMIT, READ, Script

SENT_AT_ONCE = 500
"""Records in one piece of what is sent."""
NOT_REDIS = ("RELEASE", "BURY")
"""Commands that only ``commit-1.lua`` knows; no new record needs what they do."""
SPLIT_AT = 64
"""Where the store cuts a refresh or grant token in two."""


class _Listener:
    """Takes the place of the store's way to Redis, and hears what a new token would write."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.args: list[str] = []

    def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Answer a read, or hear a write."""
        now_ms = int(time.time() * 1000)
        if script is READ:
            strings = int(args[0])
            return [now_ms, [""] * strings, [[]] * ((len(keys) - strings) // 2)]
        assert script is COMMIT, script.name
        self.keys, self.args = list(keys), list(map(str, args))
        return ["OK", now_ms]

    def commands(self) -> Iterator[list[str]]:
        """Yield what the script would run, as it is sent to Redis."""
        at = 1 + 3 * int(self.args[0])  # behind the comparisons
        while at < len(self.args):
            last = at + 3 + int(self.args[at])
            index, command, *rest = self.args[at + 1 : last]
            at = last
            if command not in NOT_REDIS and "NOMKSTREAM" not in rest:
                yield [command, self.keys[int(index) - 1], *rest]

    def close(self) -> None:
        """There is nothing to close."""


class Mould:
    """What is written for a token.

    Args:
        server: Where tokens will go.
        namespace: Theirs.
    """

    def __init__(self, server: BenchmarkServer, namespace: str) -> None:
        heard, token = _Listener(), full_token(0)
        store = server.store(namespace)
        store._repository._link = heard  # type: ignore[assignment]  # the rest of the store stays as it is
        store.save_token(token)
        own = _values(0, token.get_id())
        written = b"".join(map(_packed, heard.commands()))
        pieces = re.split(b"(" + b"|".join(map(re.escape, own)) + b")", written)
        self._literals = pieces[::2]
        self._slots = [own.index(each) for each in pieces[1::2]]
        self._lengths = [len(each) for each in own]

    def cast(self, number: int, record_id: str) -> bytes:
        """Return what is sent for a token."""
        values = _values(number, record_id)
        assert [len(each) for each in values] == self._lengths, f"token {number} does not fit"
        pieces = [self._literals[0]]
        for slot, literal in zip(self._slots, self._literals[1:], strict=True):
            pieces += (values[slot], literal)
        return b"".join(pieces)


def id_of(number: int) -> str:
    """Return the id of a token: as long as those that the store draws."""
    return sha256(f"id {number}".encode()).hexdigest()[:16]


def pour(server: BenchmarkServer, namespace: str, count: int) -> list[str]:
    """Put ``count`` full tokens into an empty namespace, as if they had been saved; return their ids by number."""
    mould, ids = Mould(server, namespace), [id_of(number) for number in range(count)]
    with server.client() as client:
        connection: Any = client.connection_pool.get_connection()
        connection.send_command("CLIENT", "REPLY", "OFF")  # nine replies for each record
        for first in range(0, count, SENT_AT_ONCE):
            some = range(first, min(count, first + SENT_AT_ONCE))
            connection.send_packed_command([b"".join(mould.cast(number, ids[number]) for number in some)])
        connection.send_command("CLIENT", "REPLY", "ON")
        connection.read_response()
        connection.disconnect()
    return ids


def _packed(command: Sequence[str]) -> bytes:
    words = [word.encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _values(number: int, record_id: str) -> list[bytes]:
    """Return all that is different in what is written for different tokens."""
    secrets = {kind: secret(kind, number) for kind in ("access", "refresh", "grant")}
    name = user_name(number)
    pointers = ("access-token", secrets["access"]), ("refresh", secrets["refresh"]), ("grant", secrets["grant"])
    halves = [half for kind in ("refresh", "grant") for half in (secrets[kind][:SPLIT_AT], secrets[kind][SPLIT_AT:])]
    digests = [digest(kind, value) for kind, value in (("user", name), *pointers)]
    return [text.encode() for text in (record_id, name, secrets["access"], *digests, *halves)]
