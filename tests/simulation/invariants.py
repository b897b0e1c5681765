"""What must hold after every step, at every answer, and at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulation.lease_book import LeaseBook, Sent
from simulation.state import State
from simulation.violation import Violation
from simulation.zoho import Call, Owner
from zoho_token_store import RefreshFailing, RefreshTimeout, TokenDeleted, TokenNotFound, TokenStoreError
from zoho_token_store.change import access_pointer, credential_pointers, user_entry
from zoho_token_store.keyspace import NO_CLIENT, client_digest, pointer
from zoho_token_store.match import TokenData
from zoho_token_store.merge import Wish
from zoho_token_store.options import USABLE
from zoho_token_store.record import REMEMBERED, TokenRecord
from zoho_token_store.repository import ATTEMPTS, PAUSE_MS

if TYPE_CHECKING:
    from simulation.process import Process
    from simulation.world import World


NOT_YET = 1 << 62


@dataclass
class Kept:
    """A refresh token that a save has brought.

    Attributes:
        from_us: The earliest moment at which whoever brought it began: its lease, or the call without one.
        to_us: The latest such moment.
        acknowledged: Whether a save of it has returned.
        over: Whether it may be gone: superseded by one that began later, or deleted.
    """

    from_us: int
    to_us: int
    acknowledged: bool = False
    over: bool = False


@dataclass
class Invariants:
    """Watches one world.

    Attributes:
        world: Which.
        margin: The freshness margin of its stores, seconds.
        quick: Whether nothing fails: then each code is spent once, each expiry costs one refresh, and nobody waits long.
        excused: Refresh tokens that may be spent before they are due: an application goes past the coordination.
        names: Names that callers give, and whose they are; without an entry a name is its user's own.
    """

    world: World
    margin: float = 30.0
    quick: bool = False
    longest_find: float = 0.0
    names: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, Kept] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)
    unleased: set[str] = field(default_factory=set)
    written: list[str] = field(default_factory=list)
    bare: set[str] = field(default_factory=set)
    buried: dict[str, int] = field(default_factory=dict)
    rejections: dict[str, int] = field(default_factory=dict)
    id_owners: dict[str, Owner] = field(default_factory=dict)
    checks: int = 0
    _records: dict[str, TokenRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.leases = LeaseBook(self.world)

    # After every step.

    def executed(self, process: Process, sent: Sent, reply: Any, wrote: bool) -> None:
        """Check the state that a script has left.

        Args:
            process: Who sent it.
            sent: What was sent.
            reply: What it answered.
            wrote: Whether it wrote anything.
        """
        answer = reply[0] if isinstance(reply, list) and reply else None
        if wrote and answer in ("MOVED", "CONFLICT", "SAME", "MISSING", "GONE", "REDIRECT", "CONTRADICTS"):
            raise Violation(f"{sent.script.name} answered {answer} and wrote")
        if sent.wish and answer == "OK":
            # A record remembers its last few operations.
            if sent.wish.nonce in self.written[-REMEMBERED:]:
                raise Violation(f"save {sent.wish.nonce} was written twice")
            self.written.append(sent.wish.nonce)
        self.leases.executed(sent, reply, answer)
        if wrote:
            state = State(self.world.memory)
            self._note_deletions(state)
            self.check(state)

    def _note_deletions(self, state: State) -> None:
        """Take note of what is gone without having ended or been merged."""
        for record_id, record in self._records.items():
            if record_id not in state.records and record.refreshable and not state.heir(record_id):
                self.buried |= dict.fromkeys((record_id, *credential_pointers(record)), self.world.now_us)
                self._forget(record)
        self._records = state.records

    def _forget(self, record: TokenRecord) -> None:
        """A deleted refresh token need not be kept; if it is saved again, that is another login."""
        names = credential_pointers(record)
        for token in [token for token in self.tokens if pointer("refresh", token) in names]:
            del self.tokens[token]

    def check(self, state: State) -> None:
        """Check everything that must hold in any state."""
        self.checks += 1
        self._check_pointers(state)
        self._check_unique(state)
        self._check_lives(state)
        self._check_leases(state)
        self._check_deleted(state)
        self._check_owners(state)
        self._check_tokens(state)

    def _check_pointers(self, state: State) -> None:
        """Every selector of a record leads to it, and no pointer leads to anything else."""
        expected: dict[str, str] = {}
        users: dict[str, dict[str, str]] = {}
        for record in state.records.values():
            expected |= dict.fromkeys(credential_pointers(record), record.id)
            access = access_pointer(record)
            if access:
                expected[access] = record.id
            entry = user_entry(record)
            if entry:
                users.setdefault(entry[0], {})[entry[1]] = record.id
        for name, record_id in expected.items():
            if state.pointers.get(name) != record_id:
                raise Violation(f"{name} of record {record_id} leads to {state.pointers.get(name)}")
        for name in state.pointers.keys() - expected.keys():
            if name.startswith("access-token:"):
                continue  # of an access token that was superseded: it leads to its record until it would have expired
            raise Violation(f"dangling: {name} leads to {state.pointers[name]}, which does not have it")
        for name, entries in users.items():
            if entries.items() - state.users.get(name, {}).items():
                raise Violation(f"{name} is {state.users.get(name)}, not {entries}")
        for name, entries in state.users.items():
            for client, record_id in entries.items():
                if users.get(name, {}).get(client) != record_id and record_id not in state.ended:
                    raise Violation(f"dangling: {name} leads to {record_id} under {client}")

    def _check_unique(self, state: State) -> None:
        """No two records for one user and client, or for one refresh token."""
        seen: dict[object, str] = {}
        for record in state.records.values():
            marks: list[object] = [("refresh", token) for token in {record.refresh_token, *record.spare_tokens()} if token]
            if record.grant_token:
                marks.append(("grant", record.grant_token))
            if record.user_name:
                marks.append((record.user_name, record.client_id))
            for mark in marks:
                if seen.setdefault(mark, record.id) != record.id:
                    raise Violation(f"two records for {mark}: {seen[mark]} and {record.id}")

    def _check_lives(self, state: State) -> None:
        """What must end by itself does, and what belongs to a record goes with it."""
        for name in state.endless:
            kind = name.partition(":")[0]
            if kind in ("lease", "wake", "access", "access-token"):
                raise Violation(f"{name} has no time to live")
            if kind == "gone" and not state.heir(name[5:]):
                raise Violation(f"{name} has no time to live and leads nowhere")
            if kind in ("token", "user", "grant", "refresh"):
                continue
        for record_id in state.accesses - state.records.keys():
            raise Violation(f"orphan: access part of {record_id}")
        for record in state.records.values():
            if record.refreshable and f"token:{record.id}" not in state.endless:
                raise Violation(f"record {record.id} can be refreshed and ends by itself")
            if not record.refreshable and f"token:{record.id}" in state.endless:
                raise Violation(f"record {record.id} is of no use without its access token and never ends")
        if state.records.keys() - state.ids or state.ids - state.records.keys() - state.ended:
            raise Violation(f"the list has {sorted(state.ids)}, there are {sorted(state.records)}")

    def _check_leases(self, state: State) -> None:
        """At most one live lease for each credential, whatever it is called."""
        holders: dict[str, tuple[str, str]] = {}
        for name, owner in state.leases.items():
            record = state.records.get(name)
            spends = name
            if record is not None:
                current = record.refresh_token
                spends = pointer("refresh", current) if current else pointer("grant", record.grant_token or "")
            other, held = holders.setdefault(spends, (owner, name))
            # One that lost a reply may have both, and knows of one. A save past the coordination waits for no lease.
            if held != name and other != owner and spends not in self.unleased:
                raise Violation(f"two live leases for {spends}: {held} by {other} and {name} by {owner}")

    def _check_deleted(self, state: State) -> None:
        """Nothing deleted comes back: neither an id, nor a credential by a save that began before the deletion."""
        for record in state.records.values():
            if record.id in self.buried:
                raise Violation(f"record {record.id} was deleted and is there again")
            for name in credential_pointers(record):
                # A save without a lease may take effect at any time during its call, so also after the deletion.
                if int(record.fence) < self.buried.get(name, 0) and name not in self.unleased:
                    raise Violation(f"{name} was deleted, and record {record.id} has it from before")

    def _check_owners(self, state: State) -> None:
        """Everything in a record belongs to one user of one client."""
        owners = self.world.zoho.owners
        for record in state.records.values():
            secrets = [record.refresh_token, record.grant_token, record.access and record.access.token]
            mine = {owners[secret] for secret in [*secrets, *record.spare_tokens()] if secret in owners}
            if len(mine) > 1:
                raise Violation(f"record {record.id} mixes {sorted(mine)}")
            for owner in mine:
                self.id_owners[record.id] = owner
                if record.client_id not in (None, owner.client):
                    raise Violation(f"record {record.id} of {record.client_id} has a token of {owner}")
                if record.user_name is not None and self._user(record.user_name) != owner.user:
                    raise Violation(f"record {record.id} of {record.user_name} has a token of {owner}")
            access = record.access and record.access.token
            if record.refresh_token in self.bare:
                continue  # it was saved without an access token, and None erases nothing
            if self.world.zoho.got_with.get(access or "", record.refresh_token) != record.refresh_token:
                raise Violation(f"record {record.id} has {record.refresh_token} and {access}, which was got with another")

    def _check_tokens(self, state: State) -> None:
        """No acknowledged refresh token is lost."""
        if not self.tokens:
            return
        held = {token for record in state.records.values() for token in (record.refresh_token, *record.spare_tokens())}
        for token, kept in self.tokens.items():
            if kept.over or not kept.acknowledged or token in held:
                continue
            name = pointer("refresh", token)
            record = state.records.get(state.pointers.get(name, ""))
            if record is None or record.refresh_token is None:
                raise Violation(f"the acknowledged {token} is lost")
            self._check_order(token, record.refresh_token)
            kept.over = True
        for record in state.records.values():
            for spare in record.spare_tokens():
                self._check_order(spare, record.refresh_token or "")

    def _check_order(self, older: str, newer: str) -> None:
        """The current refresh token is the one whose login or refresh began last."""
        kept, successor = self.tokens.get(older), self.tokens.get(newer)
        if kept and successor and kept.acknowledged and successor.to_us < kept.from_us:
            raise Violation(f"{newer} took the place of {older}, which is newer")

    # At every answer.

    def saving(self, wish: Wish) -> None:
        """Take note of what a save brings."""
        if wish.lease is None:
            offered = ((kind, wish.intended.get(f"{kind}_token")) for kind in ("grant", "refresh"))
            self.unleased |= {pointer(kind, value) for kind, value in offered if value}
        token = wish.data.refresh_token
        if token is None:
            return
        if wish.data.access_token is None:
            self.bare.add(token)
        began = wish.lease.fence if wish.lease else self.world.now_us
        ends = wish.lease.fence if wish.lease else NOT_YET
        if token not in self.tokens and pointer("refresh", token) in State(self.world.memory).pointers:
            began = 0  # it was deleted, and another save on its way has brought it back
        kept = self.tokens.setdefault(token, Kept(began, ends))
        if not kept.acknowledged:
            kept.from_us, kept.to_us = min(kept.from_us, began), max(kept.to_us, ends)

    def saved(self, process: Process, wish: Wish) -> None:
        """Check that an acknowledged save is found by each of its selectors."""
        state = State(self.world.memory)
        data = wish.data
        kept = self.tokens.get(data.refresh_token or "")
        if kept and not kept.acknowledged:
            kept.acknowledged, kept.to_us = True, min(kept.to_us, self.world.now_us)
        self.check(state)
        offered = wish.intended
        found: dict[str, str] = {}
        for kind in ("refresh", "grant"):
            value = offered.get(f"{kind}_token")
            if value and pointer(kind, value) not in self.buried:
                found[kind] = state.pointers.get(pointer(kind, value), "")
                if not found[kind] and not self._forgotten(kind, value):
                    raise Violation(f"{process.name} saved {value}, and nothing leads to it")
        if len({record_id for record_id in found.values() if record_id}) > 1:
            raise Violation(f"{process.name} saved one token, and its selectors lead to {found}")
        record = state.records.get(next(iter(found.values()), ""))
        if record and data.user_name and record.user_name is None and not self._named(state, record, data):
            raise Violation(f"record {record.id} was saved with a user name and has none")

    def deleted(self, record_id: str) -> None:
        """Check that a deletion has been done."""
        state = State(self.world.memory)
        if record_id in state.records:
            raise Violation(f"record {record_id} is there after its deletion")

    def rejected(self, record_id: str, access_token: str) -> None:
        """Take note that nobody may be given this access token any more."""
        self.rejections.setdefault(access_token, self.world.now_us)

    def asked(self, call: Call) -> None:
        """Check that the fleet does not hammer a Zoho that refuses; called for every request, when nothing else fails."""
        if self.world.faults.any():
            return
        failed = [other for other in self.world.zoho.calls[:-1] if other.spent == call.spent]
        last = failed[-ATTEMPTS:]
        if len(last) == ATTEMPTS and not any(other.access_token for other in last):
            pause_us = call.started_us - last[-1].started_us
            if pause_us < PAUSE_MS * 1000:
                raise Violation(f"{call.spent} is tried again {pause_us / 1e6:.2f} s after {ATTEMPTS} failures")

    def issued(self, call: Call) -> None:
        """Check that an access token was due, when nothing fails."""
        if not self.quick:
            return
        earlier = [other for other in self.world.zoho.calls if other.spent == call.spent and other is not call]
        if call.spent in self.world.zoho.codes and earlier:
            raise Violation(f"{call.spent} was spent by {earlier[0].process} and by {call.process}")
        for other in [] if call.spent in self.excused else earlier[-1:]:
            if other.access_token is None or other.access_token in self.rejections:
                continue
            life_us = int(self.world.zoho.life * 1e6)
            due_us = self.world.zoho.expires_us[other.access_token] - int(self._margin() * 1e6) - 10_000
            if call.started_us < max(due_us, other.started_us + life_us // 2 - 10_000):
                raise Violation(f"{call.spent} was refreshed by {other.process} and, before it was due, {call.process}")

    def expect(self, process: Process, data: TokenData) -> Expectation:
        """Begin a look-up by what a caller has."""
        return Expectation(self, process, data)

    def expect_id(self, process: Process, record_id: str) -> Expectation:
        """Begin a look-up by id."""
        return Expectation(self, process, TokenData(id=record_id))

    # At the end.

    def at_the_end(self) -> None:
        """Check what is left when everybody has gone, and long after."""
        self.check(State(self.world.memory))
        self.world.scheduler.now_us += 2 * 86_400 * 1_000_000
        state = State(self.world.memory)
        self.check(state)
        if state.leases or state.wakes or state.accesses:
            raise Violation(f"left behind: {sorted(state.leases)} {sorted(state.wakes)} {sorted(state.accesses)}")

    def _margin(self) -> float:
        return max(USABLE, min(self.margin, self.world.zoho.life / 2))

    def _user(self, name: str) -> str:
        return self.names.get(name, name)

    def _forgotten(self, kind: str, value: str) -> bool:
        """Return whether a credential was superseded: only the last few of these are remembered."""
        return kind == "grant" or value not in self.tokens or self.tokens[value].over

    @staticmethod
    def _named(state: State, record: TokenRecord, data: TokenData) -> bool:
        """Return whether another record has the user name."""
        entries = state.users.get(pointer("user", data.user_name or ""), {})
        return any(record_id != record.id for record_id in entries.values())


class Expectation:
    """One look-up: what was there when it began, and what it may answer.

    Args:
        invariants: Of the world.
        process: Who looks.
        data: What it has.
    """

    def __init__(self, invariants: Invariants, process: Process, data: TokenData) -> None:
        self._all = invariants
        self._world = invariants.world
        self._process = process
        self._data = data
        self._began_us = self._world.now_us
        self._stalled = process.stalled
        self._quick = not self._world.faults.any()
        self._before = self._matches()

    def answered(self, found: Any) -> None:
        """Check an answer."""
        self._check_time()
        if found is None:
            self._check_miss()
            return
        self._check_owner(found)
        access = found.get_access_token()
        if access and (found.get_refresh_token() or found.get_grant_token()):
            self._check_access(access)
        data = self._data
        if data.client_id and found.get_client_id() not in (None, data.client_id):
            self._fail(f"asked for client {data.client_id}, got {found.get_client_id()}")
        if data.id and found.get_id() != data.id and State(self._world.memory).heir(data.id) is None:
            self._fail(f"asked for {data.id}, got {found.get_id()}")

    def refused(self, error: TokenStoreError) -> None:
        """Check an error."""
        self._check_time()
        if isinstance(error, (TokenDeleted, TokenNotFound)):
            self._check_miss()
        if isinstance(error, (RefreshTimeout, RefreshFailing)) and self._all.quick:
            self._fail(f"{type(error).__name__}, though nothing fails")

    def _matches(self) -> dict[str, str]:
        """Return the records that this look-up may be about, by selector."""
        state, data = State(self._world.memory), self._data
        found: dict[str, str | None] = {}
        if data.id:
            found["id"] = data.id if data.id in state.records else state.heir(data.id)
        else:
            for kind, value in (("grant", data.grant_token), ("refresh", data.refresh_token)):
                found[kind] = value and state.pointers.get(pointer(kind, value))
            if data.user_name and not (data.grant_token or data.refresh_token):
                entries = state.users.get(pointer("user", data.user_name), {})
                client = client_digest(data.client_id)
                found["user"] = entries.get(client) or entries.get(NO_CLIENT)
        return {
            name: record_id
            for name, record_id in found.items()
            if record_id in state.records and state.records[record_id].client_id in (None, data.client_id or None)
            and (state.records[record_id].refreshable)
        }

    def _check_miss(self) -> None:
        """A record that was there all the time must have been found."""
        both = self._before.items() & self._matches().items()
        if both:
            self._fail(f"found nothing, and there is {dict(both)}")

    def _check_owner(self, found: Any) -> None:
        """The answer belongs to whom the caller asked for."""
        owners, data = self._world.zoho.owners, self._data
        secrets = (data.grant_token, data.refresh_token, None if data.shows_client else data.access_token)
        mine = (owners[secret] for secret in secrets if secret in owners)
        # A credential of another client is no selector; what is found then is found by the user name.
        wanted = next((owner for owner in mine if data.client_id in (None, owner.client)), None)
        if data.id:
            wanted = self._all.id_owners.get(data.id)
        for secret in (found.get_access_token(), found.get_refresh_token(), found.get_grant_token()):
            owner = owners.get(secret)
            if owner is None:
                continue
            if wanted is not None and owner != wanted:
                self._fail(f"asked for {wanted}, got {secret} of {owner}")
            if wanted is None and data.user_name and owner.user != self._all._user(data.user_name):
                self._fail(f"asked for {data.user_name}, got {secret} of {owner}")
            if data.client_id and owner.client != data.client_id:
                self._fail(f"asked for {data.client_id}, got {secret} of {owner}")

    def _check_access(self, access: str) -> None:
        """An access token that is handed out works, and was not rejected before."""
        left_us = self._world.zoho.expires_us.get(access, self._world.now_us + 10**9) - self._world.now_us
        stalled = self._process.stalled - self._stalled
        if left_us < 5_000_000 - stalled * 1e6 - self._process.store._options.operation_timeout * 1e6:
            self._fail(f"got {access} with {left_us / 1e6:.2f} s left")
        if self._all.rejections.get(access, self._began_us) < self._began_us:
            self._fail(f"got {access}, which CRM has rejected")

    def _check_time(self) -> None:
        """No look-up outlasts its budget."""
        options = self._process.store._options
        took = (self._world.now_us - self._began_us) / 1e6 - (self._process.stalled - self._stalled)
        self._all.longest_find = max(self._all.longest_find, took)
        longest = 3 * self._world.zoho.latency + 1.0 if self._all.quick else options.wait_timeout + 8 * options.operation_timeout
        if took > longest:
            self._fail(f"took {took:.1f} s")

    def _fail(self, what: str) -> None:
        data = self._data._asdict()
        raise Violation(f"{self._process.name} looked for {({k: v for k, v in data.items() if v})}: {what}")


__all__ = ["Expectation", "Invariants", "Violation"]
