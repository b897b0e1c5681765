"""The store with one rule broken: each of these must be caught, or the simulation proves nothing.

The numbers are those of the rules in `docs`: each stands for a trace that breaks without the rule.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha1
from types import ModuleType
from typing import Any
from unittest.mock import patch

from zoho_token_store import match, merge, plan, search
from zoho_token_store.commit import CommitBuilder
from zoho_token_store.keyspace import tombstone
from zoho_token_store.match import selectors
from zoho_token_store.merge import Wish
from zoho_token_store.record import Bookkeeping, TokenRecord
from zoho_token_store.saver import Saver
from zoho_token_store.script import COMMIT, FIND, REFRESH, RELEASE, Script

Patch = tuple[ModuleType | type[Any], str, Any]


@dataclass(frozen=True)
class Mutation:
    """One broken rule.

    Attributes:
        name: What is broken.
        where: Families and faults, as `family-faults`, whose schedules catch it.
        patches: What stands in for what in the Python code.
        scripts: What stands in for a script, by its name.
        expected: Part of the violation that must be reported.
    """

    name: str
    where: tuple[str, ...]
    expected: str
    patches: tuple[Patch, ...] = ()
    scripts: dict[str, Script] = field(default_factory=dict)

    def apply(self) -> ExitStack:
        """Break it until the context ends."""
        stack = ExitStack()
        for owner, name, stand_in in self.patches:
            stack.enter_context(patch.object(owner, name, stand_in))
        return stack


def edited(script: Script, *edits: tuple[str, str]) -> dict[str, Script]:
    """Return a script with pieces of its text replaced; each must be there."""
    text = script.text
    for old, new in edits:
        assert old in text, f"{script.name} has changed: {old!r} is not there"
        text = text.replace(old, new)
    return {script.name: Script(script.name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())}


def _by_name_first(data: Any, wanted: Any, pointers: Any, dead: Any, foreign: Any) -> Any:
    """Look for the user name before the credential."""
    if wanted.user:
        named = match.named_record(pointers.get(wanted.user, ""), data.client_id, {*dead, *foreign})
        if named or not (wanted.grant or wanted.refresh):
            return match.Match(named) if named else match.NOTHING
        return match.Match(claim=wanted.user)
    return match.resolve(data, wanted, pointers, dead, foreign)


def _always_new_login(data: Any, wanted: Any, pointers: Any, dead: Any, foreign: Any) -> Any:
    """Lease a credential of its own although a record holds it."""
    spends = wanted.grant or wanted.refresh
    return match.Match(claim=spends) if spends else match.resolve(data, wanted, pointers, dead, foreign)


def _no_other_holders(wish: Wish, own: TokenRecord | None, snapshot: Any) -> dict[str, TokenRecord]:
    """Do not ask who else holds the credentials."""
    return {}


def _no_spent_holder(original: Callable[..., Any]) -> Callable[..., Any]:
    """Do not ask who else holds the refresh token that was spent."""

    def stand_in(wish: Wish, own: TokenRecord | None, snapshot: Any) -> dict[str, TokenRecord]:
        holders: dict[str, TokenRecord] = original(wish, own, snapshot)
        return {field: record for field, record in holders.items() if field != plan.SPENT}

    return stand_in


def _same_fence(original: Callable[..., Any]) -> Callable[..., Any]:
    """Decide by the record's last fence which refresh token is current."""

    def stand_in(wish: Wish, record: TokenRecord, book: Bookkeeping, fence: int, token: str | None) -> Any:
        newest = max(int(record.fence), book.refresh_fence)
        return original(wish, record, replace(book, refresh_fence=newest), fence, token)

    return stand_in


def _any_access(wish: Wish, before: TokenRecord, after: TokenRecord, late: bool) -> Any:
    """Take the access token with the later expiry, whatever it was got with."""
    stored, offered = before.access, wish.access
    if offered is None or (stored is not None and stored.expires_ms >= offered.expires_ms):
        return stored
    return offered


def _late_keeps_access(original: Callable[..., Any]) -> Callable[..., Any]:
    """Leave the access token in place when a late save brings a newer login."""

    def stand_in(wish: Wish, before: TokenRecord, after: TokenRecord, late: bool) -> Any:
        stored, offered = before.access, wish.access
        if late and stored is not None and offered is not None and stored.expires_ms >= offered.expires_ms:
            return stored
        return original(wish, before, after, late)

    return stand_in


def _with_baseline(original: Callable[..., Any]) -> Callable[..., Any]:
    """Write what the record lists as superseded."""

    def stand_in(wish: Wish, record: TokenRecord, book: Bookkeeping, fence: int, token: str | None) -> Any:
        return original(wish, record, replace(book, old_refresh=()), fence, token)

    return stand_in


def _forgetful_fold(stays: TokenRecord, goes: TokenRecord) -> TokenRecord:
    """Merge without taking over the other's operations."""
    return merge.fold(stays, goes)._replace(ops=stays.ops)


def _homeless_fold(stays: TokenRecord, goes: TokenRecord) -> TokenRecord:
    """Merge without remembering what was merged."""
    folded = merge.fold(stays, goes)
    return folded._replace(meta=replace(folded.bookkeeping(), absorbed=()).pack())


def _losing_fold(stays: TokenRecord, goes: TokenRecord) -> TokenRecord:
    """Merge without keeping the other's refresh token."""
    return merge.fold(stays, goes)._replace(spares=None)


def _dropped_spare(original: Callable[..., Any]) -> Callable[..., Any]:
    """Drop the refresh token of a late save."""

    def stand_in(wish: Wish, record: TokenRecord, book: Bookkeeping, fence: int, token: str | None) -> Any:
        after, kept = original(wish, record, book, fence, token)
        return after._replace(spares=record.spares), kept

    return stand_in


def _everything_intended(self: Wish) -> None:
    """Mean to write all that the object has, also what it was given."""
    values = ((name, getattr(self.data, name)) for name in merge.DURABLE)
    self.intended = {name: value for name, value in values if value is not None}


def _other_id(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make a record under another id when the one drawn first has been used."""

    def stand_in(wish: Wish, snapshot: Any, *rest: Any) -> Any:
        if wish.new_id and snapshot.string(tombstone(wish.new_id)):
            wish.new_id += "x"
        return original(wish, snapshot, *rest)

    return stand_in


def _no_release(self: CommitBuilder, change: Any, scope: Any) -> None:
    """End no lease, and wake nobody."""


def _lease_by_looks(original: Callable[..., Any]) -> Callable[..., Any]:
    """Know a lease on a credential only by what the token says when it is saved."""

    def stand_in(self: Saver, data: Any, baseline: Any, *rest: Any) -> Any:
        save = original(self, data, baseline, *rest)
        wish = save.wish
        if baseline is None and wish.lease and wish.lease.name not in selectors(wish.data).names():
            wish.lease, wish.spent, wish.fence = None, None, 0
        return save

    return stand_in


MUTATIONS = (
    Mutation(
        "1: a new login of a code that a record holds", ("boot-quiet",), "",
        ((search, "resolve", _always_new_login),),
    ),
    Mutation(
        "2: the user name goes before the credential", ("selectors-quiet",), "",
        ((search, "resolve", _by_name_first),),
    ),
    Mutation(
        "2: a save does not ask who holds its credentials", ("direct_saves-quiet",), "two records",
        ((plan, "_credential_holders", _no_other_holders),),
    ),
    Mutation(
        "3: records of two users are merged", ("mistaken_name-quiet",), "Owner",
        ((plan, "compatible", lambda one, other: True),),
    ),
    Mutation(
        "4: a save is not held against the tombstones of its credentials", ("refresh_token-stalling",), "was deleted",
        ((plan, "_check_buried", lambda wish, own, target, snapshot: None),),
    ),
    Mutation(
        "4: what was begun before all was deleted is written after it", ("clearing-stalling",), "was deleted",
        ((plan, "ALL", "nobody"),),
    ),
    Mutation(
        "5: the id of a new record is drawn in each attempt", ("direct_saves-lossy",), "written twice",
        ((plan, "_creation", _other_id(plan._creation)), (plan, "_check_touched", lambda wish, snapshot: None)),
    ),
    Mutation(
        "6: leases are ended before the comparison", ("new_login-quiet", "direct_saves-quiet"), "CONFLICT and wrote",
        (), edited(COMMIT, ("local at = 2\n", "local at = 2\nredis.call('DEL', KEYS[2])\n")),
    ),
    Mutation(
        "6: a commit does not begin by freeing", ("direct_saves-full",), "OOM",
        (), edited(COMMIT, ("redis.call('DEL', KEYS[1])\n", "")),
    ),
    Mutation(
        "6: a find does not begin by freeing", ("boot-full",), "OOM",
        (), edited(FIND, ("redis.call('DEL', wake)\n", ""), ("redis.call('DEL', lease)\n", "")),
    ),
    Mutation(
        "6: a late save ends another's lease", ("new_login-stalling",), "still has",
        (), edited(COMMIT, ("held[1] == owner and held[2] == fence or", "held[1] ~= nil or")),
    ),
    Mutation(
        "7: the record's last fence decides which refresh token is current", ("new_login-stalling",), "took the place",
        ((merge, "_refresh_token", _same_fence(merge._refresh_token)),),
    ),
    Mutation(
        "8: the later expiry decides which access token is current", ("new_login-stalling",), "got with another",
        ((merge, "_access", _any_access),),
    ),
    Mutation(
        "9: a superseded refresh token is written again", ("direct_saves-quiet",), "took the place",
        ((merge, "_refresh_token", _with_baseline(merge._refresh_token)),),
    ),
    Mutation(
        "10: a merge forgets the other's operations", ("merges-lossy", "merges-stormy"), "written twice",
        ((plan, "fold", _forgetful_fold),),
    ),
    Mutation(
        "10: a merge forgets what was merged before", ("late_names-quiet",), "",
        ((plan, "fold", _homeless_fold),),
    ),
    Mutation(
        "10: a merge drops the other's refresh token", ("late_names-quiet",), "",
        ((plan, "fold", _losing_fold),),
    ),
    Mutation(
        "11: whoever holds a lease gets it again and again", ("outage-quiet",), "is tried again",
        (), edited(FIND, ("if held[2] == nonce then", "if true then")),
    ),
    Mutation(
        "three-way: an old object puts its old refresh token back", ("new_login-stalling",), "took the place",
        ((Wish, "__post_init__", _everything_intended),),
    ),
    Mutation(
        "a late refresh token is dropped", ("new_login-stalling",), "is lost",
        ((merge, "_refresh_token", _dropped_spare(merge._refresh_token)),),
    ),
    Mutation(
        "a lease is given to whoever asks", ("boot-quiet",), "still has",
        (), edited(FIND, ("if until_ms > now then", "if false then")),
    ),
    Mutation(
        "a lease has no time to live", ("boot-quiet",), "no time to live",
        (), edited(FIND, ("redis.call('PEXPIRE', lease, keep_ms)\n", "")),
    ),
    Mutation(
        "waiters are not woken", ("boot-quiet",), "took",
        (), edited(COMMIT, ("redis.call(command, key", "if command ~= 'XADD' then redis.call(command, key"),
                   ("unpack(ARGV, at + 3, last))", "unpack(ARGV, at + 3, last)) end"))
        | edited(REFRESH, ("redis.call('XADD', wake", "tostring('XADD', wake")),
    ),
    Mutation(
        "a save leaves its lease", ("boot-quiet",), "took",
        ((CommitBuilder, "_end_leases", _no_release),),
    ),
    Mutation(
        "nothing is compared", ("late_names-quiet",), "",
        (), edited(COMMIT, ("return {'CONFLICT', now}", "")),
    ),
    Mutation(
        "an ending process leaves its leases", ("leavers-quiet",), "took",
        (), edited(RELEASE, ("if held[1] == owner", "if false and held[1] == owner")),
    ),
    # Errors that the simulation has found, put back in.
    Mutation(
        "found: a lease is lost when the refresh token rotates", ("refresh_token-quiet",), "took",
        ((Saver, "make_save", _lease_by_looks(Saver.make_save)),),
    ),
    Mutation(
        "found: a late login keeps the old login's access token", ("new_login-stalling",), "got with another",
        ((merge, "_access", _late_keeps_access(merge._access)),),
    ),
    Mutation(
        "found: a record loses the pointer of a token that another has rotated", ("refresh_token-quiet",), "leads to",
        ((plan, "_credential_holders", _no_spent_holder(plan._credential_holders)),),
    ),
    Mutation(
        "found: a process that fails and ends takes its attempt off the count", ("outage-quiet",), "is tried again",
        (), edited(RELEASE, ("'HDEL', KEYS[i], 'owner', 'nonce', 'until_ms'", "'DEL', KEYS[i]")),
    ),
)  # fmt: skip
"""All of them."""

__all__ = ["MUTATIONS", "Mutation"]
