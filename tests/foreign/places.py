"""The stores that are compared, each in a new place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.store import DBStore, FileStore

from foreign import mariadb
from foreign.article import ArticleList, ArticleMemory, ArticleSQLite
from servers import Server
from zoho_token_store import MemoryTokenStore, RedisTokenStore, SQLiteTokenStore


class Opening:
    """See :class:`foreign.rules.Place`.

    Args:
        make: Opens the store.
        file: Where it is.
        alone: Whether it is for one process only.
    """

    def __init__(self, make: Callable[[], Any], file: Path | None = None, *, alone: bool = False) -> None:
        self.open = make
        self.file = file
        self._only = make() if alone else None

    def worker(self) -> Any:
        return self._only or self.open()


NAMES = ("FileStore", "DBStore", "article: SQLite", "article: in memory", "article: lists",
         "MemoryTokenStore", "SQLiteTokenStore", "RedisTokenStore")  # fmt: skip


class Places:
    """Makes places.

    Args:
        folder: Where files may be.
        database_port: Of a MariaDB or MySQL server; None for none.
        redis: A server.
    """

    def __init__(self, folder: Path, database_port: int | None, redis: Server) -> None:
        self._folder = folder
        self._port = database_port
        self._redis = redis
        self._made = 0

    @contextmanager
    def new(self, name: str) -> Iterator[Opening]:
        """Provide a place with nothing in it for a store by its name."""
        self._made += 1
        path = self._folder / f"tokens-{self._made}"
        with ExitStack() as stack:
            match name:
                case "FileStore":
                    yield Opening(lambda: FileStore(str(path)), path)
                case "DBStore":
                    assert self._port is not None
                    database = mariadb.empty_database(self._port)
                    stack.callback(mariadb.drop_database, self._port, database)
                    where = {"host": "127.0.0.1", "user_name": "root", "password": "", "port_number": str(self._port)}
                    yield Opening(lambda: DBStore(database_name=database, **where))
                case "article: SQLite":
                    yield Opening(lambda: ArticleSQLite(path), path)
                case "article: in memory":
                    yield Opening(ArticleMemory, alone=True)
                case "article: lists":
                    yield Opening(ArticleList, alone=True)
                case "MemoryTokenStore":
                    yield Opening(MemoryTokenStore, alone=True)
                case "SQLiteTokenStore":
                    yield Opening(lambda: SQLiteTokenStore(path, operation_timeout=30.0), path)
                case "RedisTokenStore":
                    namespace = f"foreign-{os.getpid()}-{self._made}"
                    yield Opening(lambda: RedisTokenStore.from_url(self._redis.url, namespace))
