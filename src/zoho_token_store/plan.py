"""What a save, a deletion or an invalidation comes to, given what is stored: rules without I/O.

Each plan is a function of a :class:`Snapshot`. Whatever it reads there is compared when the plan is written, so a plan
made from a stale view is made anew instead of being written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from zoho_token_store.change import CLEARED, Change, credential_pointers, user_entry, user_tombstone
from zoho_token_store.errors import InvalidToken, TokenDeleted
from zoho_token_store.keyspace import (
    ALL,
    client_digest,
    pointer,
    read_deletion,
    read_pointer,
    read_redirect,
    read_user_pointer,
    tombstone,
    user_pointer,
)
from zoho_token_store.match import named_record, selectors
from zoho_token_store.merge import SPENT, Wish, apply, compatible, fold, new_record
from zoho_token_store.provenance import Trail, check_asked, holds
from zoho_token_store.record import SCHEMA, TokenRecord, check_schema
from zoho_token_store.snapshot import Snapshot


def plan_save(wish: Wish, snapshot: Snapshot, now_ms: int) -> Change | None:
    """Plan a save.

    The record is the one under the given id, else the one that holds the grant code or refresh token, else that of the
    user, else that of the access token; else a new one. Other records that turn out to be the same grant are merged
    into the older of them.

    Args:
        wish: What is to be saved.
        snapshot: What is stored.
        now_ms: Redis's time, ms.

    Returns:
        The change; None if an earlier attempt has already written it.

    Raises:
        TokenDeleted: The record was deleted, or one of its credentials after the lease was given.
        InvalidToken: The token contradicts what is stored, or has nothing to store.
        AmbiguousToken: A user name under several clients, and no client id.
        UnsupportedSchema: The record was written by a newer release.
    """
    _check_touched(wish, snapshot)
    own = _own(wish.data.id, snapshot)
    if wish.baseline is not None and _is_lost(wish, own, snapshot):
        wish.forget_baseline()
    credentials = _credential_holders(wish, own, snapshot)
    holder = own or next((record for record in credentials.values() if _same_client(wish, record)), None)
    named = _named(wish, holder, snapshot)
    target = holder or named or _seen(wish, snapshot)
    if target is None and (wish.data.id or wish.new_id):
        target = snapshot.record(wish.data.id or wish.new_id)  # made by an attempt whose reply was lost
    for record in filter(None, (target, named, *credentials.values())):
        check_schema(record)
        if wish.nonce in record.nonces():
            wish.stored_as = record.id
            return None
    if target and not _same_client(wish, target):
        raise InvalidToken("client_id", "another client's token has this id, grant token or refresh token")
    _check_buried(wish, own, target, snapshot)
    if target is None:
        return _creation(wish, snapshot, credentials.keys() & {SPENT}, now_ms)
    skipped, others = _others(wish, target, named, credentials)
    involved = sorted([target, *others], key=lambda record: (record.bookkeeping().created_ms, record.id))
    stays = involved[0]
    for goes in involved[1:]:
        stays = fold(stays, goes)
    wish.touched.add(stays.id)
    fence = wish.fence or max(int(stays.fence) + 1, now_ms * 1000)
    merged = apply(wish, stays, fence, skipped, now_ms)
    notes = ["saves", *(["late_saves"] if merged.late else []), *(["name_conflicts"] if "user_name" in skipped else [])]
    notes += ["merges"] * len(others)
    event = "refreshed" if wish.lease else "saved"
    return Change(event, tuple(involved), merged.record, wish.lease, fence, tuple(notes))


def plan_refresh(wish: Wish, now_ms: int) -> Change | None:
    """Plan the save of an ordinary refresh: a new access token for the record that was handed out, and nothing else.

    It comes to what :func:`plan_save` comes to, without reading anything, and holds only if the record is unchanged.

    Args:
        wish: What is to be saved.
        now_ms: Redis's time, ms.

    Returns:
        The change; None if the save is more than that.
    """
    record, access, lease = wish.baseline, wish.access, wish.lease
    if record is None or access is None or wish.intended or wish.spent or not record.refreshable or record.rejected:
        return None
    if record.id != wish.data.id or int(record.schema) > SCHEMA or (lease and lease.name != record.id):
        return None
    fence = wish.fence or max(int(record.fence) + 1, now_ms * 1000)
    if fence < int(record.fence) or (record.access and record.access.token == access.token):
        return None
    after = record._replace(
        rev=record.next_rev(), fence=str(fence), ops=record.next_ops(now_ms, wish.nonce), access=access
    )
    wish.touched.add(record.id)
    return Change("refreshed" if lease else "saved", (record,), after, lease, fence, ("saves",))


def plan_deletion(record_id: str, snapshot: Snapshot, event: str = "deleted") -> Change | None:
    """Plan a deletion; None if there is nothing under this id. Redirects are followed."""
    record = follow(record_id, snapshot)
    return Change(event, (record,), None) if record else None


def plan_clearing(ids: Sequence[str], snapshot: Snapshot) -> Change | None:
    """Plan to delete some records among all, as many of them as are there; None if none is.

    What leads to them needs no tombstones: the whole namespace has one (:meth:`CommitBuilder.begin_clearing`).
    """
    records = tuple(record for record in map(snapshot.record, ids) if record)
    return Change(CLEARED, records, None) if records else None


def plan_invalidation(record_id: str, access_token: str | None, snapshot: Snapshot, now_ms: int) -> Change | None:
    """Plan to drop an access token that was rejected.

    Args:
        record_id: Whose.
        access_token: The one that was rejected: a second report of it must not end its successor. None for whichever.
        snapshot: What is stored.
        now_ms: Redis's time, ms.

    Returns:
        The change; None if there is no such record or no such access token any more.
    """
    record = follow(record_id, snapshot)
    if record is None or record.access is None or access_token not in (None, record.access.token):
        return None
    check_schema(record)
    return Change("invalidated", (record,), _noted(record._replace(access=None), now_ms))


def plan_rejection(record: TokenRecord, code: str, site: str, snapshot: Snapshot, now_ms: int) -> Change | None:
    """Plan to note that Zoho has refused a record's credentials for good.

    Args:
        record: The record as it was when they were offered.
        code: What Zoho said.
        site: Digest of the accounts server that said so.
        snapshot: What is stored.
        now_ms: Redis's time, ms.

    Returns:
        The change; None if something was saved since, which Zoho may take.
    """
    stored = snapshot.record(record.id)
    if stored is None or stored.rev != record.rev:
        return None
    book = stored.bookkeeping()
    places = tuple(dict.fromkeys((*book.refused_at, site)))
    after = _noted(stored._replace(rejected=code, meta=replace(book, refused_at=places).pack()), now_ms)
    return Change("rejected", (stored,), after)


def plan_appeal(record_id: str, site: str, snapshot: Snapshot, now_ms: int) -> Change | None:
    """Plan to let credentials be offered that were refused: at another accounts server, which has not seen them.

    A process that is set up for the wrong data centre must not end a record for all others.

    Args:
        record_id: Whose.
        site: Digest of the accounts server that would be asked.
        snapshot: What is stored.
        now_ms: Redis's time, ms.

    Returns:
        The change; None if that server has refused them, too, or if nothing is refused.
    """
    stored = follow(record_id, snapshot)
    if stored is None or not stored.rejected or site in stored.bookkeeping().refused_at:
        return None
    return Change("appealed", (stored,), _noted(stored._replace(rejected=None), now_ms))


def _noted(record: TokenRecord, now_ms: int) -> TokenRecord:
    return record._replace(rev=record.next_rev(), ops=record.next_ops(now_ms))


def plan_restoration(record: TokenRecord, snapshot: Snapshot, now_ms: int) -> Change | None:
    """Plan to give a record back that Redis has lost, as a whole or in its newest state.

    Args:
        record: The record as this process has seen it last.
        snapshot: What is stored.
        now_ms: Redis's time, ms.

    Returns:
        The change; None if what is stored is as new, or if the record or one of its credentials is known otherwise.
    """
    if snapshot.string(tombstone(record.id)) or _is_cleared(int(record.fence), snapshot):
        return None
    own = (record.id, *record.bookkeeping().absorbed)
    before = tuple(filter(None, map(snapshot.record, own)))
    if any(int(stored.fence) >= int(record.fence) for stored in before):
        return None
    names = sorted(credential_pointers(record))
    leads_to = {snapshot.string(name) for name in names}
    entry = user_entry(record)
    if entry:
        leads_to.add(read_user_pointer(snapshot.string(entry[0])).get(entry[1], ""))
    if leads_to - {"", *own} or any([snapshot.string(tombstone(name)) for name in names]):
        return None
    newest = max([int(record.rev), *(int(stored.rev) for stored in before)])
    access = record.access if record.access and record.access.expires_ms > now_ms else None
    after = record._replace(rev=str(max(newest + 1, now_ms * 1000)), access=access)
    return Change("restored", before, after, notes=("restored",))


def follow(record_id: str, snapshot: Snapshot) -> TokenRecord | None:
    """Return the record under an id, or the one that it was merged into.

    Raises:
        CorruptRecord: It was led astray.
    """
    trail = Trail(record_id)
    while (record := snapshot.record(trail.end)) is None:
        heir = read_redirect(snapshot.string(tombstone(trail.end)))
        if heir is None:
            return None
        trail.follow(heir)
    check_asked(record, record_id)
    return record


def _own(record_id: str | None, snapshot: Snapshot) -> TokenRecord | None:
    """Return the record under the id that the caller's token has."""
    if record_id is None:
        return None
    record = follow(record_id, snapshot)
    if record is None and snapshot.string(tombstone(record_id)):
        raise TokenDeleted(record_id)
    return record


def _is_lost(wish: Wish, own: TokenRecord | None, snapshot: Snapshot) -> bool:
    """Return whether Redis has lost the record that was handed out, so that everything that the caller has is news.

    It came back without its data, or with an older state of them, from a dump.
    """
    if own is not None:
        return wish.baseline is not None and int(own.fence) < int(wish.baseline.fence)
    return snapshot.known_absent(wish.data.id or "")


def _check_touched(wish: Wish, snapshot: Snapshot) -> None:
    """Refuse what an earlier attempt may have written and somebody has deleted since."""
    for record_id in sorted(wish.touched):
        if read_deletion(snapshot.string(tombstone(record_id))) is not None:
            raise TokenDeleted(record_id)


def _credential_holders(wish: Wish, own: TokenRecord | None, snapshot: Snapshot) -> dict[str, TokenRecord]:
    """Return the other records that hold the grant code or refresh token to be written, by field."""
    holders: dict[str, TokenRecord] = {}
    offered = wish.intended
    for field, kind in (("grant_token", "grant"), ("refresh_token", "refresh")):
        value = offered.get(field)
        if value is None or (own is not None and getattr(own, field) == value):
            continue
        record = _pointed_to(pointer(kind, value), snapshot)
        if record is None or (own is not None and record.id == own.id):
            continue
        if not _same_client(wish, record):
            raise InvalidToken("client_id", f"the {field} belongs to another client's token")
        holders[field] = record
    record = _pointed_to(pointer("refresh", wish.spent), snapshot) if wish.spent else None
    if record is not None and (own is None or record.id != own.id):
        holders[SPENT] = record
    return holders


def _pointed_to(name: str, snapshot: Snapshot) -> TokenRecord | None:
    """Return the record that a credential's pointer leads to, if the record agrees."""
    leads_to = read_pointer(snapshot.string(name))
    record = snapshot.record(leads_to) if leads_to else None
    return record if record and holds(record, name) else None


def _same_client(wish: Wish, record: TokenRecord) -> bool:
    return wish.data.client_id is None or record.client_id in (None, wish.data.client_id)


def _named(wish: Wish, holder: TokenRecord | None, snapshot: Snapshot) -> TokenRecord | None:
    """Return the record of the user name to be written, under its client."""
    name = wish.intended.get("user_name")
    client_id = wish.data.client_id or (holder and holder.client_id)
    if name is None or (holder is not None and holder.user_name == name and holder.client_id == client_id):
        return None
    stored = snapshot.string(user_pointer(name))
    others: list[str] = []
    if client_id is None:
        leads_to = {record_id: snapshot.record(record_id) for record_id in read_user_pointer(stored).values()}
        # It has ended; or it has, and another has been made under its id.
        others = [each for each, record in leads_to.items() if record is None or record.user_name != name]
    record_id = named_record(stored, client_id, others)
    record = snapshot.record(record_id) if record_id else None
    return record if record and record.user_name == name else None


def _seen(wish: Wish, snapshot: Snapshot) -> TokenRecord | None:
    """Return the record of the access token, for a caller without client credentials."""
    name = selectors(wish.data).access
    record_id = read_pointer(snapshot.string(name)) if name else ""
    record = snapshot.record(record_id) if record_id else None
    return record if record and record.access and record.access.token == wish.data.access_token else None


def _check_buried(wish: Wish, own: TokenRecord | None, target: TokenRecord | None, snapshot: Snapshot) -> None:
    """Refuse a save whose credential or user was deleted since: the deletion is the later word.

    Since its lease was given, or since it has been kept, if it has no lease. When all records are deleted that is true
    of every credential and user, but not of a record that is still there: its turn comes.
    """
    offered = wish.intended
    names = [
        pointer(kind, offered[field])
        for field, kind in (("grant_token", "grant"), ("refresh_token", "refresh"))
        if field in offered and (target is None or getattr(target, field) != offered[field])
    ]
    if "user_name" in offered and target is None:
        entry = user_pointer(offered["user_name"]), client_digest(wish.data.client_id)
        names.append(user_tombstone(entry))
    if target is None and wish.lease:
        names.append(wish.lease.name)
    if names and own is None:
        names.append(ALL)
    for name in dict.fromkeys(names):
        # Read without a lease too: a request that was held up on the way must not be written after a deletion.
        deleted = read_deletion(snapshot.string(tombstone(name)))
        since = wish.lease.fence if wish.lease else wish.kept_us
        if since and deleted is not None and deleted >= since:
            raise TokenDeleted(None)


def _is_cleared(fence: int, snapshot: Snapshot) -> bool:
    """Return whether all records were deleted after some fence."""
    cleared = read_deletion(snapshot.string(tombstone(ALL)))
    return cleared is not None and cleared >= fence


def _others(
    wish: Wish, target: TokenRecord, named: TokenRecord | None, credentials: dict[str, TokenRecord]
) -> tuple[set[str], list[TokenRecord]]:
    """Return the fields that may not be written, and the other records that are the same grant as the target.

    Nothing is merged across identities: one user would get another's token. A name that another record has is left
    out; a credential that another user's record has is refused.
    """
    offered = wish.intended
    identity = target._replace(
        client_id=target.client_id or offered.get("client_id"), user_name=target.user_name or offered.get("user_name")
    )
    skipped: set[str] = set()
    others: dict[str, TokenRecord] = {}
    for field, record in credentials.items():
        if record.id == target.id:
            continue
        if compatible(identity, record):
            others[record.id] = record
        elif field == SPENT:
            skipped.add(SPENT)
        else:
            raise InvalidToken(field, "belongs to the token of another user")
    if named is not None and named.id != target.id:
        if compatible(identity, named):
            others[named.id] = named
        else:
            skipped.add("user_name")
    return skipped, list(others.values())


def _creation(wish: Wish, snapshot: Snapshot, skipped: set[str], now_ms: int) -> Change:
    data = wish.data
    if not (data.refresh_token or data.grant_token or data.access_token):
        raise InvalidToken("token", "has no access, refresh or grant token: there is nothing to store")
    record_id = data.id or wish.new_id
    if snapshot.string(tombstone(record_id)):
        raise TokenDeleted(record_id)
    wish.touched.add(record_id)
    fence = wish.fence or now_ms * 1000
    merged = apply(wish, new_record(record_id, fence, now_ms), fence, skipped, now_ms)
    return Change("refreshed" if wish.lease else "saved", (), merged.record, wish.lease, fence, ("saves",))
