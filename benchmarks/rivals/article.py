"""The article's SQLite store: a file, a connection for each call, and no index but that of the id."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from typing import Any

from benchmarks.rivals.foreign import article
from benchmarks.rivals.rival import Site
from benchmarks.tokens import row

INSERT = "INSERT INTO oauthtoken VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Article:
    """A SQLite file as the article has it.

    Args:
        site: Where it is.
    """

    name = "the article's SQLite store"
    waits = False
    holds_tokens = True

    def __init__(self, site: Site) -> None:
        self._path = site.folder / "zohooauth.db"

    @classmethod
    def is_there(cls) -> str:
        return ""

    def load(self, count: int) -> list[str]:
        self._path.unlink(missing_ok=True)
        self.opener()()
        self._insert(row(number) for number in range(count))
        return [str(number + 1) for number in range(count)]

    def opener(self) -> Callable[[], Any]:
        return partial(article.ArticleSQLite, self._path)

    def scan(self, store: Any) -> Iterable[Any]:
        tokens: list[Any] = store.get_tokens()
        return tokens

    def used(self) -> int:
        return self._path.stat().st_size

    def expire(self, token: Any) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("DELETE FROM oauthtoken")
        self._insert([article.row_of(token)])

    def _insert(self, rows: Iterable[Any]) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.executemany(INSERT, rows)
