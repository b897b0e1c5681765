"""How two states of one grant become one: rules without I/O."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import NamedTuple

from zoho_token_store.keyspace import digest
from zoho_token_store.lease import Lease
from zoho_token_store.match import TokenData
from zoho_token_store.record import DURABLE, READABLE_SCHEMA, REMEMBERED, Access, Bookkeeping, TokenRecord

SPENT = "spent"
"""Stands among the fields for the refresh token that a lease was given to spend."""


@dataclass(repr=False)  # it holds tokens
class Wish:
    """What one save wants, the same in all its attempts.

    Attributes:
        data: What the caller's token says.
        access: Its access token with expiry by Redis's clock; None if it has none.
        nonce: The name of this operation.
        new_id: The id of the record, should one be made: drawn before the first attempt, else a repeat after a lost
            reply would make another. "" when the token has an id already.
        baseline: The record as it was when the caller's object was handed out, if this store did so.
        lease: The lease under which the caller refreshed, if it has one.
        spent: The refresh token that the lease was given to spend. Where refresh tokens rotate, another has taken its
            place; it stays known as superseded, for workers that were booted with it.
        fence: Of the lease; without one 0 until the first attempt, which draws one that stays: a repeat after a lost
            reply must not pass for a newer save.
        kept_us: When it began to be kept since it could not be stored, microseconds by Redis's clock; 0 for never.
        touched: Ids of the records that an attempt may have written.
        stored_as: The id of the record in which an earlier attempt was found to be stored.
        intended: The fields that the caller means to write: those that differ from what it was given.
    """

    data: TokenData
    access: Access | None
    nonce: str
    new_id: str
    baseline: TokenRecord | None = None
    lease: Lease | None = None
    spent: str | None = None
    fence: int = 0
    kept_us: int = 0
    touched: set[str] = field(default_factory=set)
    stored_as: str = ""
    intended: dict[str, str] = field(init=False)

    def forget_baseline(self) -> None:
        """Take everything that the caller has as news."""
        self.baseline = None
        self.__post_init__()

    def __post_init__(self) -> None:
        given, base = self.data, self.baseline
        if base is not None and given[:8] == base[:8]:
            self.intended = {}  # both begin with the id and the durable fields: nothing of them has changed
            return
        self.intended = {
            name: getattr(given, name)
            for name in DURABLE
            if getattr(given, name) is not None and getattr(given, name) != getattr(base, name, None)
        }


class Merged(NamedTuple):
    """A record after a save.

    Attributes:
        record: The record.
        late: Whether the save came after one with a newer fence.
    """

    record: TokenRecord
    late: bool


def new_record(record_id: str, fence: int, now_ms: int) -> TokenRecord:
    """Return an empty record.

    The revision starts at the fence, so that it is never one that another record under this id has had.
    """
    return TokenRecord(record_id, rev=str(fence), fence=str(fence), meta=Bookkeeping(created_ms=now_ms).pack())


def compatible(one: TokenRecord, other: TokenRecord) -> bool:
    """Return whether two records may be one grant: no client id and no user name that both have differs."""
    return not any(
        mine is not None and theirs is not None and mine != theirs
        for mine, theirs in ((one.client_id, other.client_id), (one.user_name, other.user_name))
    )


def apply(wish: Wish, record: TokenRecord, fence: int, skipped: Collection[str], now_ms: int) -> Merged:
    """Return a record as a save leaves it.

    1. Three-way: only what differs from the baseline is written, and None erases nothing. A worker that holds an old
       object cannot put an old refresh token back.
    2. A save whose fence is older than the record's is late: it writes what nobody else has changed since the object
       was handed out, and replaces nothing that is newer.
    3. Which refresh token is current is decided by the fences of the saves that wrote them, not by the record's last:
       a refresh of the old grant must not push the newest login aside. The other one is kept.
    4. Without a baseline, a credential that the record lists as superseded is not written.

    Args:
        wish: What is to be saved.
        record: The record as it is.
        fence: Of the save.
        skipped: Fields that may not be written; :data:`SPENT` if another record keeps the refresh token that was spent.
        now_ms: Redis's time, ms.
    """
    late = fence < int(record.fence)
    values = {name: value for name, value in wish.intended.items() if name not in skipped}
    fields: dict[str, str | None] = {
        name: value
        for name, value in values.items()
        if name not in ("refresh_token", "grant_token") and (not late or _untouched(wish, record, name))
    }
    after = _with(record, fields)
    after, book = _refresh_token(wish, after, record.bookkeeping(), fence, values.get("refresh_token"))
    after, book = _grant_token(wish, after, book, fence, values.get("grant_token"))
    if wish.spent is not None and wish.spent != after.refresh_token and SPENT not in skipped:
        book = replace(book, old_refresh=_remember(book.old_refresh, digest("refresh", wish.spent)))
    after = after._replace(
        schema=str(max(int(record.schema), READABLE_SCHEMA)),
        rev=record.next_rev(),
        fence=str(max(int(record.fence), fence)),
        ops=record.next_ops(now_ms, wish.nonce),
        meta=record.meta if book is record.bookkeeping() else book.pack(),
        access=_access(wish, record, after, late),
    )
    if after.access != record.access or _credentials(after) != _credentials(record):
        after = pardon(after)
    return Merged(after, late)


def pardon(record: TokenRecord) -> TokenRecord:
    """Return a record without what Zoho has said of credentials that it does not have any more."""
    book = record.bookkeeping()
    if not book.refused_at:
        return record
    return record._replace(rejected=None, meta=replace(book, refused_at=()).pack())


def _credentials(record: TokenRecord) -> tuple[str | None, ...]:
    """Return what Zoho's refusal was about."""
    return record.client_id, record.client_secret, record.refresh_token, record.grant_token, record.redirect_url


def _refresh_token(
    wish: Wish, record: TokenRecord, book: Bookkeeping, fence: int, token: str | None
) -> tuple[TokenRecord, Bookkeeping]:
    """Put a refresh token where it belongs: current, or among the spares."""
    if token is None or token == record.refresh_token:
        return record, book
    spares = record.spare_tokens()
    if wish.baseline is None and (token in spares or digest("refresh", token) in book.old_refresh):
        return record, book
    # A token that was got by spending the current one takes its place, whatever the fences say.
    spent = wish.spent or (wish.baseline and wish.baseline.refresh_token)
    if fence < book.refresh_fence and record.refresh_token not in (None, spent):
        return record._replace(spares=_pack_spares([*spares, token])), book
    superseded = book.old_refresh
    if record.refresh_token is not None:
        superseded = _remember(superseded, digest("refresh", record.refresh_token))
    others = _pack_spares([spare for spare in spares if spare not in (token, wish.spent)])
    return record._replace(refresh_token=token, spares=others), replace(
        book, refresh_fence=fence, old_refresh=superseded
    )


def _grant_token(
    wish: Wish, record: TokenRecord, book: Bookkeeping, fence: int, token: str | None
) -> tuple[TokenRecord, Bookkeeping]:
    """Put a grant code where it belongs; a superseded one stays known, for workers that were booted with it."""
    if token is None or token == record.grant_token:
        return record, book
    if record.grant_token is None:
        return record._replace(grant_token=token), book
    known = digest("grant", token)
    if fence < book.refresh_fence or (wish.baseline is None and known in book.old_grant):
        return record, replace(book, old_grant=_remember(book.old_grant, known))
    superseded = _remember(book.old_grant, digest("grant", record.grant_token))
    return record._replace(grant_token=token), replace(book, old_grant=superseded)


def _access(wish: Wish, before: TokenRecord, after: TokenRecord, late: bool) -> Access | None:
    """Choose the access token: one got with the current refresh token goes first, then the later expiry."""
    stored, offered = before.access, wish.access
    if offered is None or (wish.baseline and wish.baseline.access and wish.baseline.access.token == offered.token):
        return stored
    if wish.data.refresh_token not in (None, after.refresh_token):
        return stored
    if before.refresh_token != after.refresh_token:
        return offered
    # A record remembers only its last few operations, so a late save may be the repeat of one that was written, whose
    # access token has since been rejected: it never fills a gap. At worst that costs one refresh.
    if late and (stored is None or stored.expires_ms >= offered.expires_ms):
        return stored
    return offered


def _untouched(wish: Wish, record: TokenRecord, name: str) -> bool:
    """Return whether a field is as the caller was given it, or empty."""
    stored = getattr(record, name)
    return stored is None or (wish.baseline is not None and stored == getattr(wish.baseline, name))


def _with(record: TokenRecord, fields: dict[str, str | None]) -> TokenRecord:
    return record._replace(**fields) if fields else record  # type: ignore[arg-type]  # all of them are durable fields


def _remember(digests: tuple[str, ...], one: str) -> tuple[str, ...]:
    return (*(known for known in digests if known != one), one)[-REMEMBERED:]


def _interleaved(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Return what two records remember in turns, newest last: whatever is forgotten, each keeps its last ones."""
    pairs = zip_longest(reversed(one), reversed(other))
    return list(dict.fromkeys(item for pair in pairs for item in pair if item is not None))[::-1]


def _pack_spares(tokens: list[str]) -> str | None:
    return json.dumps(list(dict.fromkeys(tokens))) if tokens else None


def fold(stays: TokenRecord, goes: TokenRecord) -> TokenRecord:
    """Return two records of one grant as one, under the first one's id.

    The newer login (by the fence that wrote the refresh token) gives credentials and access token; what the other has
    beyond that is kept aside. Operations, superseded credentials and absorbed ids of both are remembered, else a repeat
    of a save, or a worker with an old credential, would no longer be recognised.
    """
    mine, theirs = stays.bookkeeping(), goes.bookkeeping()
    newer, older = stays, goes
    if goes.refresh_token and (not stays.refresh_token or theirs.refresh_fence > mine.refresh_fence):
        newer, older = goes, stays
    fields = {name: getattr(newer, name) or getattr(older, name) for name in DURABLE}
    spares = [*goes.spare_tokens(), *stays.spare_tokens()]
    if older.refresh_token:
        spares.append(older.refresh_token)
    book = Bookkeeping(
        created_ms=min(mine.created_ms, theirs.created_ms),
        refresh_fence=max(mine.refresh_fence, theirs.refresh_fence),
        old_refresh=tuple(_interleaved(mine.old_refresh, theirs.old_refresh)[-REMEMBERED:]),
        old_grant=tuple(_interleaved(mine.old_grant, theirs.old_grant)[-REMEMBERED:]),
        absorbed=(*mine.absorbed, *theirs.absorbed, goes.id),
        unknown={**theirs.unknown, **mine.unknown},
    )
    if older.grant_token and older.grant_token != fields["grant_token"]:
        book = replace(book, old_grant=_remember(book.old_grant, digest("grant", older.grant_token)))
    return stays._replace(
        ops=" ".join(("0", *_interleaved(stays.nonces(), goes.nonces()))),
        **fields,
        spares=_pack_spares([token for token in spares if token != fields["refresh_token"]]),
        schema=max(stays.schema, goes.schema, key=int),
        fence=max(stays.fence, goes.fence, key=int),
        meta=book.pack(),
        rejected=newer.rejected,
        access=newer.access or (older.access if older.refresh_token in (None, newer.refresh_token) else None),
    )
