"""The SQLite file that Zoho's article on custom token persistence makes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import ConfigurationError, StoreUnavailable
from zoho_token_store.migration.columns import COLUMNS
from zoho_token_store.migration.entry import Read
from zoho_token_store.migration.sql_table import SqlTable
from zoho_token_store.sqlite_schema import APPLICATION
from zoho_token_store.sqlite_text import is_undecodable, lenient

TABLE = "oauthtoken"
WIDTHS = {"id": 10, "expiry_time": 20}
PATIENCE = 10.0
"""Longest wait for another process's transaction, seconds."""
STEP = 500


def is_articles(path: str) -> bool:
    """Return whether a file has the article's table, and is not one of this package's."""
    try:
        with closing(_connect(path, "ro")) as connection:
            if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION:
                return False
            return any(row[1] == "refresh_token" for row in connection.execute(f"PRAGMA table_info({TABLE})"))
    except sqlite3.Error:
        return False


def _connect(path: str, mode: str) -> sqlite3.Connection:
    quoted = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(f"file:{quoted}?mode={mode}", uri=True, timeout=PATIENCE, isolation_level=None)
    connection.text_factory = lenient  # one row that is not UTF-8 must not cost the others
    return connection


class ArticleFile(SqlTable):
    """A file with the article's table. As the target it is made if there is none, with mode 0600.

    Args:
        path: Where.
        clock: This machine's clocks.
    """

    def __init__(self, path: str, clock: SystemClock | None = None) -> None:
        super().__init__(clock or SystemClock())
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._writes = False

    @property
    def _table(self) -> str:
        return f"`{TABLE}`"

    def read(self, batch: int) -> Iterator[Read]:
        """See :class:`Place`; both passes see one state of it."""
        if not os.path.exists(self._path):
            raise ConfigurationError("source", "there is no such file")
        if not self._open().in_transaction:
            self._open().execute("BEGIN")
        return super().read(batch)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = _connect(self._path, "ro")
            except sqlite3.Error as error:
                raise ConfigurationError("path", "cannot be opened as a SQLite file", cause=error) from None
        return self._connection

    def _rows(self, statement: str, values: Sequence[object] = ()) -> Iterator[Sequence[Any]]:
        if not os.path.exists(self._path):
            return
        try:
            for start in range(0, max(len(values), 1), STEP):  # older releases take 999 values at most
                part = values[start : start + STEP]
                marks = ", ".join("?" * len(part))
                head, _, _ = statement.partition(" IN (")
                cursor = self._open().execute(f"{head} IN ({marks})" if values else statement, part)
                while rows := cursor.fetchmany(STEP):
                    yield from rows
        except sqlite3.Error as error:
            raise _failure(error) from error

    def _run(self, statement: str, values: Sequence[object]) -> None:
        try:
            self._open().execute(statement, values)
        except UnicodeEncodeError:  # what the row has had that is not UTF-8 stays as it is
            kept = [each.encode("utf-8", "surrogateescape") if isinstance(each, str) else each for each in values]
            self._run(statement.replace("?", "CAST(? AS TEXT)"), kept)
        except sqlite3.Error as error:
            raise _failure(error) from error

    def _columns(self) -> dict[str, int | None]:
        if not os.path.exists(self._path):
            return {name: WIDTHS.get(name, 255) for name in COLUMNS}
        found = [str(row[1]) for row in self._rows(f"PRAGMA table_info({TABLE})")]
        # SQLite keeps no widths: these are those that the article declares, for whoever reads it with them.
        return {name: None for name in found if "`" not in name}

    def _begin(self) -> None:
        try:
            if not self._writes:
                self.close()
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
                self._connection = _connect(self._path, "rw")
                self._writes = True
            self._open().execute("BEGIN IMMEDIATE")
            columns = ", ".join(
                f"{name} varchar({WIDTHS.get(name, 255)}){' NOT NULL' * (name == 'id')}" for name in COLUMNS
            )
            self._open().execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({columns}, primary key (id))")
        except (sqlite3.Error, OSError) as error:
            raise _failure(error) from error

    def _end(self, *, commit: bool) -> None:
        try:
            self._open().execute("COMMIT" if commit else "ROLLBACK")
        except sqlite3.Error as error:
            raise _failure(error) from error

    def close(self) -> None:
        """See :class:`Place`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _failure(error: Exception) -> StoreUnavailable:
    # Python's error of a text that is not UTF-8 repeats it.
    cause = None if is_undecodable(error) else error
    return StoreUnavailable("the SQLite file cannot be used", cause=cause, passing=False)
