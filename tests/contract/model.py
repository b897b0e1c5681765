"""What the store is, in plain Python: one process, no Redis, the rules of the contract and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

REMEMBERED = 4
USABLE, MARGIN = 6.0, 30.0
LEASE, LIMIT, FIRST_PAUSE, LONGEST_PAUSE = 8.0, 3, 5.0, 60.0
DURABLE = ("user", "client", "redirect", "refresh", "grant")


class Refused(Exception):
    """The call raises: ``deleted``, ``ambiguous``, ``invalid`` or ``missing``."""


@dataclass
class Attempts:
    """Leases in a row without a save."""

    number: int = 0
    retry_at: float = 0.0
    forgotten_at: float = 0.0


@dataclass
class Grant:
    """A record. ``ids`` are all that lead to it, its own first; ``login`` tells when its refresh token was stored."""

    ids: list[str]
    born: float
    login: float = 0.0
    user: str | None = None
    client: str | None = None
    redirect: str | None = None
    refresh: str | None = None
    grant: str | None = None
    access: str | None = None
    expires: float = 0.0
    life: float = 0.0
    spares: list[str] = field(default_factory=list)
    old_refresh: list[str] = field(default_factory=list)
    old_grant: list[str] = field(default_factory=list)
    attempts: Attempts = field(default_factory=Attempts)

    @property
    def refreshable(self) -> bool:
        return bool(self.refresh or self.grant)

    def holds(self, kind: str, value: str | None) -> bool:
        known = {"refresh": [self.refresh, *self.spares, *self.old_refresh], "grant": [self.grant, *self.old_grant]}[
            kind
        ]
        return value is not None and value in known

    def agrees(self, client: str | None) -> bool:
        return client is None or self.client in (None, client)


@dataclass
class Model:
    """All records, and the ids and grant codes of those that were deleted."""

    now: float = 0.0
    grants: list[Grant] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    spent: set[str] = field(default_factory=set)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for record in self.grants:
            if record.access and record.expires <= self.now:
                record.access = None
        self._end()

    def _end(self) -> None:
        self.grants = [record for record in self.grants if record.refreshable or record.access]

    def by_id(self, id: str) -> Grant | None:
        return next((record for record in self.grants if id in record.ids), None)

    def by_credential(self, kind: str, value: str | None) -> Grant | None:
        return next((record for record in self.grants if record.holds(kind, value)), None)

    def by_name(self, user: str, client: str | None) -> Grant | None:
        named = {record.client: record for record in self.grants if record.user == user}
        if client is not None:
            return named.get(client) or named.get(None)
        if len(named) > 1:
            raise Refused("ambiguous")
        return next(iter(named.values()), None)

    # Looking up.

    def find(self, given: dict[str, Any]) -> tuple[str, Grant | None]:
        """Return ``fresh``, ``lease`` or ``cooling`` and the record, or ``claim`` or ``none``."""
        held = False
        for kind in ("grant", "refresh"):
            record = self.by_credential(kind, given.get(kind))
            if record is not None and record.agrees(given.get("client")):
                return self.state(record), record
            held = held or record is not None
        named = self.by_name(given["user"], given.get("client")) if given.get("user") else None
        if (given.get("grant") or given.get("refresh")) and not held:
            if given.get("grant") in self.spent:
                raise Refused("deleted")
            return "claim", None
        if named is None and given.get("access") and not given.get("client"):
            named = next((record for record in self.grants if record.access == given["access"]), None)
        return ("none", None) if named is None else (self.state(named), named)

    def find_by_id(self, id: str) -> tuple[str, Grant]:
        record = self.by_id(id)
        if record is None:
            raise Refused("deleted" if id in self.gone else "missing")
        return self.state(record), record

    def state(self, record: Grant) -> str:
        left = record.expires - self.now if record.access else 0.0
        if record.access and (not record.refreshable or left > max(USABLE, min(MARGIN, record.life / 2))):
            return "fresh"
        attempts = record.attempts
        if attempts.forgotten_at <= self.now:
            record.attempts = attempts = Attempts()
        if attempts.number >= LIMIT and self.now < attempts.retry_at:
            return "fresh" if left > USABLE else "cooling"
        return "lease"

    def lease(self, record: Grant) -> None:
        """Give a lease that ends without a save."""
        number = record.attempts.number + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (number - LIMIT)) if number >= LIMIT else 0.0
        retry_at = self.now + LEASE + pause if pause else 0.0
        record.attempts = Attempts(number, retry_at, self.now + LEASE + LONGEST_PAUSE + pause)

    def give_back(self, record: Grant) -> None:
        """Take a lease back that was not used: it still counts, and a pause begins now."""
        if record.attempts.retry_at:
            record.attempts = replace(record.attempts, retry_at=record.attempts.retry_at - LEASE)

    # Writing.

    def save(self, given: dict[str, Any], base: dict[str, Any] | None = None) -> Grant | None:
        """Store; return the record, None if it has ended at once.

        Args:
            given: What the token says; ``access`` with ``expires`` and ``life``; ``id`` if it has one.
            base: What was handed out, if this is an object that was.
        """
        own = self.by_id(given["id"]) if given.get("id") else None
        if given.get("id") and own is None and given["id"] in self.gone:
            raise Refused("deleted")
        base = base if own else None
        meant = {name: given.get(name) for name in DURABLE if given.get(name) and given[name] != (base or {}).get(name)}
        holders = dict(self._holders(given, meant, own))
        holder = own or next(iter(holders.values()), None)
        named = self._named(given, meant, holder)
        target = holder or named
        if target is None and given.get("access") and not given.get("client"):
            target = next((record for record in self.grants if record.access == given["access"]), None)
        if target is not None and not target.agrees(given.get("client")):
            raise Refused("invalid")
        if target is None:
            return self._create(given, meant)
        involved = [target, *self._others(target, named, holders, meant)]
        involved.sort(key=lambda record: record.born)
        stays = involved[0]
        for goes in involved[1:]:
            self._fold(stays, goes)
            self.grants.remove(goes)
        self._apply(stays, given, meant, base)
        return stays

    def _holders(self, given: dict[str, Any], meant: dict[str, Any], own: Grant | None) -> Iterator[tuple[str, Grant]]:
        for kind in ("grant", "refresh"):
            if not meant.get(kind) or (own and getattr(own, kind) == meant[kind]):
                continue
            record = self.by_credential(kind, meant[kind])
            if record is None or record is own:
                continue
            if not record.agrees(given.get("client")):
                raise Refused("invalid")
            yield kind, record

    def _named(self, given: dict[str, Any], meant: dict[str, Any], holder: Grant | None) -> Grant | None:
        client = given.get("client") or (holder.client if holder else None)
        if not meant.get("user") or (holder and (holder.user, holder.client) == (meant["user"], client)):
            return None
        return self.by_name(meant["user"], client)

    def _others(
        self, target: Grant, named: Grant | None, holders: dict[str, Grant], meant: dict[str, Any]
    ) -> list[Grant]:
        user, client = target.user or meant.get("user"), target.client or meant.get("client")

        def same(other: Grant) -> bool:
            return other.agrees(client) and (None in (user, other.user) or user == other.user)

        others: list[Grant] = []
        for record in holders.values():
            if record is not target and record not in others:
                if not same(record):
                    raise Refused("invalid")
                others.append(record)
        if named is not None and named is not target:
            if not same(named):
                meant.pop("user")
            elif named not in others:
                others.append(named)
        return others

    def _create(self, given: dict[str, Any], meant: dict[str, Any]) -> Grant | None:
        if not (given.get("refresh") or given.get("grant") or given.get("access")):
            raise Refused("invalid")
        record = Grant([given.get("id") or "new"], born=self.now)
        self._apply(record, given, meant, None)
        self.grants.append(record)
        self.advance(0)
        return record

    def _apply(self, record: Grant, given: dict[str, Any], meant: dict[str, Any], base: dict[str, Any] | None) -> None:
        for name in ("user", "client", "redirect"):
            setattr(record, name, meant.get(name) or getattr(record, name))
        token = meant.get("refresh")
        if token and token != record.refresh and (base or not record.holds("refresh", token)):
            if record.refresh:
                record.old_refresh = remember(record.old_refresh, record.refresh)
            record.spares = [spare for spare in record.spares if spare != token]
            record.refresh, record.login = token, self.now
        code = meant.get("grant")
        if code and code != record.grant:
            if record.grant is None:
                record.grant = code
            elif not base and code in record.old_grant:
                record.old_grant = remember(record.old_grant, code)
            else:
                record.old_grant, record.grant = remember(record.old_grant, record.grant), code
        merely_held = base and base.get("access") == given.get("access")
        if given.get("access") and not merely_held and given.get("refresh") in (None, record.refresh):
            record.access, record.expires, record.life = given["access"], given["expires"], given["life"]
        record.attempts = Attempts()
        self.advance(0)

    def _fold(self, stays: Grant, goes: Grant) -> None:
        goes_newer = bool(goes.refresh) and (not stays.refresh or goes.login > stays.login)
        newer, older = (replace(goes), replace(stays)) if goes_newer else (replace(stays), replace(goes))
        spares = [*goes.spares, *stays.spares, *([older.refresh] if older.refresh else [])]
        stays.old_refresh = in_turns(stays.old_refresh, goes.old_refresh)
        stays.old_grant = in_turns(stays.old_grant, goes.old_grant)
        for name in DURABLE:
            setattr(stays, name, getattr(newer, name) or getattr(older, name))
        if older.grant and older.grant != stays.grant:
            stays.old_grant = remember(stays.old_grant, older.grant)
        stays.spares = list(dict.fromkeys(spare for spare in spares if spare != stays.refresh))
        access = newer if newer.access or older.refresh not in (None, newer.refresh) else older
        stays.access, stays.expires, stays.life = access.access, access.expires, access.life
        stays.login = max(stays.login, goes.login)
        stays.born = min(stays.born, goes.born)
        stays.ids += goes.ids

    def delete(self, id: str) -> None:
        record = self.by_id(id)
        if record is not None:
            self.gone |= set(record.ids)
            self.spent |= {code for code in (record.grant, *record.old_grant) if code}
            self.grants.remove(record)

    def invalidate(self, id: str, access: str | None) -> None:
        record = self.by_id(id)
        if record is not None and record.access and access in (None, record.access):
            record.access = None  # which brings nothing to refresh with: a pause goes on
            self._end()


def in_turns(mine: list[str], theirs: list[str]) -> list[str]:
    """Return the newest of both, in turns, oldest first."""
    newest = [one for pair in zip_longest(mine[::-1], theirs[::-1]) for one in pair if one is not None]
    return list(dict.fromkeys(newest))[::-1][-REMEMBERED:]


def remember(known: list[str], one: str) -> list[str]:
    return [*(other for other in known if other != one), one][-REMEMBERED:]
