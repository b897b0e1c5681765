"""One look-up as it is put to Redis, and every answer that there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from zoho_token_store.errors import CorruptRecord
from zoho_token_store.margin import Margin
from zoho_token_store.record import TokenRecord, is_number


class Fresh(NamedTuple):
    """A record with an access token that may be used."""

    record: TokenRecord


class Leased(NamedTuple):
    """The caller is the one to refresh.

    Attributes:
        fence: Of the lease.
        attempts: How many leases there have been since the last save, this one included.
        record: None when there is none yet. What led to it may be its access token, even if that cannot be used.
        usable: Whether its access token can be used meanwhile.
    """

    fence: int
    attempts: int
    record: TokenRecord | None
    usable: bool


class Wait(NamedTuple):
    """Another refreshes.

    Attributes:
        left_ms: Life left of its lease.
        wake_id: The last entry of the wake stream.
    """

    left_ms: int
    wake_id: str


class Failing(NamedTuple):
    """The fleet cools down until ``retry_ms`` by Redis's clock.

    Attributes:
        retry_ms: See above.
        reason: What the worker that failed said (see :class:`Pause`); "" if leases just ran out.
    """

    retry_ms: int
    reason: str


class Refused(NamedTuple):
    """Zoho has refused the record's credentials for good, with this word."""

    code: str


class Pause(NamedTuple):
    """Why and how long the fleet does not ask Zoho.

    Attributes:
        seconds: From now on; None leaves that to the number of leases in a row.
        reason: :data:`FAILED`, :data:`THROTTLED`, Zoho's word for a refusal, or :data:`UNTRIED` for a lease that does
            not count, since its holder could not use it.
    """

    seconds: float | None
    reason: str


FAILED = "+failed"
THROTTLED = "+throttled"
UNTRIED = "+untried"
"""Reasons of a pause; none of them is a word of Zoho's."""


class Redirect(NamedTuple):
    """The record was merged into another."""

    record_id: str


class Moved(NamedTuple):
    """The pointers lead elsewhere; these are their values now."""

    values: list[str]


class Schema(NamedTuple):
    """The record has a schema that this release does not understand."""

    schema: str


class Missing(NamedTuple):
    """There is no such record."""


class Gone(NamedTuple):
    """It was deleted."""


class Contradicts(NamedTuple):
    """It belongs to another client."""


Answer = Fresh | Leased | Wait | Failing | Refused | Redirect | Moved | Schema | Missing | Gone | Contradicts


class Question(NamedTuple):
    """One look-up, the same in all its attempts.

    Attributes:
        record_id: Of the record; for a claim, the same as ``lease``, under which no record can be.
        lease: What the lease is on: the record id, or a credential's pointer name.
        owner: Who asks.
        nonce: Which operation asks.
        client_id: The caller's, "" for none.
        margin: How long before its end an access token is due.
        claims: Whether a missing record is one that the caller will make.
        pointers: Names of the pointers that led here.
        values: What the caller saw in them.
    """

    record_id: str
    lease: str
    owner: str
    nonce: str
    margin: Margin
    client_id: str = ""
    claims: bool = False
    pointers: Sequence[str] = ()
    values: Sequence[str] = ()

    @property
    def tombstone(self) -> str:
        """Whose deletion ends this look-up: a spent grant code stays spent, a refresh token may log in again."""
        return f"{self.lease}:again" if self.lease.startswith("refresh:") else self.lease


def read_answer(
    record_id: str, reply: list[Any], read: Callable[[str, str, Sequence[str | None]], TokenRecord]
) -> Answer:
    """Return the answer that a reply of ``find-5.lua`` means.

    Args:
        record_id: Which record was asked for.
        reply: The reply.
        read: Makes a record of its id, its access part and its hash.

    Raises:
        CorruptRecord: What is stored was changed by something else.
        TypeError, ValueError, LookupError: It is no reply of that script.
    """
    kind, values = reply[0], reply[2:]
    if kind == "FRESH":
        return Fresh(read(record_id, *values))
    if kind == "LEASED":
        fence, attempts, can_be_used, access, stored = values
        return Leased(int(fence), int(attempts), read(record_id, access, stored) if stored else None, bool(can_be_used))
    if kind == "MOVED":
        return Moved([_text(value) for value in values])
    if kind == "CORRUPT" or (kind == "SCHEMA" and not is_number(values[0])):
        raise CorruptRecord(record_id, "the record")
    return say(kind, *values)


def say(kind: str, *values: Any) -> Answer:
    """Return the answer that a word means, with what follows it, for those that come without a record.

    Raises:
        TypeError, ValueError, LookupError: There is no such word, or something else has to follow it.
    """
    answer: Answer = _KINDS[kind](*(read(value) for read, value in zip(_READ.get(kind, ()), values, strict=True)))
    return answer


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _word(value: object) -> str:
    """Return why Zoho is not asked, if that is a word that one of us may have left; else "?", which can be shown."""
    text = _text(value)
    return text if _WORD.fullmatch(text) else "?"


_WORD = re.compile(r"\+?[a-z_]{1,64}|")

_KINDS: dict[str, Any] = {
    "WAIT": Wait,
    "FAILING": Failing,
    "REJECTED": Refused,
    "REDIRECT": Redirect,
    "SCHEMA": Schema,
    "MISSING": Missing,
    "GONE": Gone,
    "CONTRADICTS": Contradicts,
}
_READ: dict[str, tuple[Callable[[Any], Any], ...]] = {
    "WAIT": (int, _text),
    "FAILING": (int, _word),
    "REJECTED": (_word,),
    "REDIRECT": (_text,),
    "SCHEMA": (_text,),
}
"""How what stands in these replies is read; in the others there is nothing."""
