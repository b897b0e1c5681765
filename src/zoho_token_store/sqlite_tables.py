"""Tables in a SQLite file: every statement that there is, all values bound."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from zoho_token_store.clock import SystemClock
from zoho_token_store.codec import STORED, Codec
from zoho_token_store.commit import (
    EVENTS_KEPT,
    DropRecord,
    Point,
    RewriteRecord,
    StoreAccess,
    StoreRecord,
    Tell,
    Unpoint,
    Write,
)
from zoho_token_store.errors import CorruptRecord, StoreUnavailable
from zoho_token_store.keyspace import PointerNames, read_user_pointer, write_user_pointer
from zoho_token_store.record import TokenRecord
from zoho_token_store.sqlite_file import SQLiteFile
from zoho_token_store.sqlite_text import is_text, is_undecodable, lenient
from zoho_token_store.tables import Tables
from zoho_token_store.tenure import NO_TENURE, Tenure
from zoho_token_store.verdict import Head

SWEEP_EVERY = 60.0
"""How often a process throws away what has ended by itself, seconds; until then nobody sees it."""

FIRST_LOOK, LAST_LOOK = 0.002, 0.05
"""How soon who waits looks again at first, and in the end, seconds."""

_FIELDS = (*STORED, "client")
_ROW = f"SELECT {', '.join(_FIELDS)}, access_token, expires_ms, life_ms, access_ends_ms"
_ROW += " FROM records WHERE namespace = ? AND id = ? AND (ends_ms = 0 OR ends_ms > ?)"
_CHANGES = ", ".join(f"{name} = excluded.{name}" for name in _FIELDS)
_STORE = f"INSERT INTO records (namespace, id, {', '.join(_FIELDS)}) VALUES (?, ?, {', '.join('?' * len(_FIELDS))})"
_STORE += f" ON CONFLICT (namespace, id) DO UPDATE SET {_CHANGES}"
_TENURE = ", ".join(Tenure._fields)
_PUT_TENURE = f"REPLACE INTO leases (namespace, name, {_TENURE}) VALUES (?, ?, {', '.join('?' * len(Tenure._fields))})"
_ENDING = ("records", "pointers", "tombstones", "leases", "calls")


class SQLiteRow:
    """See :class:`~zoho_token_store.tables.Row`.

    Args:
        record_id: Its id.
        stored: Its fields and its access part.
        codec: How it lies there.
        now_ms: The time of the transaction, ms.
    """

    def __init__(self, record_id: str, stored: Sequence[Any], codec: Codec, now_ms: int) -> None:
        *self._fields, access_token, expires_ms, life_ms, access_ends_ms = stored
        self._id = record_id
        self._codec = codec
        self._access: tuple[int, int, str] | None = None
        self._is_ours = True
        try:
            if access_token is not None and int(access_ends_ms or 0) > now_ms:
                self._access = int(expires_ms or 0), int(life_ms or 0), access_token
        except (ValueError, OverflowError):  # what is no number stays what it is
            self._is_ours = False

    @property
    def rev(self) -> str:
        """See :class:`Row`."""
        return str(self._field("rev") or "")

    def head(self, client_id: str) -> Head:
        """See :class:`Row`."""
        plain, digest = self._codec.client_terms(client_id)
        sealed = self._field("client")
        stored, asked = (self._field("client_id"), plain) if sealed is None else (sealed, digest)
        return Head(
            self._number("schema"),
            self._number("fence"),
            bool(self._field("refresh_token") or self._field("grant_token")),
            self._field("rejected"),
            stored is not None and asked not in ("", stored),
            self._access and self._access[:2],
        )

    def open(self) -> TokenRecord:
        """See :class:`Row`."""
        *fields, client = self._fields
        if not self._is_ours or not is_text([*self._fields, self._access and self._access[2]]):
            raise CorruptRecord(self._id, "the record")
        access = " ".join(map(str, self._access)) if self._access else ""
        return self._codec.read(self._id, access, [*fields, None, None, client])

    def _field(self, name: str) -> Any:
        return self._fields[_FIELDS.index(name)]

    def _number(self, name: str) -> int:
        stored = self._field(name) or ""
        if not (stored.isdigit() and stored.isascii()):
            raise CorruptRecord(self._id, "the record")
        return int(stored)


class SQLiteTables:
    """See :class:`~zoho_token_store.tables.Tables`."""

    def __init__(
        self, connection: sqlite3.Connection, namespace: str, names: PointerNames, codec: Codec, now_us: int
    ) -> None:
        self._connection = connection
        self._run = connection.execute
        self._namespace = namespace
        self._names = names
        self._codec = codec
        self.now_us = now_us
        self._now_ms = now_us // 1000

    def row(self, record_id: str) -> SQLiteRow | None:
        """See :class:`Tables`."""
        found = self._all(_ROW, (self._namespace, record_id, self._now_ms))
        return SQLiteRow(record_id, found[0], self._codec, self._now_ms) if found else None

    def string(self, name: str) -> str:
        """See :class:`Tables`."""
        return self._string(self._names.leading(name))

    def _string(self, stored_name: str) -> str:
        key = (self._namespace, stored_name, self._now_ms)
        alive = "WHERE namespace = ? AND name = ? AND (ends_ms = 0 OR ends_ms > ?)"
        if stored_name.startswith("gone:"):
            found = self._all(f"SELECT fence, heir FROM tombstones {alive}", key)
            return "".join(f"merged {heir}" if heir else f"deleted {fence}" for fence, heir in found)
        rows = self._all(f"SELECT entry, record_id FROM pointers {alive}", key)
        entries = {str(entry): str(record_id) for entry, record_id in rows}
        return entries[""] if "" in entries else write_user_pointer(entries)

    def tenure(self, name: str) -> Tenure:
        """See :class:`Tables`."""
        query = f"SELECT {_TENURE} FROM leases WHERE namespace = ? AND name = ? AND ends_ms > ?"
        found = self._all(query, (self._namespace, name, self._now_ms), _legible)
        return Tenure._make(found[0]) if found else NO_TENURE

    def put_tenure(self, name: str, tenure: Tenure | None) -> None:
        """See :class:`Tables`."""
        if tenure is None:
            self._run("DELETE FROM leases WHERE namespace = ? AND name = ?", (self._namespace, name))
        else:
            self._run(_PUT_TENURE, (self._namespace, name, *tenure))

    def calls(self, credential: str) -> list[int]:
        """See :class:`Tables`."""
        query = "SELECT made_ms FROM calls WHERE namespace = ? AND credential = ? AND ends_ms > ? ORDER BY made_ms"
        return [made_ms for (made_ms,) in self._all(query, (self._namespace, credential, self._now_ms))]

    def put_calls(self, credential: str, calls: Sequence[int], ends_ms: int) -> None:
        """See :class:`Tables`."""
        key = (self._namespace, credential)
        self._run("DELETE FROM calls WHERE namespace = ? AND credential = ?", key)
        for made_ms in calls:
            self._run("INSERT INTO calls VALUES (?, ?, ?, ?)", (*key, made_ms, ends_ms))

    def ids(self, after: str, most: int) -> list[str]:
        """See :class:`Tables`."""
        # As bytes, which may be no UTF-8 where somebody else has written them.
        query = "SELECT id FROM records WHERE namespace = ? AND id > CAST(? AS TEXT) AND typeof(id) = 'text'"
        values = (self._namespace, after.encode("utf-8", "surrogateescape"), most)
        return [record_id for (record_id,) in self._all(f"{query} ORDER BY id LIMIT ?", values)]

    def count(self) -> int:
        """See :class:`Tables`."""
        query = "SELECT count(*) FROM records WHERE namespace = ?"
        return int(self._run(query, (self._namespace,)).fetchone()[0])

    def _all(self, query: str, values: Sequence[object], factory: Callable[[bytes], str] = lenient) -> list[Any]:
        """Return the rows of a query.

        Args:
            query: A SELECT.
            values: What is bound.
            factory: Makes texts of all that it finds if one of them is not UTF-8; it costs time, so not before.
        """
        try:
            return self._run(query, values).fetchall()
        except sqlite3.Error as error:
            if not is_undecodable(error):
                raise
        self._connection.text_factory = factory
        try:
            return self._run(query, values).fetchall()
        finally:
            self._connection.text_factory = str

    def leads(self, name: str, record_id: str) -> bool:
        """See :class:`Tables`."""
        leading, *others = map(self._string, self._names.every(name))
        known = leading == record_id or record_id in read_user_pointer(leading).values()
        return known and all(other == leading for other in others)

    def write(self, write: Write) -> None:
        """See :class:`Tables`."""
        match write:
            case StoreRecord(before, after, ends_ms):
                if before is None:  # an earlier one under this id may have ended by itself
                    self._drop(after.id)
                self._store(after)
                if ends_ms is not None:
                    ended = "UPDATE records SET ends_ms = ? WHERE namespace = ? AND id = ?"
                    self._run(ended, (ends_ms, self._namespace, after.id))
            case RewriteRecord(record):
                self._store(record)
            case StoreAccess(record_id, access, ends_ms):
                stored = "UPDATE records SET access_token = ?, expires_ms = ?, life_ms = ?, access_ends_ms = ?"
                sealed = access and self._codec.access(record_id, access).split(" ", 2)[2]
                values = (sealed, access.expires_ms, access.life_ms, ends_ms) if access else (None, None, None, None)
                self._run(f"{stored} WHERE namespace = ? AND id = ?", (*values, self._namespace, record_id))
            case DropRecord(record_id):
                self._drop(record_id)
            case Point(name, value, ends_ms):
                for stored_name in self._names.every(name):
                    self._point(stored_name, value, ends_ms)
            case Unpoint(name):
                for stored_name in self._names.every(name):
                    self._unpoint(stored_name)
            case Tell(event, record_id, by, more):
                told = (self._namespace, self._now_ms, event, record_id, by, " ".join(more))
                self._run(
                    "INSERT INTO events (namespace, at_ms, event, record_id, author, more) VALUES (?, ?, ?, ?, ?, ?)",
                    told,
                )
            case _:
                raise AssertionError(write)

    def sweep(self) -> None:
        """Throw away what has ended by itself, in every namespace."""
        for table in _ENDING:
            self._run(f"DELETE FROM {table} WHERE ends_ms > 0 AND ends_ms <= ?", (self._now_ms,))
        self._run("DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?", (EVENTS_KEPT,))

    def _store(self, record: TokenRecord) -> None:
        fields = self._codec.fields(record)
        self._run(_STORE, (self._namespace, record.id, *map(fields.get, _FIELDS)))

    def _drop(self, record_id: str) -> None:
        self._run("DELETE FROM records WHERE namespace = ? AND id = ?", (self._namespace, record_id))

    def _point(self, stored_name: str, value: str, ends_ms: int) -> None:
        key = (self._namespace, stored_name)
        if stored_name.startswith("gone:"):
            kind, _, what = value.partition(" ")
            fence, heir = (None, what) if kind == "merged" else (int(what), None)
            self._run("REPLACE INTO tombstones VALUES (?, ?, ?, ?, ?)", (*key, fence, heir, ends_ms))
            return
        self._unpoint(stored_name)
        for entry, record_id in (read_user_pointer(value) or {"": value}).items():
            self._run("INSERT INTO pointers VALUES (?, ?, ?, ?, ?)", (*key, entry, record_id, ends_ms))

    def _unpoint(self, stored_name: str) -> None:
        self._run("DELETE FROM pointers WHERE namespace = ? AND name = ?", (self._namespace, stored_name))


def _legible(stored: bytes) -> str:
    """Return a text that can be written back, if not as it was: what holds no secret, and is replaced before long."""
    return stored.decode("utf-8", "replace")


class SQLiteDatabase:
    """See :class:`~zoho_token_store.tables.Database`.

    Args:
        file: Where.
        namespace: Whose.
        names: What pointers are called there.
        codec: How records lie there.
        clock: This machine's clocks.
    """

    def __init__(self, file: SQLiteFile, namespace: str, names: PointerNames, codec: Codec, clock: SystemClock) -> None:
        self._file = file
        self._namespace = namespace
        self._names = names
        self._codec = codec
        self._clock = clock
        self._swept = clock.monotonic()

    @contextmanager
    def reading(self) -> Iterator[Tables]:
        """See :class:`Database`."""
        with self._file.transaction("BEGIN") as connection:
            yield self._tables(connection)

    @contextmanager
    def writing(self) -> Iterator[Tables]:
        """See :class:`Database`."""
        with self._file.transaction("BEGIN IMMEDIATE") as connection:
            tables = self._tables(connection)
            if self._clock.monotonic() - self._swept > SWEEP_EVERY:
                self._swept = self._clock.monotonic()
                tables.sweep()
            yield tables

    def wait(self, changed: Callable[[Tables], bool], at_most: float) -> None:
        """See :class:`Database`. There is nobody who could wake a process: it looks again now and then."""
        deadline, pause = self._clock.monotonic() + at_most, FIRST_LOOK
        while (left := deadline - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, pause * random.uniform(0.5, 1)))  # noqa: S311 - spreads load, guards nothing
            pause = min(pause * 1.5, LAST_LOOK)
            try:
                with self.reading() as tables:
                    if changed(tables):
                        return
            except StoreUnavailable:
                return  # who asks next is told

    def close(self) -> None:
        """See :class:`Database`."""
        self._file.close()

    def reset_after_fork(self) -> None:
        """See :class:`Database`."""
        self._file.reset_after_fork()

    def _tables(self, connection: sqlite3.Connection) -> SQLiteTables:
        now_us = int(self._clock.wall() * 1_000_000)
        return SQLiteTables(connection, self._namespace, self._names, self._codec, now_us)
