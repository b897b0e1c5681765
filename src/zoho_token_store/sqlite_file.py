"""Connections to a SQLite file: lent to one thread at a time, never carried across a fork, and errors made ours."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import stat
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import ConfigurationError, StoreClosed, StoreUnavailable
from zoho_token_store.sqlite_schema import is_prepared, prepare
from zoho_token_store.sqlite_text import is_undecodable
from zoho_token_store.stats import Stats

log = logging.getLogger("zoho_token_store")

LEAST_VERSION = (3, 24)
IDLE = 8
"""Connections kept open while nobody uses them."""

_PAUSE = 0.01
# What SQLite says when asking again changes nothing; by words, since Python 3.10 does not tell its codes.
_FINAL = ("readonly", "malformed", "no such table", "no such column", "authoriz")
_NO_DATABASE = "file is not a database"
_PASSING_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EINTR, errno.ENOMEM)

_files: weakref.WeakSet[SQLiteFile] = weakref.WeakSet()
_inherited: list[Any] = []
"""A parent's connections. They are never closed here: that could end what the parent is writing."""


class SQLiteFile:
    """A file, and connections to it.

    Args:
        path: Where; it is made with mode 0600 when it is first used.
        budget: Longest time that a transaction waits for others, seconds.
        clock: This machine's clocks.
        stats: Where it is counted.

    Raises:
        ConfigurationError: The path cannot be used.
    """

    def __init__(self, path: str, budget: float, clock: SystemClock, stats: Stats) -> None:
        if sqlite3.sqlite_version_info < LEAST_VERSION:
            raise ConfigurationError(
                "path", f"this Python has SQLite {sqlite3.sqlite_version}; 3.24 or newer is needed"
            )
        self._path = path
        self._budget = budget
        self._clock = clock
        self._stats = stats
        self._idle: deque[_Connection] = deque()
        self._lent: set[_Connection] = set()
        self._closed = False
        self._warned = False
        _files.add(self)

    @contextmanager
    def transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """Run a transaction; an exception takes it back.

        Args:
            begin: How it begins: ``BEGIN``, or ``BEGIN IMMEDIATE`` for one that writes.

        Raises:
            StoreUnavailable: The file cannot be used, or others have held it for the whole budget.
            ConfigurationError: It is not one of ours.
        """
        try:
            connection = self._take()
            try:
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error:
                self._drop(connection)
                raise
            except BaseException:
                connection.execute("ROLLBACK")
                self._give(connection)
                raise
            self._give(connection)
        except (sqlite3.Error, OSError) as error:
            raise self._ours(error) from (None if is_undecodable(error) else error)

    def close(self) -> None:
        """Close what is idle now, and what is given back later."""
        self._closed = True
        self.drop_idle()

    def drop_idle(self) -> None:
        """Close the connections that nobody uses."""
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def reset_after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        _inherited.extend((*self._idle, *self._lent))
        self._idle, self._lent = deque(), set()

    def _take(self) -> _Connection:
        if self._closed:
            raise StoreClosed
        try:
            file: tuple[int, int] | None = _identity(os.stat(self._path))
        except FileNotFoundError:
            file = None
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.file == file:
                self._lent.add(connection)
                return connection
            connection.close()  # somebody has removed or replaced the file
        connection = self._open()
        self._lent.add(connection)
        return connection

    def _give(self, connection: _Connection) -> None:
        self._lent.discard(connection)
        if self._closed or len(self._idle) >= IDLE:
            connection.close()
        else:
            self._idle.append(connection)

    def _drop(self, connection: _Connection) -> None:
        """Close a connection on which something went wrong, which takes its transaction back."""
        self._lent.discard(connection)
        connection.close()

    def _open(self) -> _Connection:
        file = self._make_file()
        connection = sqlite3.connect(
            self._path, timeout=self._budget, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        connection.file = file
        try:
            # A deleted token shall not stay in the file; what was committed shall survive a power cut.
            for pragma in ("secure_delete = ON", "synchronous = FULL"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN")  # in one moment: somebody else may be making the tables
            prepared = is_prepared(connection)
            connection.execute("COMMIT")
            if not prepared:
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_file(self) -> tuple[int, int]:
        """Make the file if there is none; return which it is."""
        number = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            status = os.fstat(number)
        finally:
            os.close(number)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError("path", "is not a file")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o007:
            raise ConfigurationError("path", f"everybody may use the file (mode {mode:04o}): chmod 600 it")
        if mode & 0o070 and not self._warned:
            self._warned = True
            log.warning("the group may use the SQLite file of this store, and tokens are in it (mode %04o)", mode)
        return _identity(status)

    def _prepare(self, connection: _Connection) -> None:
        """Make the tables, unless another process is faster."""
        deadline = self._clock.monotonic() + self._budget
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:  # here SQLite does not wait by itself
                if "locked" not in str(error) or self._clock.monotonic() > deadline:
                    raise
            self._clock.sleep(_PAUSE)
        connection.execute("BEGIN IMMEDIATE")
        if not is_prepared(connection):
            prepare(connection)
        connection.execute("COMMIT")

    def _ours(self, error: sqlite3.Error | OSError) -> Exception:
        """Return what an error of SQLite's or the operating system's is called here."""
        if is_undecodable(error):
            return StoreUnavailable("the SQLite file holds text that is not UTF-8", passing=False)
        said = str(error)
        if _NO_DATABASE in said:
            return ConfigurationError("path", "the file is not a SQLite database", cause=error)
        passing = not any(word in said for word in _FINAL)
        if isinstance(error, OSError):
            passing = error.errno in _PASSING_ERRNOS
            if error.errno == errno.EISDIR:
                return ConfigurationError("path", "is not a file", cause=error)
        if passing:
            self._stats.count("unavailable")
        return StoreUnavailable("the SQLite file cannot be used", cause=error, passing=passing)


class _Connection(sqlite3.Connection):
    """A connection that knows which file it is to."""

    file: tuple[int, int] = (0, 0)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _before_fork() -> None:
    for file in list(_files):
        file.drop_idle()


os.register_at_fork(before=_before_fork)
