"""The rows of a FileStore's file, whatever the SDK's races have left of them: rules without I/O.

Each line is read by itself, so that what is broken in one costs no other. What cannot be known is not guessed: it is
left out and said.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence

from zoho_token_store.errors import ConfigurationError
from zoho_token_store.migration.columns import COLUMNS, Unfit, column_of, is_client_id, read_row
from zoho_token_store.migration.entry import Entry, Read, Remark, Unreadable

OLDER = len(COLUMNS) - 1
"""How many columns there were before ``api_domain``."""

SPARE = 2
"""How many empty columns more than there should be are no sign of rows that have run into one."""

_NEEDED = COLUMNS.index("refresh_token")
_SDK_ID = re.compile(r"[0-9]{1,16}")
_WIDE_MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_lines(content: bytes, encoding: str | None) -> Iterator[Read]:
    """Yield the rows of a file, and what is to be said of it.

    Args:
        content: The file.
        encoding: In what it is written; None for UTF-8, or for what a byte order mark says.

    Raises:
        ConfigurationError: It is in another encoding altogether.
    """
    names: Sequence[str] | None = None
    lines = _lines(content, encoding)
    spans, last = _spans(lines), 0
    for number, line in enumerate(lines, 1):
        where, ended = f"line {number}", number < len(lines)
        if not line or number <= last:
            continue
        last = spans.get(number, number)
        try:
            if last > number:
                raise Unfit(f"it goes on until line {last}: one of its values has a line break in it")
            fields = _split(line)
            if _is_header(fields):
                remark, names = _read_header(fields, names)
                if remark:
                    yield Remark(where, remark)
                continue
            if names is None:
                names = COLUMNS
                yield Remark(where, "the header is missing; the columns are taken to be in the SDK's order")
            yield _read_fields(where, fields, names, ended=ended)
        except Unfit as reason:
            yield Unreadable(where, str(reason))


def _lines(content: bytes, encoding: str | None) -> list[str]:
    """Return the lines of a file without their ends; the last is what stands behind the last end."""
    mark = next((name for start, name in _WIDE_MARKS if content.startswith(start)), None)
    name = encoding or mark or "utf-8-sig"
    try:
        # Bytes that cannot be read are kept apart (PEP 383), for the line that has them to be named.
        text = content.decode(name, "strict" if name.startswith("utf-16") else "surrogateescape")
    except (LookupError, UnicodeError):
        raise ConfigurationError("encoding", f"the file cannot be read in {name!a}") from None
    if "\n" not in text:  # as old Macs end their lines
        return text.split("\r")
    return [line.rstrip("\r") for line in text.split("\n")]


def _spans(lines: Sequence[str]) -> dict[int, int]:
    """Return the last line of each row that goes on over several, by the first.

    Its parts must not be read as rows: they would be some that have lost their first columns.
    """
    spans: dict[int, int] = {}
    first = None
    for number, line in enumerate(lines, 1):
        if _is_open(line):
            if first is not None and _is_one_row(lines[first - 1 : number]):
                spans[first], first = number, None
            else:
                first = number
    return spans


def _is_open(line: str) -> bool:
    """Return whether a quotation mark of a line is not closed in it, or closes what was open before."""
    return line.count('"') % 2 == 1


def _is_one_row(lines: Sequence[str]) -> bool:
    try:
        rows = list(csv.reader([f"{line}\n" for line in lines], strict=True))
    except csv.Error:
        return False
    return len(rows) == 1 and OLDER <= len(rows[0]) <= len(COLUMNS) + SPARE


def _split(line: str) -> list[str]:
    if "\0" in line:
        raise Unfit("it holds zeros: two processes have written the file at once")
    if _is_open(line):
        raise Unfit("its quotation marks do not close")
    if "\r" in line:
        raise Unfit("it holds a carriage return")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        if "field limit" in str(error):
            raise Unfit(f"one of its values is longer than {csv.field_size_limit():,} characters") from None
        raise Unfit("its quotation marks do not stand where values begin and end") from None


def _is_header(fields: Sequence[str]) -> bool:
    names = [column_of(field) for field in fields[:2]]
    return names in (["id", "user_name"], ["id"])


def _read_header(fields: Sequence[str], known: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    """Return what is to be said of a header, and the columns from here on."""
    if known is not None:
        return "another header", known
    names = [column_of(field) for field in fields]
    if len({*names}) == len(names) >= OLDER and {*names} <= {*COLUMNS}:
        return "", names
    return "the header cannot be read; the columns are taken to be in the SDK's order", COLUMNS


def _read_fields(where: str, fields: list[str], names: Sequence[str], *, ended: bool) -> Entry:
    fields, notes = _fit(fields, names, ended=ended)
    data, more = read_row(dict(zip(names, fields, strict=False)))
    return Entry(where, data, (*notes, *more))


def _fit(fields: list[str], names: Sequence[str], *, ended: bool) -> tuple[list[str], list[str]]:
    """Return as many fields as there are columns, at most, and what was left out.

    Raises:
        Unfit: They cannot be told apart, or are too few.
    """
    notes = []
    width = len(fields)
    if width <= len(names) + SPARE and not any(fields[len(names) :]):
        fields = fields[: len(names)]
    if len(fields) > len(names):
        raise Unfit(f"it has {width} columns in place of {len(names)}: rows have run into one")
    if width != len(names) and not _begins_in_place(fields, names):
        raise Unfit(f"it has {width} columns in place of {len(names)}, and does not begin with the number of a row")
    if len(fields) < width:
        notes.append(f"it has {width} columns in place of {len(names)}; the last ones are empty")
    # The SDK ends every line: one without an end was cut, and so may be its last field.
    cut = not ended or len(fields) < OLDER
    if cut and fields[-1]:
        notes.append(f"it is cut short: its {names[len(fields) - 1]} may be, and is left out")
        fields = fields[:-1]
    if len(fields) <= _NEEDED:
        raise Unfit(f"it is cut short: {width} of {len(names)} columns")
    if not cut and len(fields) < len(names):
        notes.append(f"it has no {names[-1]}")
    if cut and len(fields) < len(names):
        notes.append(f"it has {len(fields)} of {len(names)} columns")
    return fields, notes


def _begins_in_place(fields: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether a row has its first columns: one that has lost some has its client secret for a client id.

    The SDK's ids are numbers. What an application takes for one may be anything, so there the client id has to tell.
    """
    return _SDK_ID.fullmatch(fields[0]) is not None or is_client_id(
        dict(zip(names, fields, strict=False)).get("client_id", "")
    )
