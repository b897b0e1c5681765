"""The tables of a SQLite file, and whether a file is one of ours."""

from __future__ import annotations

import sqlite3

from zoho_token_store.errors import ConfigurationError

APPLICATION = 0x7A747331
"""Stands in the file's header as ``application_id``: "zts1"."""

VERSION = 1
"""Stands there as ``user_version``: the schema of the tables, as against that of a record."""

TABLES = (
    # One row for a record and its access part: a look-up by id reads nothing else.
    """
    CREATE TABLE records (
        namespace TEXT NOT NULL, id TEXT NOT NULL,
        user_name TEXT, client_id TEXT, client_secret TEXT, refresh_token TEXT, grant_token TEXT, redirect_url TEXT,
        api_domain TEXT, spares TEXT, schema TEXT NOT NULL, rev TEXT NOT NULL, fence TEXT NOT NULL, ops TEXT, meta TEXT,
        rejected TEXT, client TEXT,
        access_token TEXT, expires_ms INTEGER, life_ms INTEGER, access_ends_ms INTEGER,
        ends_ms INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace, id)
    ) WITHOUT ROWID
    """,
    # A user name leads to one record for each client, whose digest is the entry; elsewhere the entry is empty.
    """
    CREATE TABLE pointers (
        namespace TEXT NOT NULL, name TEXT NOT NULL, entry TEXT NOT NULL, record_id TEXT NOT NULL,
        ends_ms INTEGER NOT NULL,
        PRIMARY KEY (namespace, name, entry)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE tombstones (
        namespace TEXT NOT NULL, name TEXT NOT NULL, fence INTEGER, heir TEXT, ends_ms INTEGER NOT NULL,
        PRIMARY KEY (namespace, name)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE leases (
        namespace TEXT NOT NULL, name TEXT NOT NULL,
        owner TEXT NOT NULL, nonce TEXT NOT NULL, fence INTEGER NOT NULL, until_ms INTEGER NOT NULL,
        attempts INTEGER NOT NULL, retry_ms INTEGER NOT NULL, reason TEXT NOT NULL, ends_ms INTEGER NOT NULL,
        wakes INTEGER NOT NULL,
        PRIMARY KEY (namespace, name)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE calls (
        namespace TEXT NOT NULL, credential TEXT NOT NULL, made_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL
    )
    """,
    "CREATE INDEX calls_of_credentials ON calls (namespace, credential, made_ms)",
    """
    CREATE TABLE events (
        number INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, at_ms INTEGER NOT NULL, event TEXT NOT NULL,
        record_id TEXT NOT NULL, author TEXT NOT NULL, more TEXT NOT NULL
    )
    """,
    *(
        f"CREATE INDEX {table}_that_end ON {table} (ends_ms) WHERE ends_ms > 0"
        for table in ("records", "pointers", "tombstones", "leases", "calls")
    ),
)


def is_prepared(connection: sqlite3.Connection) -> bool:
    """Return whether the tables are there; False for a new file.

    Raises:
        ConfigurationError: The file is another application's, or of a newer release.
    """
    application, version = _number(connection, "application_id"), _number(connection, "user_version")
    if application == APPLICATION:
        if version > VERSION:
            raise ConfigurationError("path", f"the file has schema {version}; upgrade zoho-token-store to use it")
        return True
    if application or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise ConfigurationError("path", "the file holds another application's tables")
    return False


def _number(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables; to be called in a transaction in which :func:`is_prepared` said that there are none."""
    for statement in TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
