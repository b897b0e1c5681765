"""An export as JSON lines, with the secrets sealed: for an archive, or to carry tokens from one place to another.

The first line says what it is, the last how many records there are. Every record is sealed for its file, its line and
what stands readable beside it, so that none can be put in another's place.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from zoho_token_store.cipher import AesGcmCipher, Cipher
from zoho_token_store.clock import SystemClock
from zoho_token_store.environment import KEYS_VARIABLE, with_environment_keys
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.match import TokenData
from zoho_token_store.migration.columns import Unfit, read_row, row_of
from zoho_token_store.migration.entry import Entry, Read, Remark, Unreadable
from zoho_token_store.migration.file_place import FilePlace
from zoho_token_store.migration.ids import new_name
from zoho_token_store.migration.shelf import NewId

FORMAT, VERSION = "zoho-token-store export", 1
SECRET = ("client_secret", "refresh_token", "access_token", "grant_token")
IDENTITY = ("user_name", "client_id", "redirect_url")
END = b'{"end"'
"""So the last line begins, and no other."""

NO_KEYS = f"an export is sealed: it needs the keys in {KEYS_VARIABLE}"
_EXPORT = re.compile(r"[A-Za-z0-9_-]{22}")


class Seal(NamedTuple):
    """What seals an export.

    Attributes:
        cipher: Seals and opens.
        hides_identity: Whether user name, client id and redirect URL are sealed too.
    """

    cipher: Cipher
    hides_identity: bool = False


def read_seal(environ: Mapping[str, str]) -> Seal:
    """Return what seals, with the keys of the environment.

    Raises:
        ConfigurationError: There are none, or they cannot be used.
    """
    found = with_environment_keys({}, environ)
    keys = found.get("encryption_keys")
    if not keys:
        raise ConfigurationError(KEYS_VARIABLE, NO_KEYS)
    return Seal(AesGcmCipher(str(keys)), bool(found.get("encrypt_identity")))


class JsonLinesFile(FilePlace):
    """A sealed export.

    Args:
        path: Where.
        clock: This machine's clocks.
        seal: What seals it.
    """

    def __init__(self, path: str, clock: SystemClock, seal: Seal) -> None:
        super().__init__(path, clock)
        self._seal = seal

    def _parse(self, content: bytes) -> Iterator[Read]:
        if not content:
            return
        lines = content.split(b"\n")
        export = _read_header(lines[0])
        records, ended = 0, False
        for number, line in enumerate(lines[1:], 2):
            if END.startswith(line):  # nothing, or so little of the end that it is no record for sure
                continue
            where, is_end = f"line {number}", line.startswith(END)
            try:
                if ended:
                    raise Unfit("it stands behind the end of the export")
                ended = is_end
                if is_end:
                    self._check_end(_object(line), export, number, records)
                else:
                    records += 1
                    yield self._read(where, _object(line), export, number)
            except Unfit as reason:
                yield Remark(where, str(reason), is_flaw=True) if is_end else Unreadable(where, str(reason))
        if not ended:
            yield Remark(f"line {len(lines)}", "the file ends without its last line: it was cut short", is_flaw=True)

    def _read(self, where: str, found: Any, export: str, number: int) -> Entry:
        if not isinstance(found, dict) or not isinstance(found.get("sealed"), str):
            raise Unfit("it is no record of an export")
        readable = {name: value for name, value in found.items() if name != "sealed"}
        opened = _object(self._opened(found["sealed"], _context(export, number, readable)))
        data, notes = read_row({**readable, **opened})
        return Entry(where, data, tuple(notes))

    def _check_end(self, found: dict[str, Any], export: str, number: int, records: int) -> None:
        count = {"end": found["end"]}
        self._opened(str(found.get("sealed")), _context(export, number, count))
        if found["end"] != records:
            raise Unfit(f"there should be {found['end']} records before it, and there are {records}")

    def _opened(self, sealed: str, context: bytes) -> bytes:
        try:
            return self._seal.cipher.decrypt(sealed, context)
        except LookupError:
            raise Unfit(f"it is sealed under a key that {KEYS_VARIABLE} does not hold") from None
        except ValueError:
            raise Unfit("it was changed, or belongs to another line or file") from None

    def _render(self, rows: Iterable[TokenData]) -> Iterator[bytes]:
        export = secrets.token_urlsafe(16)
        yield _line({"format": FORMAT, "version": VERSION, "export": export})
        records = 0
        for records, data in enumerate(rows, 1):
            row = {name: value for name, value in row_of(data).items() if value is not None}
            hidden = SECRET + IDENTITY if self._seal.hides_identity else SECRET
            readable = {name: value for name, value in row.items() if name not in hidden}
            secret = json.dumps({name: value for name, value in row.items() if name in hidden})
            yield _line({**readable, "sealed": self._sealed(secret, _context(export, records + 1, readable))})
        count = {"end": records}
        yield _line({**count, "sealed": self._sealed("", _context(export, records + 2, count))})

    def _sealed(self, text: str, context: bytes) -> str:
        return self._seal.cipher.encrypt(text.encode(), context)

    def _new_id(self, rows: Sequence[TokenData]) -> NewId:
        return new_name


def _read_header(line: bytes) -> str:
    """Return the name of an export, which its records are bound to."""
    try:
        header = json.loads(line)
        is_ours, version, export = header["format"] == FORMAT, header["version"], header["export"]
    except (ValueError, TypeError, KeyError):
        is_ours, version, export = False, 0, ""
    if not is_ours or not isinstance(export, str) or not _EXPORT.fullmatch(export):
        raise ConfigurationError("jsonl", "the file is no export of this package: its first line does not say so")
    if version != VERSION:
        raise ConfigurationError("jsonl", "the export was written by a newer release")
    return export


def _object(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise Unfit("it is no JSON object: it was cut short, or changed") from None


def _context(export: str, number: int, readable: Mapping[str, object]) -> bytes:
    return json.dumps([FORMAT, VERSION, export, number, dict(sorted(readable.items()))]).encode()


def _line(what: Mapping[str, object]) -> bytes:
    return json.dumps(what).encode() + b"\n"
