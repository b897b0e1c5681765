"""The three stores of the article that this project starts from, as its text describes them, defects included.

"Kaizen 192 - Implementing Custom Token Persistence in Python SDK" shows a SQLite file, and speaks of SQLite in memory
and of lists. They are written anew here: what they do is theirs, the words are not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoho_token_store.zoho_sdk import OAuthToken, SDKException, TokenStore, UserSignature

COLUMNS = ("id", "user_name", "client_id", "client_secret", "refresh_token", "access_token", "grant_token",
           "expiry_time", "redirect_url", "api_domain")  # fmt: skip
GETTERS = {"user_name": "user_signature", "expiry_time": "expires_in"}


def row_of(token: Any) -> list[Any]:
    """Return a token's fields in the order of the columns."""
    row = [getattr(token, f"get_{GETTERS.get(column, column)}")() for column in COLUMNS]
    row[1] = row[1] and row[1].get_name()
    return row


def fill(token: Any, row: Sequence[Any]) -> Any:
    """Fill what a token lacks."""
    for column, value in zip(COLUMNS, row, strict=True):
        name = GETTERS.get(column, column)
        if getattr(token, f"get_{name}")() is None and value is not None:
            getattr(token, f"set_{name}")(UserSignature(value) if column == "user_name" else value)
    return token


def bare_token(row: Sequence[Any]) -> Any:
    """Return a token that was made without its constructor."""
    token = object.__new__(OAuthToken)
    for column in COLUMNS:
        getattr(token, f"set_{GETTERS.get(column, column)}")(None)
    return fill(token, row)


def selector(token: Any) -> tuple[str, str] | None:
    """Return by which column a token is looked for: user, access token without client, grant code, refresh token."""
    row = dict(zip(COLUMNS, row_of(token), strict=True))
    client = row["client_id"] is not None or row["client_secret"] is not None
    if token.get_user_signature() is not None:
        return ("user_name", row["user_name"]) if row["user_name"] else None
    if row["access_token"] is not None and not client:
        return "access_token", row["access_token"]
    for column in ("grant_token", "refresh_token"):
        if row[column]:
            return column, row[column]
    return None


class ArticleSQLite(TokenStore):
    """Tokens in a SQLite file, one connection for each call; statements are put together from text.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        connection = self._connect()
        names = ", ".join(f"{column} varchar(255)" for column in COLUMNS[1:])
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS oauthtoken (id varchar(10) NOT NULL, {names}, primary key (id))"
        )
        connection.commit()
        self._leave(connection)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path)

    def _leave(self, connection: sqlite3.Connection) -> None:
        connection.close()

    def find_token(self, token: Any) -> Any:
        wanted = selector(token)
        where = f" where {wanted[0]}='{wanted[1]}'" if wanted else ""
        rows = self._ask(f"select * from oauthtoken{where} limit 1")
        return fill(token, rows[0]) if rows else None

    def save_token(self, token: Any) -> None:
        wanted = selector(token)
        row = dict(zip(COLUMNS, row_of(token), strict=True))
        connection = self._connect()
        try:
            sets = ", ".join(f"{column}='{row[column]}'" for column in COLUMNS[1:] if row[column] is not None)
            changed = 0
            if wanted:
                query = f"update oauthtoken set {sets} where {wanted[0]}='{wanted[1]}'"
                changed = connection.execute(query).rowcount
            if changed <= 0:
                if token.get_id() is None:
                    newest = connection.execute("select max(id) from oauthtoken").fetchone()[0]
                    token.set_id(str(1 if newest is None else int(newest) + 1))
                connection.execute(f"insert into oauthtoken values ({', '.join('?' * len(COLUMNS))})", row_of(token))
            connection.commit()
        except Exception as error:
            raise SDKException("TOKEN_STORE", "it could not be saved", None, error) from error
        finally:
            self._leave(connection)

    def delete_token(self, id: str) -> None:
        self._ask(f"delete from oauthtoken where id= {id};")

    def get_tokens(self) -> list[Any]:
        return [bare_token(row) for row in self._ask("select * from oauthtoken;")]

    def delete_tokens(self) -> None:
        connection = self._connect()
        try:
            connection.execute("delete from oauthtoken;")
            self.connection.commit()  # which there is not
        finally:
            self._leave(connection)

    def find_token_by_id(self, id: str) -> Any:
        rows = self._ask(f"select * from oauthtoken where id='{id}'")
        if not rows:
            raise SDKException("TOKEN_STORE", "there is no such token")
        return bare_token(rows[0])

    def _ask(self, query: str) -> list[Any]:
        connection = self._connect()
        try:
            rows = connection.execute(query).fetchall()
            connection.commit()
            return rows
        except Exception as error:
            raise SDKException("TOKEN_STORE", "the database has failed", None, error) from error
        finally:
            self._leave(connection)


class ArticleMemory(ArticleSQLite):
    """The same in SQLite's memory, over one connection."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        super().__init__(Path())

    def _connect(self) -> sqlite3.Connection:
        return self.connection

    def _leave(self, connection: sqlite3.Connection) -> None:
        connection.rollback()


class ArticleList(TokenStore):
    """Tokens in a list of lists."""

    def __init__(self) -> None:
        self._rows: list[list[Any]] = []

    def _found(self, token: Any) -> list[Any] | None:
        wanted = selector(token)
        if wanted is None:
            return None
        at = COLUMNS.index(wanted[0])
        return next((row for row in self._rows if row[at] == wanted[1]), None)

    def find_token(self, token: Any) -> Any:
        row = self._found(token)
        return None if row is None else fill(token, row)

    def save_token(self, token: Any) -> None:
        row = self._found(token)
        if row is None:
            if token.get_id() is None:
                token.set_id(str(1 + max((int(row[0]) for row in self._rows), default=0)))
            self._rows.append(row_of(token))
            return
        for at, value in enumerate(row_of(token)):
            if at and value is not None:
                row[at] = value

    def delete_token(self, id: str) -> None:
        self._rows = [row for row in self._rows if row[0] != id]

    def get_tokens(self) -> list[Any]:
        return [bare_token(row) for row in self._rows]

    def delete_tokens(self) -> None:
        self._rows = []

    def find_token_by_id(self, id: str) -> Any:
        row = next((row for row in self._rows if row[0] == id), None)
        if row is None:
            raise SDKException("TOKEN_STORE", "there is no such token")
        return bare_token(row)
