"""The SDK's ``DBStore`` on a MariaDB: a connection for each call, and no index but that of the id."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.store import DBStore

from benchmarks.file_store import write_rows
from benchmarks.rivals.file_store import write_csv
from benchmarks.rivals.foreign import mariadb
from benchmarks.rivals.rival import Site

MEMORY = 2 * 1024**3
"""Bytes that the server may use for its tables: all that is loaded lies in memory, as with Redis."""
LOAD = """
    LOAD DATA LOCAL INFILE %s INTO TABLE oauthtoken
    FIELDS TERMINATED BY ',' LINES TERMINATED BY '\\r\\n' IGNORE 1 LINES
"""
SIZE = """
    SELECT sum(file_size) FROM information_schema.innodb_sys_tablespaces WHERE name = concat(database(), '/oauthtoken')
"""


class Database:
    """A database with the SDK's table, and durable as MariaDB is by default.

    Args:
        site: Where it is.
    """

    name = "DBStore (MariaDB)"
    waits = False
    holds_tokens = True

    def __init__(self, site: Site) -> None:
        folder = site.folder / "database"
        folder.mkdir()
        self._csv = site.folder / "database.csv"
        self._port = site.stack.enter_context(mariadb.running(folder))
        self._name = mariadb.empty_database(self._port)
        site.stack.callback(mariadb.drop_database, self._port, self._name)
        if mariadb.PORT not in os.environ:  # another's server is left as it is
            self._ask(f"SET GLOBAL innodb_buffer_pool_size = {MEMORY}")

    @classmethod
    def is_there(cls) -> str:
        return "" if mariadb.is_there() else "no mariadbd, or no mysql-connector-python"

    def load(self, count: int) -> list[str]:
        write_csv(self._csv, count)
        self._ask("TRUNCATE oauthtoken")
        self._ask(LOAD, str(self._csv))
        self._csv.unlink()
        return [str(number + 1) for number in range(count)]

    def opener(self) -> Callable[[], Any]:
        where = {"host": "127.0.0.1", "user_name": "root", "password": "", "port_number": str(self._port)}
        return partial(DBStore, database_name=self._name, **where)

    def scan(self, store: Any) -> Iterable[Any]:
        tokens: list[Any] = store.get_tokens()
        return tokens

    def used(self) -> int:
        (row,) = self._ask(SIZE)
        return int(row[0])

    def expire(self, token: Any) -> None:
        write_rows(self._csv, [token])
        self._ask("TRUNCATE oauthtoken")
        self._ask(LOAD, str(self._csv))

    def _ask(self, statement: str, *values: str) -> list[Any]:
        connection = mariadb.connect(self._port, database=self._name, allow_local_infile=True, autocommit=True)
        try:
            cursor = connection.cursor()
            cursor.execute(statement, values)
            rows: list[Any] = cursor.fetchall() if cursor.with_rows else []
            return rows
        finally:
            connection.close()
