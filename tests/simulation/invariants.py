"""What must hold after every step, at every answer, and at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from simulation.expectation import Expectation
from simulation.fleet_book import FleetBook
from simulation.lease_book import LeaseBook, Sent
from simulation.login_book import LoginBook
from simulation.state import State
from simulation.violation import Violation
from simulation.zoho import Call, Owner
from zoho_token_store.change import access_pointer, credential_pointers, user_entry, user_tombstone
from zoho_token_store.keyspace import pointer
from zoho_token_store.match import TokenData
from zoho_token_store.merge import Wish
from zoho_token_store.options import USABLE
from zoho_token_store.record import REMEMBERED, TokenRecord
from zoho_token_store.terms import ATTEMPTS, PAUSE_MS

if TYPE_CHECKING:
    from simulation.process import Process
    from simulation.world import World


FORGOTTEN_US = 15_000_000


@dataclass
class Invariants:
    """Watches one world.

    Attributes:
        world: Which.
        margin: The freshness margin of its stores, seconds.
        quick: Whether nothing fails: each code is spent once, each expiry costs one refresh, and nobody waits long.
        excused: Refresh tokens that may be spent before they are due: an application goes past the coordination.
        patience: Longest look-up then, seconds: an exchange, a look-up of the user, and to be woken at once.
        leaving: Whether processes end without having used their leases: three in a row, and the fleet cools down.
        names: Names that callers give, and whose they are; without an entry a name is its user's own.
    """

    world: World
    margin: float = 30.0
    quick: bool = False
    patience: float = 0.8
    leaving: bool = False
    longest_find: float = 0.0
    names: dict[str, str] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)
    unleased: set[str] = field(default_factory=set)
    written: list[str] = field(default_factory=list)
    buried: dict[str, int] = field(default_factory=dict)
    rejections: dict[str, int] = field(default_factory=dict)
    id_owners: dict[str, Owner] = field(default_factory=dict)
    checks: int = 0
    _records: dict[str, TokenRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fleet = FleetBook(self.world)
        self.leases = LeaseBook(self.world)
        self.logins = LoginBook(self.world)

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
            # A record remembers its last few operations, whatever they have brought.
            brings_credential = sent.wish.data.refresh_token or sent.wish.data.grant_token
            if brings_credential and sent.wish.nonce in self.written[-REMEMBERED:]:
                raise Violation(f"save {sent.wish.nonce} was written twice")
            self.written.append(sent.wish.nonce)
        self.fleet.executed(process, sent, reply, answer)
        self.leases.executed(sent, reply, answer)
        if wrote:
            state = State(self.world.memory)
            self._check_new(state)
            self._note_deletions(state)
            self.check(state)

    def _check_new(self, state: State) -> None:
        """A user who has logged out while a login was under way is not brought back by it."""
        for record_id in state.records.keys() - self._records.keys():
            record = state.records[record_id]
            entry = user_entry(record)
            began_before = entry and int(record.fence) < self.buried.get(user_tombstone(entry), 0)
            if began_before and record.refreshable and not credential_pointers(record) & self.unleased:
                raise Violation(f"{record.user_name} was deleted, and is back as {record_id}")

    def _note_deletions(self, state: State) -> None:
        """Take note of what is gone without having ended or been merged."""
        for record_id, record in self._records.items():
            if record_id not in state.records and record.refreshable and not state.heir(record_id):
                entry = user_entry(record)
                names = (record_id, *credential_pointers(record), *([user_tombstone(entry)] if entry else ()))
                # Where all is deleted what has no tombstone of its own is gone since that began.
                cleared_us = int(state.tombstones.get("*", f"deleted {self.world.now_us}").removeprefix("deleted "))
                for name in names:
                    self.buried[name] = self.world.now_us if name in state.tombstones else cleared_us
                self.logins.forget(record)
        self._records = state.records

    def check(self, state: State) -> None:
        """Check everything that must hold in any state."""
        self.checks += 1
        self._check_pointers(state)
        self._check_unique(state)
        self._check_lives(state)
        self._check_leases(state)
        self._check_deleted(state)
        self._check_owners(state)
        self.logins.check(state)

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
            marks: list[object] = [
                ("refresh", token) for token in {record.refresh_token, *record.spare_tokens()} if token
            ]
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
            if record.refresh_token in self.logins.bare:
                continue  # it was saved without an access token, and None erases nothing
            if self.world.zoho.got_with.get(access or "", record.refresh_token) != record.refresh_token:
                raise Violation(
                    f"record {record.id} has {record.refresh_token} and {access}, which was got with another"
                )

    # At every answer.

    def saving(self, wish: Wish) -> None:
        """Take note of what a save brings."""
        if wish.lease is None:
            offered = ((kind, wish.intended.get(f"{kind}_token")) for kind in ("grant", "refresh"))
            self.unleased |= {pointer(kind, value) for kind, value in offered if value}
        if wish.data.refresh_token:
            self.logins.saving(wish.data.refresh_token, wish)

    def saved(self, process: Process, wish: Wish) -> None:
        """Check that an acknowledged save is found by each of its selectors."""
        state = State(self.world.memory)
        data = wish.data
        self.logins.saved(wish)
        self.fleet.saved(wish.data.refresh_token)
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

    def ids(self) -> list[str]:
        """Return the ids of the records that are there."""
        return sorted(State(self.world.memory).records)

    def deleted(self, record_id: str) -> None:
        """Check that a deletion has been done."""
        state = State(self.world.memory)
        if record_id in state.records:
            raise Violation(f"record {record_id} is there after its deletion")

    def rejected(self, record_id: str, access_token: str) -> None:
        """Take note that nobody may be given this access token any more."""
        self.rejections.setdefault(access_token, self.world.now_us)

    def asked(self, call: Call) -> None:
        """Check, at each request, that the fleet does not hammer a Zoho that refuses."""
        if self.world.faults.any():
            return
        # A cool-down ends with the record: its deletion is something new that the user did, and whoever then comes with
        # a credential of it logs in anew. Only what was tried since counts.
        kind = "grant" if call.spent in self.world.zoho.codes else "refresh"
        deleted_us = self.buried.get(pointer(kind, call.spent), 0)
        earlier = (other for other in self.world.zoho.calls[:-1] if other.started_us >= deleted_us)
        failed = [other for other in earlier if other.spent == call.spent]
        last = failed[-ATTEMPTS:]
        gaps_us = [later.started_us - other.started_us for other, later in pairwise(last)]
        if max(gaps_us, default=0) > FORGOTTEN_US:
            return  # nobody has asked for so long that the count began anew
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
        return kind == "grant" or self.logins.is_over(value)

    @staticmethod
    def _named(state: State, record: TokenRecord, data: TokenData) -> bool:
        """Return whether another record has the user name."""
        entries = state.users.get(pointer("user", data.user_name or ""), {})
        return any(record_id != record.id for record_id in entries.values())
