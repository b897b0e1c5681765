"""Text in a SQLite file that is not UTF-8: something else has written it, and Python's error of it repeats it."""

from __future__ import annotations

import sqlite3


def lenient(stored: bytes) -> str:
    """Return a stored text; bytes that are not UTF-8 are kept apart, and can be written back (PEP 383)."""
    return stored.decode("utf-8", "surrogateescape")


def is_undecodable(error: BaseException) -> bool:
    """Return whether an error says that a text is not UTF-8: its message holds that text, which may be a token."""
    return isinstance(error, sqlite3.Error) and "Could not decode" in str(error)


def is_text(values: list[str | None]) -> bool:
    """Return whether values are texts, or None, that can be written as UTF-8."""
    try:
        text = "".join(filter(None, values))
        return text.isascii() or bool(text.encode())
    except (TypeError, UnicodeEncodeError):  # TypeError: a BLOB is among them
        return False
