"""What a fleet of managed stores may do at Zoho: a call under a live lease, out of a budget, and not in a pause.

It watches scripts and calls from outside, and knows nothing of what the store thinks.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from greenlet import getcurrent

from simulation.lease_book import Sent
from simulation.state import State
from simulation.violation import Violation
from simulation.zoho import Call
from zoho_token_store.accounts import AccountsError, Rejected, Throttled
from zoho_token_store.keyspace import Keyspace, pointer
from zoho_token_store.options import Options
from zoho_token_store.question import UNTRIED
from zoho_token_store.script import COMMIT, FIND, REFRESH, RELEASE, RENEW

if TYPE_CHECKING:
    from simulation.process import Process
    from simulation.world import World

_ROOT = Keyspace("sim").key("")
_LEASE, _TOKEN = f"{_ROOT}lease:", f"{_ROOT}token:"

USABLE_MS = 6_000
BUDGET = Options().refresh_budget
WINDOW_US = int(Options().refresh_window * 1_000_000)

PAUSE_US = 10_000_000
THROTTLED_US = 60_000_000
"""The shortest pauses after a call that failed and after one that was throttled."""


class Held(NamedTuple):
    """A lease that its holder has made sure of, and a call that it has taken from the budget.

    Attributes:
        name: What the lease is on.
        fence: Of the lease.
        owner: Who holds it.
        taken_us: When the call was taken.
        stalled: How long the process had been standing still by then, seconds.
    """

    name: str
    fence: int
    owner: str
    taken_us: int
    stalled: float


@dataclass
class Flight:
    """A call that is under way, or was.

    Attributes:
        call: The call.
        process: Whose.
        held: Under which lease.
    """

    call: Call
    process: Process
    held: Held


@dataclass
class Failure:
    """A call that failed, as its caller knows.

    Attributes:
        process: Whose.
        fence: Of the lease under which it was made.
        known_us: When.
        pause_us: How long everybody leaves Zoho alone then, at the least.
        refused: What was refused for good, if it was; something else may be offered.
    """

    process: Process
    fence: int
    known_us: int
    pause_us: int
    refused: str | None


@dataclass
class FleetBook:
    """Watches the managed stores of one world.

    Args:
        world: Which.

    Attributes:
        is_mixed: Whether there are stores beside whose SDK refreshes, which asks past the budget.
        calls: How many calls managed stores have made.
    """

    world: World
    is_mixed: bool = False
    calls: int = 0
    _given: dict[tuple[str, int], tuple[int, bool]] = field(default_factory=dict)
    _under: dict[Any, Held] = field(default_factory=dict)
    _calling: dict[Any, Flight] = field(default_factory=dict)
    _looking: set[Any] = field(default_factory=set)
    _flights: list[Flight] = field(default_factory=list)
    _offered: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _pauses: dict[str, tuple[int, int]] = field(default_factory=dict)
    _failures: dict[str, Failure] = field(default_factory=dict)
    _rejected_us: dict[str, int] = field(default_factory=dict)
    _refused: set[str | None] = field(default_factory=set)
    _successors: dict[str, str] = field(default_factory=dict)
    _rotated_us: dict[str, int] = field(default_factory=dict)
    """When it was known to the fleet that a refresh token has a successor."""

    # After every script.

    def executed(self, process: Process, sent: Sent, reply: Any, answer: str | None) -> None:
        """Take note of what a script has answered.

        Args:
            process: Who sent it.
            sent: What was sent.
            reply: What it answered.
            answer: The first word of that.
        """
        name = sent.script.name
        if name == FIND.name:
            self._found(sent, reply, answer)
        elif name == RENEW.name and answer == "HELD" and int(sent.args[4]):
            self._took(process, sent)
        elif name == RELEASE.name:
            self._released(sent)
        elif name in (COMMIT.name, REFRESH.name) and answer == "OK":
            self._committed(sent)

    def _found(self, sent: Sent, reply: Any, answer: str | None) -> None:
        name = sent.keys[3].removeprefix(_LEASE)
        if answer == "LEASED":
            lease = name, int(reply[2])
            given_us, _ = self._given.get(lease, (self.world.now_us, False))
            self._given[lease] = given_us, bool(reply[4])  # a repeat may come when it cannot be used any more
        if answer in ("WAIT", "FAILING", "REJECTED"):
            access = self.world.memory.peek(sent.keys[1])
            expires_ms = int(access.split(" ")[0]) if access else 0
            if expires_ms - self.world.now_us // 1000 > USABLE_MS:
                raise Violation(f"{answer} for {name}, whose access token has {expires_ms} ms to live")

    def _took(self, process: Process, sent: Sent) -> None:
        name, owner, fence = sent.keys[0].removeprefix(_LEASE), str(sent.args[0]), int(sent.args[1])
        now_us = self.world.now_us
        if getcurrent() in self._looking and self._given[name, fence][1]:
            raise Violation(f"{process.name} refreshes {name} in a look-up, though its access token can be used")
        self._under[getcurrent()] = Held(name, fence, owner, now_us, process.stalled)

    def _released(self, sent: Sent) -> None:
        for i, key in enumerate(sent.keys[::2]):
            owner, fence, pause_ms, reason = sent.args[4 * i : 4 * i + 4]
            name = key.removeprefix(_LEASE)
            if pause_ms != "" and reason != UNTRIED and self.world.invariants.leases.has(name, str(owner), int(fence)):
                self._pauses[name] = self.world.now_us, self.world.now_us + int(pause_ms) * 1000

    def _committed(self, sent: Sent) -> None:
        """Something was saved, which ends pauses; or it was noted that Zoho refuses."""
        for key in sent.keys:
            if key.startswith(_LEASE):
                name = key.removeprefix(_LEASE)
                self._pauses.pop(name, None)
                self._failures.pop(name, None)
            elif key.startswith(_TOKEN):
                self._look_for_refusal(key.removeprefix(_TOKEN))

    def _look_for_refusal(self, record_id: str) -> None:
        record = State(self.world.memory).records.get(record_id)
        if record is None or record.rejected is None:
            self._rejected_us.pop(record_id, None)
            return
        if record_id in self._rejected_us:
            return
        self._rejected_us[record_id] = self.world.now_us
        credentials = {record.refresh_token or record.grant_token}
        if record.rejected == "invalid_code":
            credentials.update(record.spare_tokens())
        if credentials - self._refused:
            raise Violation(f"{record_id} is marked as refused, and {credentials - self._refused} was not")

    def saved(self, refresh_token: str | None) -> None:
        """Take note that a save has returned: now the fleet knows what it has brought."""
        spent = self._successors.get(refresh_token or "")
        if spent:
            self._rotated_us.setdefault(spent, self.world.now_us)

    # At every look-up.

    def begin(self, is_look_up: bool) -> None:
        """Take note that this task is in a call of the application."""
        if is_look_up:
            self._looking.add(getcurrent())

    def end(self) -> None:
        """Take note that it is not any more."""
        self._looking.discard(getcurrent())

    # At every call.

    def asks(self, process: Process, call: Call) -> None:
        """Check that a call may be made now."""
        self.calls += 1
        held = self._under.pop(getcurrent(), None)
        if held is None:
            raise Violation(f"{process.name} offers {call.spent} without having made sure of its lease")
        if not self._hampered() and process.stalled == held.stalled:
            lease = self.world.memory.peek(_LEASE + held.name) or {}
            if (lease.get("owner"), lease.get("fence")) != (held.owner, str(held.fence)):
                raise Violation(f"{process.name} offers {call.spent} under a lease that it does not have")
        self._check_flights(process, call, held)
        self._check_budget(call, held)
        self._check_pauses(process, call, held)
        self._calling[getcurrent()] = flight = Flight(call, process, held)
        self._flights.append(flight)

    def _check_flights(self, process: Process, call: Call, held: Held) -> None:
        """At most one call is under way, unless its caller has lost its lease: by a crash, a stop, or lost renewals."""
        self._flights = [flight for flight in self._flights if not flight.call.ended_us and not flight.process.dead]
        for other in self._flights:
            same = other.held.name == held.name or (other.call.spent == call.spent and not self._may_be_apart(call))
            excused = other.process.leaving or other.process.stalled != other.held.stalled or self._hampered()
            excused |= process.stalled != held.stalled  # it was its own when it made sure
            if same and not excused:
                raise Violation(
                    f"{process.name} offers {call.spent} for {held.name}, while {other.process.name} offers"
                    f" {other.call.spent} for {other.held.name}"
                )

    def _check_budget(self, call: Call, held: Held) -> None:
        """Each code and refresh token is offered so often in a window, and not once more, whatever the lease is on."""
        offered = self._offered[call.spent]
        offered.append(held.taken_us)
        recent = [us for us in offered if us > held.taken_us - WINDOW_US + 2_000]
        if len(recent) > BUDGET:
            raise Violation(f"{call.spent} was offered {len(recent)} times in a window")

    def _check_pauses(self, process: Process, call: Call, held: Held) -> None:
        given_us = self._given[held.name, held.fence][0]
        begins_us, ends_us = self._pauses.get(held.name, (0, 0))
        if begins_us < given_us < ends_us - 1_000:  # Redis tells the end in whole milliseconds
            raise Violation(f"{process.name} was given {held.name} in a pause, and offers {call.spent}")
        if given_us > self._rejected_us.get(held.name, given_us):
            raise Violation(f"{process.name} offers {call.spent} of {held.name}, which Zoho has refused for good")
        # A record remembers its last few only: whoever was booted with an older one finds nothing, and has to try it.
        if given_us > self._rotated_us.get(call.spent, given_us) and ":" not in held.name:
            raise Violation(f"{process.name} offers {call.spent}, which has a successor")
        failure = self._failures.get(held.name)
        # Something new is not held up by it; and whoever was told it may have given its lease back, and ended.
        if failure and (failure.refused not in (None, call.spent) or failure.process.leaving):
            return
        if failure and failure.fence != held.fence and not self.world.faults.any():
            since_us = call.started_us - failure.known_us
            if since_us < failure.pause_us:
                raise Violation(f"{process.name} offers {call.spent} {since_us / 1e6:.1f} s after a failure")

    def drawn(self, call: Call, given: int) -> None:
        """Check that the fleet does not come to where Zoho itself would stop it."""
        if given > BUDGET and not self.is_mixed:
            raise Violation(f"Zoho has given {given} access tokens for {call.spent} in a window")

    def failed(self, error: AccountsError) -> None:
        """Take note of a failure that the caller has lived to see."""
        flight = self._calling[getcurrent()]
        held, pause_us = flight.held, PAUSE_US
        if isinstance(error, Throttled):
            pause_us = THROTTLED_US
        elif isinstance(error, Rejected):
            self._refused.add(flight.call.spent)
            pause_us = WINDOW_US if ":" in held.name and error.code == "invalid_code" else PAUSE_US
        refused = flight.call.spent if isinstance(error, Rejected) else None
        self._failures[held.name] = Failure(flight.process, held.fence, self.world.now_us, pause_us, refused)

    def got(self, call: Call, successor: str | None) -> None:
        """Take note of an answer that has arrived."""
        if successor and call.spent not in self.world.zoho.codes:
            self._successors[successor] = call.spent
            if self.world.faults.only_zoho():
                self._rotated_us[call.spent] = self.world.now_us  # whoever got it has stored it

    def _hampered(self) -> bool:
        """Return whether a lease may be lost although its holder is well: a message about it was."""
        return bool(self.world.faults.lost or self.world.faults.cut_off)

    def _may_be_apart(self, call: Call) -> bool:
        """Return whether a credential may be known under several names: somebody goes past the coordination."""
        kind = "grant" if call.spent in self.world.zoho.codes else "refresh"
        name, invariants = pointer(kind, call.spent), self.world.invariants
        return name in invariants.buried or name in invariants.unleased or call.spent in invariants.excused
