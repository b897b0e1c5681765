"""The MySQL table of the SDK's ``DBStore``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import ConfigurationError, StoreUnavailable
from zoho_token_store.migration.entry import Read
from zoho_token_store.migration.sql_table import SqlTable

try:
    import mysql.connector as driver
except ImportError:
    driver = None  # type: ignore[assignment]  # an extra

PASSWORD_VARIABLE = "MYSQL_PWD"  # noqa: S105 - the name of a variable, which MySQL's own commands read
FORM = "must be mysql://USER@HOST[:PORT]/DATABASE?table=NAME"
TABLE = "oauthtoken"
STEP = 500
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


class Address(NamedTuple):
    """Where a table is.

    Attributes:
        connection: What the driver's ``connect`` takes.
        table: The name of the table.
    """

    connection: dict[str, Any]
    table: str

    def __repr__(self) -> str:
        return f"Address(..., table={self.table!r})"  # there is a password in it


def read_address(url: str, environ: Mapping[str, str]) -> Address:
    """Return where a URL leads.

    Args:
        url: ``mysql://user@host:port/database?table=oauthtoken``; ``ssl_ca=FILE`` has the server's certificate and name
            checked. A password is better in ``MYSQL_PWD`` than in a URL, which others may see.
        environ: The environment.

    Raises:
        ConfigurationError: It cannot be used; nothing of it is repeated.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 3306
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ConfigurationError("mysql", FORM) from None
    database, table = unquote(parts.path.removeprefix("/")), options.pop("table", TABLE)
    authority = options.pop("ssl_ca", None)
    if not host or not parts.username or not _NAME.fullmatch(database) or options or parts.fragment:
        raise ConfigurationError("mysql", FORM)
    if not _NAME.fullmatch(table):
        raise ConfigurationError("table", "must be 1 to 64 letters, digits and _")
    password = environ.get(PASSWORD_VARIABLE, "") if parts.password is None else unquote(parts.password)
    checked = {"ssl_ca": authority, "ssl_verify_cert": True, "ssl_verify_identity": True} if authority else {}
    user = unquote(parts.username)
    where = {"host": host, "port": port, "user": user, "password": password, "database": database}
    return Address({**where, **checked}, table)


class MySqlTable(SqlTable):
    """A table in a MySQL or MariaDB; it must be there.

    Args:
        address: Where.
        clock: This machine's clocks.
    """

    mark = "%s"

    def __init__(self, address: Address, clock: SystemClock | None = None) -> None:
        super().__init__(clock or SystemClock())
        if driver is None:
            raise ConfigurationError(
                "mysql", "needs the package mysql-connector-python: pip install 'zoho-token-store[mysql]'"
            )
        self._address = address
        self._connection: Any = None

    @property
    def _table(self) -> str:
        return f"`{self._address.table}`"

    def read(self, batch: int) -> Iterator[Read]:
        """See :class:`Place`; both passes see one state of it."""
        if not self._open().in_transaction:
            self._open().start_transaction(consistent_snapshot=True, isolation_level="REPEATABLE READ")
        return super().read(batch)

    def _open(self) -> Any:
        if self._connection is None:
            try:
                self._connection = driver.connect(
                    **self._address.connection,
                    charset="utf8mb4",
                    connection_timeout=10,
                    autocommit=False,
                    consume_results=True,
                )
            except driver.Error as error:
                raise _failure("cannot be reached", error) from None
        return self._connection

    def _rows(self, statement: str, values: Sequence[object] = ()) -> Iterator[Sequence[Any]]:
        cursor = None
        try:
            cursor = self._open().cursor()  # which reads as it goes
            cursor.execute(statement, tuple(values))
            while rows := cursor.fetchmany(STEP):
                yield from rows
        except driver.Error as error:
            raise _failure("cannot be read", error) from None
        finally:
            if cursor is not None:
                with suppress(driver.Error):
                    cursor.close()

    def _run(self, statement: str, values: Sequence[object]) -> None:
        try:
            cursor = self._open().cursor()
            cursor.execute(statement, tuple(values))
            cursor.close()
        except driver.Error as error:
            raise _failure("cannot be written", error) from None

    def _columns(self) -> dict[str, int | None]:
        named = "SELECT column_name, character_maximum_length FROM information_schema.columns"
        rows = self._rows(f"{named} WHERE table_schema = DATABASE() AND table_name = %s", (self._address.table,))
        found = {str(name): length for name, length in rows if "`" not in str(name)}
        if not found:
            raise ConfigurationError("table", "there is no such table, or this user may not see it")
        return found

    def _begin(self) -> None:
        try:
            if self._open().in_transaction:
                self._open().rollback()
            self._open().start_transaction(isolation_level="REPEATABLE READ")
        except driver.Error as error:
            raise _failure("cannot be written", error) from None

    def _end(self, *, commit: bool) -> None:
        try:
            if commit:
                self._open().commit()
            else:
                self._open().rollback()
        except driver.Error as error:
            raise _failure("cannot be written", error) from None

    def close(self) -> None:
        """See :class:`Place`."""
        if self._connection is not None:
            with suppress(driver.Error):
                self._connection.close()
            self._connection = None


def _failure(what: str, error: Exception) -> StoreUnavailable:
    # The driver's message may quote a value; its number says enough.
    number = getattr(error, "errno", None)
    return StoreUnavailable(f"the MySQL table {what} (error {number} of the server or the driver)", passing=False)
