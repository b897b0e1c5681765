"""What is stored of one grant: the durable record and its short-lived access part."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from zoho_token_store.errors import CorruptRecord, UnsupportedSchema

SCHEMA = 2
"""The newest record schema that this release understands."""

READABLE_SCHEMA = 1
"""The schema of a record in the clear."""

SEALED_SCHEMA = 2
"""The schema of a sealed record: a release that knows no keys must not hand a ciphertext out as a token."""

DURABLE = ("user_name", "client_id", "client_secret", "refresh_token", "grant_token", "redirect_url", "api_domain")
"""The fields that the SDK's token brings, in the order in which they are stored and read."""

_NUMBER = re.compile(r"[0-9]{1,16}")
_NAME = re.compile(r"[A-Za-z0-9_.@+/=-]{1,128}")
_MOST_BRACKETS = 200

REMEMBERED = 4
"""How many superseded credentials and how many operations a record remembers."""


def is_number(text: str | None) -> bool:
    """Return whether a stored text is a number as this package writes them; 16 digits are what Lua can count with."""
    return text is not None and _NUMBER.fullmatch(text) is not None


class Access(NamedTuple):
    """An access token and its life.

    Attributes:
        token: The access token.
        expires_ms: When it expires, ms since the epoch by Redis's clock; 0 when nobody said.
        life_ms: The life that it had when it was saved, ms.
    """

    token: str
    expires_ms: int
    life_ms: int

    def __repr__(self) -> str:
        return f"Access(token=<secret>, expires_ms={self.expires_ms}, life_ms={self.life_ms})"

    def ends_ms(self, now_ms: int) -> int:
        """Return until when it is kept if it is stored at a time of Redis, both in ms."""
        return max(self.expires_ms or now_ms + self.life_ms, now_ms + 1)


@dataclass(frozen=True)
class Bookkeeping:
    """What a record remembers about itself; digests and numbers only, never a secret.

    Attributes:
        created_ms: When the record was made, ms by Redis's clock.
        refresh_fence: Fence of the save that wrote the current refresh token.
        old_refresh: Digests of superseded refresh tokens, oldest first.
        old_grant: Digests of superseded grant tokens, oldest first.
        absorbed: Ids of the records that were merged into this one.
        refused_at: Digests of the accounts servers that have refused the credentials for good.
        unknown: What a newer release of the same schema remembers; kept as it is.
    """

    created_ms: int = 0
    refresh_fence: int = 0
    old_refresh: tuple[str, ...] = ()
    old_grant: tuple[str, ...] = ()
    absorbed: tuple[str, ...] = ()
    refused_at: tuple[str, ...] = ()
    unknown: dict[str, Any] = field(default_factory=dict)

    def pack(self) -> str:
        """Return the stored form: JSON without what is empty."""
        known = {key: getattr(self, key) for key in (*_NUMBERS, *_LISTS)}
        return json.dumps({**self.unknown, **{k: v for k, v in known.items() if v}}, separators=(",", ":"))


_NUMBERS = ("created_ms", "refresh_fence")
_LISTS = ("old_refresh", "old_grant", "absorbed", "refused_at")


class TokenRecord(NamedTuple):
    """One record as it is stored, with its access part.

    Attributes:
        id: Random, never reused; or chosen by the caller.
        spares: JSON list of refresh tokens that came from an older lease than the current one; None for none.
        schema: The least schema that a reader has to understand.
        rev: Grows with each write; two reads with one revision saw the same record.
        fence: Fence of the newest save.
        ops: When it was last written, ms by Redis's clock, and the names of the last operations, so that a repeat of
            one is known as such: ``"<ms> <nonce> ..."``.
        meta: :class:`Bookkeeping` in its stored form.
        rejected: What Zoho said when it refused the record's credentials for good; None as long as it has not. It is
            not asked again until something new is saved.
        access: None when there is no live access token.
        stale: Whether it lies in Redis otherwise than it would be written now: in the clear, or under an older key.
    """

    id: str
    user_name: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    refresh_token: str | None = None
    grant_token: str | None = None
    redirect_url: str | None = None
    api_domain: str | None = None
    spares: str | None = None
    schema: str = str(READABLE_SCHEMA)
    rev: str = "0"
    fence: str = "0"
    ops: str | None = None
    meta: str | None = None
    rejected: str | None = None
    access: Access | None = None
    stale: bool = False

    def __repr__(self) -> str:
        return f"TokenRecord(id={self.id!r}, rev={self.rev}, fence={self.fence}, access={self.access!r}, ...)"

    @property
    def refreshable(self) -> bool:
        """Whether an access token can be had again without the user."""
        return bool(self.refresh_token or self.grant_token)

    def bookkeeping(self) -> Bookkeeping:
        """Return what the record remembers about itself.

        Raises:
            CorruptRecord: It is not JSON of the right shape.
        """
        try:
            return _unpack_meta(self.meta)
        except (ValueError, TypeError, AttributeError, OverflowError):
            raise CorruptRecord(self.id, "the bookkeeping") from None

    def nonces(self) -> list[str]:
        """Return the names of the last operations, oldest first."""
        return (self.ops or "").split(" ")[1:]

    def written_ms(self) -> int:
        """Return when it was last written, ms by Redis's clock.

        Raises:
            CorruptRecord: It does not say.
        """
        written = (self.ops or "0").split(" ", 1)[0]
        if not is_number(written):
            raise CorruptRecord(self.id, "the list of operations")
        return int(written)

    def next_rev(self) -> str:
        """Return the revision after this one."""
        return str(int(self.rev) + 1)

    def next_ops(self, now_ms: int, *nonces: str) -> str:
        """Return the operations after another one, at a time of Redis in ms.

        A record that took others in goes on remembering as many as all of them did.
        """
        most = REMEMBERED * (1 + len(self.bookkeeping().absorbed))
        return " ".join((str(now_ms), *[*self.nonces(), *nonces][-most:]))

    def spare_tokens(self) -> list[str]:
        """Return the refresh tokens that are kept aside, oldest first.

        Raises:
            CorruptRecord: It is not a list of texts that can be written.
        """
        try:
            spares = json.loads(self.spares) if self.spares else []
            if not isinstance(spares, list):
                raise TypeError
            "".join(spares).encode("utf-8", "surrogateescape")
        except (ValueError, TypeError, RecursionError):
            raise CorruptRecord(self.id, "the list of spare refresh tokens") from None
        return spares


def check_schema(record: TokenRecord) -> None:
    """Raise :class:`UnsupportedSchema` if this release cannot know what a record says."""
    if int(record.schema) > SCHEMA:
        raise UnsupportedSchema(record.id, record.schema)


@lru_cache(maxsize=64)  # a plan looks at the same few records again and again; there is no secret in them
def _unpack_meta(stored: str | None) -> Bookkeeping:
    stored = stored or "{}"
    if stored.count("[") + stored.count("{") > _MOST_BRACKETS:
        raise ValueError("nested deep enough to exhaust the stack")
    meta = json.loads(stored)
    known: dict[str, Any] = {key: int(meta.get(key, 0)) for key in _NUMBERS}
    known |= {key: tuple(meta.get(key, ())) for key in _LISTS}
    if not all(_NAME.fullmatch(name) for key in _LISTS for name in known[key]):
        raise ValueError("neither an id nor a digest")
    return Bookkeeping(**known, unknown={key: value for key, value in meta.items() if key not in known})
