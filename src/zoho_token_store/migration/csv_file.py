"""The file of the SDK's ``FileStore``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from zoho_token_store.clock import SystemClock
from zoho_token_store.match import TokenData
from zoho_token_store.migration.columns import COLUMNS, row_of
from zoho_token_store.migration.csv_rows import read_lines
from zoho_token_store.migration.entry import Read
from zoho_token_store.migration.file_place import FilePlace
from zoho_token_store.migration.ids import Numbers
from zoho_token_store.migration.shelf import NewId

HEADER = [{"redirect_url": "redirect_uri"}.get(name, name) for name in COLUMNS]
"""As the SDK writes it."""


class CsvFile(FilePlace):
    """A FileStore's file: read with nine columns or ten, written with ten and in UTF-8.

    Args:
        path: Where.
        clock: This machine's clocks.
        encoding: In what it is written, for one that is neither in UTF-8 nor says so.
    """

    def __init__(self, path: str, clock: SystemClock, encoding: str | None = None) -> None:
        super().__init__(path, clock)
        self._encoding = encoding

    def _parse(self, content: bytes) -> Iterator[Read]:
        return read_lines(content, self._encoding)

    def _render(self, rows: Iterable[TokenData]) -> Iterator[bytes]:
        yield self._line(HEADER)
        for row in rows:
            yield self._line([value or "" for value in row_of(row).values()])

    def _line(self, fields: list[str]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text).writerow(fields)
        return text.getvalue().encode()

    def _new_id(self, rows: Sequence[TokenData]) -> NewId:
        numbers = [int(row.id) for row in rows if row.id is not None and row.id.isdecimal()]
        return Numbers(max(numbers, default=0), longest=16)
