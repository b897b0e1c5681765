"""The SDK's ``FileStore``: a CSV file that each call reads from its beginning."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore

from benchmarks.file_store import COLUMNS, write_rows
from benchmarks.rivals.rival import Site
from benchmarks.tokens import row


class File:
    """A file of the SDK's.

    Args:
        site: Where it is.
    """

    name = "FileStore"
    waits = False
    holds_tokens = True

    def __init__(self, site: Site) -> None:
        self._path = site.folder / "tokens.csv"

    @classmethod
    def is_there(cls) -> str:
        return ""

    def load(self, count: int) -> list[str]:
        write_csv(self._path, count)
        return [str(number + 1) for number in range(count)]

    def opener(self) -> Callable[[], Any]:
        return partial(FileStore, str(self._path))

    def scan(self, store: Any) -> Iterable[Any]:
        tokens: list[Any] = store.get_tokens()
        return tokens

    def used(self) -> int:
        return self._path.stat().st_size

    def expire(self, token: Any) -> None:
        write_rows(self._path, [token])


def write_csv(path: Path, count: int) -> None:
    """Write tokens as FileStore does."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(row(number) for number in range(count))
