"""How a record lies in Redis: its fields in the clear, or sealed with a cipher.

A sealed field is ``sealed.<ciphertext>``. It opens only as the field of the record that it was written for. The
bookkeeping opens only beside the user name, client id, redirect URL and API domain that it was sealed with: these may
stay readable, but whoever can write to Redis cannot give a record another owner. An access token opens only beside its
expiry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from zoho_token_store.cipher import Cipher
from zoho_token_store.errors import CorruptRecord, DecryptionFailed, StoreUnavailable
from zoho_token_store.keyspace import client_digest
from zoho_token_store.options import Options
from zoho_token_store.record import SEALED_SCHEMA, Access, TokenRecord, is_number

COMPACT = 64
"""Redis keeps a hash compact, in half the memory, as long as no value is longer (``hash-max-listpack-value``)."""

SPLIT = ("refresh_token", "grant_token")
"""Fields of a length that Zoho makes 70: what is beyond ``COMPACT`` stands in a field of its own, named with a "+"."""

MARK = "sealed."
"""Begins every sealed value."""

SECRET = ("client_secret", "refresh_token", "grant_token", "spares", "meta")
"""Fields that are sealed. The bookkeeping is no secret, but vouches for the rest."""

IDENTITY = ("user_name", "client_id", "redirect_url")
"""Fields that are sealed if the identity shall not be readable either."""

STORED = TokenRecord._fields[1:-2]
"""The fields of a record, in the order in which they are read."""

_OPENED = [(name, STORED.index(name)) for name in (*IDENTITY, *SECRET) if name != "meta"]
_OWNERS = frozenset((*IDENTITY, "api_domain"))
_OWNERSHIP = [at for at, name in enumerate(STORED) if name in _OWNERS]
_NUMBERS = [STORED.index(name) for name in ("schema", "rev", "fence")]
_REFRESH, _GRANT, _OPS, _META = (STORED.index(name) for name in (*SPLIT, "ops", "meta"))
_ACCESS = re.compile(r"([0-9]{1,14}) ([0-9]{1,14}) (.+)", re.DOTALL)
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Rewrite(NamedTuple):
    """What has to be written of a hash.

    Attributes:
        gone: Names of fields to remove.
        values: Fields to set.
    """

    gone: list[str]
    values: dict[str, str]

    def __repr__(self) -> str:
        return f"Rewrite(gone={self.gone!r}, values={', '.join(self.values)})"


class Codec:
    """Writes and reads records in the clear."""

    seals_on_sight = False
    """Whether a record that is stale is written anew as soon as it is seen."""

    def read(self, record_id: str, access: str, stored: Sequence[str | None]) -> TokenRecord:
        """Return a record from its stored parts.

        Args:
            record_id: Its id.
            access: Its access part, "" for none.
            stored: The fields of its hash in the order in which the scripts read them.

        Raises:
            CorruptRecord: The access part or one of the record's numbers cannot be read.
            DecryptionFailed: It is sealed, and cannot be opened.
        """
        *fields, refresh_rest, grant_rest, _ = stored
        for at, rest in ((_REFRESH, refresh_rest), (_GRANT, grant_rest)):
            if rest:
                fields[at] = (fields[at] or "") + rest
        written_ms = (fields[_OPS] or "0").partition(" ")[0]
        if not all(is_number(text) for text in (written_ms, *(fields[at] for at in _NUMBERS))):
            raise CorruptRecord(record_id, "the record")
        stale = self._open_fields(record_id, fields)
        return TokenRecord._make(
            (record_id, *fields, self.read_access(record_id, access), stale or self._is_old(access))
        )

    def with_access(self, record: TokenRecord, stored: str) -> TokenRecord:
        """Return a record with another access part; see :meth:`read_access`."""
        access = self.read_access(record.id, stored)
        return record._replace(access=access, stale=record.stale or self._is_old(stored))

    def read_access(self, record_id: str, stored: str) -> Access | None:
        """Read an access part.

        Args:
            record_id: Whose part it is.
            stored: ``"<expires_ms> <life_ms> <token>"``, or "" for none.

        Raises:
            CorruptRecord: It is not something that :meth:`access` has written.
            DecryptionFailed: It is sealed, and cannot be opened.
        """
        if not stored:
            return None
        parts = _ACCESS.fullmatch(stored)
        if parts is None:
            raise CorruptRecord(record_id, "the access part")
        times = int(parts[1]), int(parts[2])
        return Access(self._opened_token(record_id, parts[3], *times), *times)

    def _open_fields(self, record_id: str, fields: list[str | None]) -> bool:
        """Open what is sealed, in place; return whether the record is stale."""
        meta = fields[_META]
        if meta and meta.startswith(MARK):
            raise DecryptionFailed(record_id, _key_id(meta), "this store has no keys")
        return False

    def _opened_token(self, record_id: str, token: str, expires_ms: int, life_ms: int) -> str:
        if token.startswith(MARK):
            raise DecryptionFailed(record_id, _key_id(token), "this store has no keys")
        return token

    def _is_old(self, access: str) -> bool:
        """Return whether an access part would be written otherwise now."""
        return False

    def access(self, record_id: str, access: Access) -> str:
        """Return the stored form of an access part."""
        return f"{access.expires_ms} {access.life_ms} {access.token}"

    def changes(self, before: TokenRecord | None, after: TokenRecord) -> Rewrite:
        """Return what has to be written to make one state of a record into another; all of it if there was none."""
        old, new = _readable(before) if before else {}, _readable(after)
        values = {name: value for name, value in new.items() if old.get(name) != value}
        return Rewrite(sorted(old.keys() - new.keys()), values)

    def whole(self, record: TokenRecord) -> Rewrite:
        """Return what has to be written to have a record lie in Redis as it is written now, however it does."""
        return self.changes(None, record)

    def fields(self, record: TokenRecord) -> dict[str, str]:
        """Return all that is stored of a record but its access part, each field in one piece."""
        return _in_one_piece(record)

    def client_terms(self, client_id: str) -> tuple[str, str]:
        """Return by what the script compares a caller's client with a record's: the id, and its digest, "" for none."""
        return client_id, ""


class SealedCodec(Codec):
    """Writes records sealed, and opens them.

    Args:
        cipher: Seals and opens.
        namespace: Where the records are; they open nowhere else.
        hides_identity: Whether user name, client id and redirect URL are sealed too.
        takes_readable: Whether records in the clear are taken, to be sealed when they are seen. Otherwise they are
            refused: whoever can write to Redis could put any there.
    """

    def __init__(self, cipher: Cipher, namespace: str, *, hides_identity: bool, takes_readable: bool) -> None:
        self._cipher = cipher
        self.seals_on_sight = takes_readable
        self._sealed = frozenset(SECRET + IDENTITY if hides_identity else SECRET)
        self._context_root = f"{SEALED_SCHEMA}\0{namespace}\0"
        self._newest: str | None = None

    def _open_fields(self, record_id: str, fields: list[str | None]) -> bool:
        meta = fields[_META]
        if meta is None or not meta.startswith(MARK):
            return self._take(record_id, fields)
        newest = self._newest_mark()
        stale = not meta.startswith(newest)
        for name, at in _OPENED:
            value = fields[at]
            if value is None:
                continue
            if value.startswith(MARK):
                fields[at] = self._open(record_id, name, value)
                stale = stale or not value.startswith(newest) or name not in self._sealed
            elif name in SECRET:
                raise DecryptionFailed(record_id, None, f"its {name} is in the clear")
            else:
                stale = stale or name in self._sealed
        fields[_META] = self._open(record_id, "meta", meta, _beside(fields[at] for at in _OWNERSHIP))
        return stale

    def _take(self, record_id: str, fields: list[str | None]) -> bool:
        """Take a record that is in the clear, if such are taken; it is stale."""
        for name, at in _OPENED:
            value = fields[at]
            if name in SECRET and value and value.startswith(MARK):
                raise DecryptionFailed(record_id, _key_id(value), "the field that vouches for the others is missing")
        if not self.seals_on_sight:
            raise DecryptionFailed(record_id, None, "it is in the clear (migrate_plaintext=True takes and seals it)")
        return True

    def _opened_token(self, record_id: str, token: str, expires_ms: int, life_ms: int) -> str:
        if token.startswith(MARK):
            return self._open(record_id, "access_token", token, f"{expires_ms} {life_ms}")
        if not self.seals_on_sight:
            raise DecryptionFailed(record_id, None, "its access token is in the clear")
        return token

    def _is_old(self, access: str) -> bool:
        return access != "" and not access.split(" ", 2)[2].startswith(self._newest_mark())

    def access(self, record_id: str, access: Access) -> str:
        """Return the stored form of an access part; see :meth:`Codec.read_access`."""
        times = f"{access.expires_ms} {access.life_ms}"
        return f"{times} {self._seal(record_id, 'access_token', access.token, times)}"

    def changes(self, before: TokenRecord | None, after: TokenRecord) -> Rewrite:
        """Return what has to be written: all of it if the record is new or stale."""
        known = None if before is None or before.stale else before
        old, new = _plain(known) if known else {}, _plain(after)
        names = {name for name, value in new.items() if old.get(name) != value}
        gone = old.keys() - new.keys()
        if (names | gone) & _OWNERS:
            names.add("meta")
        values = {name: self._sealed_field(after, name, new[name]) for name in sorted(names)}
        if before and not known:
            gone |= {*STORED, *(f"{name}+" for name in SPLIT)} - new.keys()
        # The identity may be sealed, and the script still has to tell one client's records from another's.
        if "client_id" in values:
            values["client"] = client_digest(after.client_id)
        return Rewrite(sorted(gone), values)

    def whole(self, record: TokenRecord) -> Rewrite:
        """Return all of it, and the names of what only a record in the clear has."""
        return self.changes(record._replace(stale=True), record)

    def fields(self, record: TokenRecord) -> dict[str, str]:
        """Return all that is stored of a record but its access part."""
        return self.whole(record).values

    def client_terms(self, client_id: str) -> tuple[str, str]:
        """Return the digest, and the id only if records in the clear are to be compared with."""
        return (client_id if self.seals_on_sight else ""), client_id and client_digest(client_id)

    def _sealed_field(self, record: TokenRecord, name: str, value: str) -> str:
        if name not in self._sealed:
            return value
        owner = (record.user_name, record.client_id, record.redirect_url, record.api_domain)
        beside = _beside(owner) if name == "meta" else ""
        return self._seal(record.id, name, value, beside)

    def _newest_mark(self) -> str:
        """Return how a value begins that is sealed now; it is read off one, so that a cipher needs but two methods."""
        if self._newest is None:
            self._seal("", "probe", "", "")
        return str(self._newest)

    def _seal(self, record_id: str, field: str, value: str, beside: str) -> str:
        try:
            ciphertext = self._cipher.encrypt(_bytes(value), self._context(record_id, field, beside))
        except Exception as error:
            raise _out_of_order(error) from error
        self._newest = f"{MARK}{ciphertext.partition('.')[0]}."
        return MARK + ciphertext

    def _open(self, record_id: str, field: str, stored: str, beside: str = "") -> str:
        try:
            value = self._cipher.decrypt(stored[len(MARK) :], self._context(record_id, field, beside))
        except LookupError:
            raise DecryptionFailed(record_id, _key_id(stored), "this store does not have the key") from None
        except ValueError:
            changed = f"its {field} was changed, or written for another record or field"
            raise DecryptionFailed(record_id, _key_id(stored), changed) from None
        except Exception as error:
            raise _out_of_order(error) from error
        return value.decode("utf-8", "surrogateescape")

    def _context(self, record_id: str, field: str, beside: str) -> bytes:
        return _bytes(f"{self._context_root}{record_id}\0{field}\0{beside}")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _beside(values: Iterable[str | None]) -> str:
    return json.dumps([*values])


def make_codec(namespace: str, options: Options) -> Codec:
    """Return how a store's options have records lie."""
    if options.cipher is None:
        return Codec()
    hides, takes = options.encrypt_identity, options.migrate_plaintext
    return SealedCodec(options.cipher, namespace, hides_identity=hides, takes_readable=takes)


def _out_of_order(error: Exception) -> StoreUnavailable:
    # The error itself may say more than a log should hold; it is there as the cause.
    return StoreUnavailable(f"the cipher cannot be used ({type(error).__name__})")


def _in_one_piece(record: TokenRecord) -> dict[str, str]:
    return {name: value for name in STORED if (value := getattr(record, name)) is not None}


def _plain(record: TokenRecord) -> dict[str, str]:
    return {"meta": "{}", **_in_one_piece(record), "schema": str(max(int(record.schema), SEALED_SCHEMA))}


def _readable(record: TokenRecord) -> dict[str, str]:
    """Return a record's hash in the clear, without the fields that it does not have."""
    fields = _in_one_piece(record)
    for name in SPLIT:
        value = fields.get(name, "")
        if COMPACT < len(value) <= 2 * COMPACT and value.isascii():
            fields[name], fields[f"{name}+"] = value[:COMPACT], value[COMPACT:]
    return fields


def _key_id(stored: str) -> str:
    """Return the id of the key that a sealed value names; what is no such id may be anything, and is not repeated."""
    named = stored.removeprefix(MARK).partition(".")[0]
    return named if _KEY_ID.fullmatch(named) else "?"
