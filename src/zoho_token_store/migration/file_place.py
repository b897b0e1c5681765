"""Files of tokens: read at once, changed in memory, and replaced as a whole."""

from __future__ import annotations

import os
import tempfile
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from zoho_token_store.adoption import Adoption
from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import ConfigurationError, StoreUnavailable
from zoho_token_store.match import TokenData
from zoho_token_store.migration.entry import Entry, Read, Remark, Unreadable
from zoho_token_store.migration.place import Place
from zoho_token_store.migration.shelf import NewId, Shelf

CHANGED = "the file was written by another process meanwhile; nothing of it was changed, run it again"


class FilePlace(Place):
    """A file that may not exist yet.

    It is held in memory, since whoever else writes such a file does so in place: only what was read at once belongs
    together.

    Args:
        path: Where.
        clock: This machine's clocks.
    """

    is_unique = False

    def __init__(self, path: str, clock: SystemClock) -> None:
        self._path = path
        self._clock = clock
        self._seen: tuple[int, ...] | None = None
        self._content: bytes | None = None
        self._shelf: Shelf | None = None

    @abstractmethod
    def _parse(self, content: bytes) -> Iterator[Read]:
        """Yield the rows of a file."""

    @abstractmethod
    def _render(self, rows: Iterable[TokenData]) -> Iterator[bytes]:
        """Yield a file of rows, piece by piece."""

    @abstractmethod
    def _new_id(self, rows: Sequence[TokenData]) -> NewId:
        """Return what names new rows, beside those that are there."""

    def read(self, batch: int) -> Iterator[Read]:
        """See :class:`Place`."""
        content = self._load()
        if self._seen is None:
            raise ConfigurationError("source", "there is no such file")
        return self._parse(content)

    def count(self) -> int | None:
        """See :class:`Place`."""
        return self._load().count(b"\n") or self._load().count(b"\r")

    def settle(self, tokens: Sequence[TokenData], *, write: bool) -> list[Adoption]:
        """See :class:`Place`; nothing is written before the end."""
        if self._shelf is None:
            rows = list(self._rows())
            self._shelf = Shelf(rows, self._new_id(rows), int(self._clock.wall() * 1000))
        return [self._shelf.settle(data) for data in tokens]

    def finish(self) -> None:
        """Replace the file, if anything has changed and nobody else has written it.

        Raises:
            StoreUnavailable: It cannot be written, or was.
        """
        shelf = self._shelf
        if shelf is None or not (shelf.made or shelf.changed):
            return
        try:
            self._replace(shelf.rows)
        except OSError as error:
            raise StoreUnavailable("the file cannot be written", cause=error, passing=False) from error

    def close(self) -> None:
        """See :class:`Place`."""

    def _load(self) -> bytes:
        if self._content is None:
            try:
                with open(self._path, "rb") as file:
                    self._content, self._seen = file.read(), _identity(os.fstat(file.fileno()))
            except FileNotFoundError:
                self._content = b""
            except OSError as error:
                raise ConfigurationError("path", "cannot be read", cause=error) from None
        return self._content

    def _rows(self) -> Iterator[TokenData]:
        for each in self._parse(self._load()):
            if isinstance(each, Unreadable):
                # Whoever replaces a file must be able to keep all of it.
                raise ConfigurationError("target", f"{each.where} cannot be read, and would be lost: {each.reason}")
            if isinstance(each, Remark) and each.is_flaw:
                raise ConfigurationError("target", f"it is not whole: {each.text}")
            if isinstance(each, Entry):
                if each.notes:
                    raise ConfigurationError("target", f"{each.where} would lose something: {each.notes[0]}")
                yield each.data

    def _replace(self, rows: Iterable[TokenData]) -> None:
        path = os.path.realpath(self._path)  # a link stays one
        folder, name = os.path.split(path)
        number, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)  # with mode 0600
        try:
            with os.fdopen(number, "wb") as file:
                for piece in self._render(rows):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            self._match(temporary)
            os.replace(temporary, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def _match(self, temporary: str) -> None:
        """Give a new file the owner and mode of the one that it replaces, if that is still the one that was read."""
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            if self._seen is not None:
                raise StoreUnavailable(CHANGED) from None
            return
        if _identity(status) != self._seen:
            raise StoreUnavailable(CHANGED)
        os.chmod(temporary, status.st_mode & 0o777)
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            with suppress(PermissionError):
                os.chown(temporary, status.st_uid, status.st_gid)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
