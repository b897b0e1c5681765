"""Tables like that of the SDK's ``DBStore``, in whichever database."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from zoho_token_store.adoption import CONFLICT, CREATED, UPDATED, Adoption
from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.match import TokenData
from zoho_token_store.migration.columns import COLUMNS, Unfit, column_of, read_row, row_of
from zoho_token_store.migration.entry import Entry, Read, Unreadable
from zoho_token_store.migration.ids import Numbers
from zoho_token_store.migration.place import Place
from zoho_token_store.migration.shelf import Shelf

NEEDED = {"id", "user_name", "client_id", "client_secret", "refresh_token", "access_token", "expiry_time"}
"""Without these a table is no table of tokens."""

KEYS = ("refresh_token", "grant_token", "user_name", "access_token")
"""By these the rows are looked up that a token may meet."""


class SqlTable(Place):
    """A table, over one connection; what is read is read in one transaction.

    Args:
        clock: This machine's clocks.

    Attributes:
        mark: What stands for a value in a statement.
    """

    is_unique = False
    mark = "?"

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._names: dict[str, str] | None = None
        self._numbers: Numbers | None = None

    @property
    @abstractmethod
    def _table(self) -> str:
        """The quoted name of the table."""

    @abstractmethod
    def _rows(self, statement: str, values: Sequence[object] = ()) -> Iterator[Sequence[Any]]:
        """Yield the rows of a query, without holding them all in memory."""

    @abstractmethod
    def _run(self, statement: str, values: Sequence[object]) -> None:
        """Run a statement of the transaction that writes."""

    @abstractmethod
    def _columns(self) -> dict[str, int | None]:
        """Return the names of the table's columns, and how many characters each may have; None for any number."""

    @abstractmethod
    def _begin(self) -> None:
        """Begin a transaction that writes."""

    @abstractmethod
    def _end(self, *, commit: bool) -> None:
        """End it."""

    def read(self, batch: int) -> Iterator[Read]:
        """See :class:`Place`."""
        names = self._named()
        quoted = ", ".join(_quoted(names[name]) for name in names)
        rows = self._rows(f"SELECT {quoted} FROM {self._table} ORDER BY {_quoted(names['id'])}")
        for number, row in enumerate(rows, 1):
            where = f"row {number}"
            try:
                data, notes = read_row(dict(zip(names, map(_text, row), strict=True)))
            except Unfit as reason:
                yield Unreadable(where, str(reason))
            else:
                yield Entry(where, data, tuple(notes))

    def count(self) -> int | None:
        """See :class:`Place`."""
        self._named()
        ((count,),) = self._rows(f"SELECT count(*) FROM {self._table}")
        return int(count)

    def settle(self, tokens: Sequence[TokenData], *, write: bool) -> list[Adoption]:
        """See :class:`Place`: one transaction."""
        names = self._named()
        if write:
            self._begin()
        try:
            shelf = self._shelf_of(tokens, names)
            adoptions = [self._settle_one(shelf, data) for data in tokens]
            if write:
                self._write(shelf, names)
        except BaseException:
            if write:
                self._end(commit=False)
            raise
        if write:
            self._end(commit=True)
        return adoptions

    def _named(self) -> dict[str, str]:
        """Return what the table calls each column of ours that it has."""
        if self._names is None:
            self._widths = {column_of(name): width for name, width in self._columns().items()}
            names = {column_of(name): name for name in self._columns()}
            missing = NEEDED - names.keys()
            if missing:
                raise ConfigurationError("table", f"is no table of tokens: it has no {', '.join(sorted(missing))}")
            self._names = {name: names[name] for name in COLUMNS if name in names}
        return self._names

    def _shelf_of(self, tokens: Sequence[TokenData], names: dict[str, str]) -> Shelf:
        """Return the rows that tokens may meet; a database may find more than are the same to us."""
        found: dict[str, TokenData] = {}
        for column in (*KEYS, "id"):
            values = sorted({str(value) for data in tokens if (value := getattr(data, column)) is not None})
            if not values or column not in names:
                continue
            marks = ", ".join([self.mark] * len(values))
            quoted = ", ".join(_quoted(each) for each in names.values())
            where = f"{_quoted(names[column])} IN ({marks})"
            for row in self._rows(f"SELECT {quoted} FROM {self._table} WHERE {where}", values):
                data = _held(dict(zip(names, map(_text, row), strict=True)))
                if data.id is not None:  # without its key a row cannot be written
                    found[data.id] = data
        return Shelf(found.values(), self._drawn(names), int(self._clock.wall() * 1000))

    def _drawn(self, names: dict[str, str]) -> Numbers:
        """Return what names new rows: it goes on where the table ends, and then by itself."""
        if self._numbers is None:
            ids = self._rows(f"SELECT {_quoted(names['id'])} FROM {self._table}")
            highest = max((int(text) for (value,) in ids if (text := _text(value) or "").isdecimal()), default=0)
            self._numbers = Numbers(highest, self._widths.get("id") or 16)
        return self._numbers

    def _settle_one(self, shelf: Shelf, data: TokenData) -> Adoption:
        too_long = [
            name
            for name, value in row_of(data).items()
            if name != "id" and value is not None and len(value) > (self._widths.get(name) or len(value))
        ]
        if too_long:
            return Adoption(CONFLICT, None, f"its {too_long[0]} is longer than the table's column")
        absent = [name for name, value in row_of(data).items() if value is not None and name not in self._named()]
        adoption = shelf.settle(data)
        if absent and adoption.outcome in (CREATED, UPDATED):
            return adoption._replace(reason=f"the table has no column {absent[0]}")
        return adoption

    def _write(self, shelf: Shelf, names: dict[str, str]) -> None:
        columns = ", ".join(_quoted(each) for each in names.values())
        marks = ", ".join([self.mark] * len(names))
        for place in shelf.made:
            row = row_of(shelf.rows[place])
            self._run(f"INSERT INTO {self._table} ({columns}) VALUES ({marks})", [row[name] for name in names])
        sets = ", ".join(f"{_quoted(names[name])} = {self.mark}" for name in names if name != "id")
        update = f"UPDATE {self._table} SET {sets} WHERE {_quoted(names['id'])} = {self.mark}"
        for place in shelf.changed:
            row = row_of(shelf.rows[place])
            self._run(update, [*(row[name] for name in names if name != "id"), row["id"]])


def _quoted(name: str) -> str:
    return f"`{name}`"  # as both MySQL and SQLite take it; a backtick in it was refused where names are read


def _text(value: object) -> str | None:
    """Return a value as text: a database may have made a number of it."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "surrogateescape")
    return None if value is None else str(value)


def _held(row: dict[str, str | None]) -> TokenData:
    """Return what a row of the target says, whatever it is worth."""
    expires_in = row.pop("expiry_time", None)
    return TokenData(**{name: value or None for name, value in row.items()}, expires_in=expires_in or None)
