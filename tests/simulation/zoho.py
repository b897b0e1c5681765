"""Zoho's accounts server, in memory: one-time codes, refresh tokens that rotate or not, failures and hangs.

It also keeps the truth: whose each credential is, and how often each was spent. The invariants ask it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from simulation.violation import Violation

if TYPE_CHECKING:
    from simulation.process import Process
    from simulation.world import World


SECRET = "secret of "


class ZohoError(Exception):
    """Anything but an access token."""


class Owner(NamedTuple):
    """Whom a credential belongs to."""

    user: str
    client: str


class Issued(NamedTuple):
    """What Zoho answers.

    Attributes:
        access_token: Good for `expires_in` seconds.
        refresh_token: None when the old one stays.
    """

    access_token: str
    expires_in: float
    refresh_token: str | None


@dataclass
class Call:
    """One exchange or refresh.

    Attributes:
        spent: The grant code or refresh token.
        process: Who asked.
        started_us: When the request was sent.
        ended_us: When the caller knew the outcome; 0 before.
        access_token: What came of it; None for an error.
    """

    spent: str
    process: str
    started_us: int
    ended_us: int = 0
    access_token: str | None = None


@dataclass
class Zoho:
    """The accounts server.

    Attributes:
        world: Time, chance and faults.
        rotating: Whether a refresh gives a new refresh token and ends the old one.
        overlapping: Whether the old one goes on working then.
        life: Of an access token, seconds.
        latency: Longest answer time, seconds.
        down: Whether every request is answered with an error.
        throttled: Whether every refresh of a managed store is told to come back later.
        secret: What a client's secret begins with; managed stores are refused with another.
    """

    world: World
    rotating: bool = False
    overlapping: bool = False
    life: float = 60.0
    latency: float = 0.3
    down: bool = False
    throttled: bool = False
    secret: str = SECRET
    owners: dict[str, Owner] = field(default_factory=dict)
    codes: dict[str, bool] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    expires_us: dict[str, int] = field(default_factory=dict)
    got_with: dict[str, str] = field(default_factory=dict)
    _issued: Counter[str] = field(default_factory=Counter)

    def consent(self, user: str, client: str) -> str:
        """Return a new grant code: the user has logged in."""
        code = self._name("code", Owner(user, client))
        self.codes[code] = False
        return code

    def grant(self, user: str, client: str) -> str:
        """Return a new refresh token, as from a login elsewhere."""
        token = self._name("refresh", Owner(user, client))
        self.live.add(token)
        return token

    def revoke(self, *refresh_tokens: str) -> None:
        """End refresh tokens: the user, or an administrator, has withdrawn the consent."""
        self.live.difference_update(refresh_tokens)
        self.revoked.update(refresh_tokens)

    def rotate(self, spent: str) -> str | None:
        """Return the successor of a refresh token that was spent; None where they do not rotate."""
        if not self.rotating:
            return None
        if not self.overlapping:
            self.live.discard(spent)
        return self.grant(*self.owners[spent])

    def access(self, owner: Owner) -> str:
        """Return a new access token."""
        token = self._name("access", owner)
        self.expires_us[token] = self.world.now_us + int(self.life * 1_000_000)
        return token

    def exchange(self, process: Process, code: str | None) -> Issued:
        """Spend a grant code."""
        call = self._begin(process, code)
        if self.codes.get(call.spent, True):
            raise ZohoError("invalid_code")
        self.codes[call.spent] = True
        owner = self.owners[call.spent]
        return self._end(process, call, owner, self.grant(*owner))

    def refresh(self, process: Process, refresh_token: str | None) -> Issued:
        """Get an access token by a refresh token."""
        call = self._begin(process, refresh_token)
        if call.spent not in self.live:
            raise ZohoError("invalid_code")
        return self._end(process, call, self.owners[call.spent], self.rotate(call.spent))

    def user_of(self, process: Process, access_token: str) -> str:
        """Return whose access token it is, as the SDK asks CRM for it."""
        process.pause(self.world.rng.random() * self.latency)
        return self.owners[access_token].user

    def _begin(self, process: Process, spent: str | None) -> Call:
        call = Call(spent or "", process.name, self.world.now_us)
        if process.managed and spent and not process.stalled:
            raise Violation(f"{process.name} is managed, and its SDK spends {spent}")
        self.calls.append(call)
        self.world.invariants.asked(call)
        faults, rng = self.world.faults, self.world.rng
        self.world.note(process.name, f"Zoho: {call.spent}")
        process.pause(rng.random() * self.latency / 2)
        if faults.happens("hang"):
            process.pause(rng.uniform(0.5, 3) * self.world.lease_ttl)
        if self.down or faults.happens("refused"):
            call.ended_us = self.world.now_us
            raise ZohoError("Access Denied")
        call.ended_us = self.world.now_us
        return call

    def _end(self, process: Process, call: Call, owner: Owner, refresh_token: str | None) -> Issued:
        call.access_token = self.access(owner)
        self.got_with[call.access_token] = refresh_token or call.spent
        self.world.invariants.issued(call)
        process.pause(self.world.rng.random() * self.latency / 2)
        if self.world.faults.happens("zoho_lost"):
            raise ZohoError("connection reset")
        call.ended_us = self.world.now_us
        # The SDK counts the life from when it reads the answer; so does this, or a slow answer would look like a fault.
        self.expires_us[call.access_token] = self.world.now_us + int(self.life * 1_000_000)
        self.world.note(process.name, f"Zoho gives {call.access_token} {refresh_token or ''}")
        return Issued(call.access_token, self.life, refresh_token)

    def _name(self, kind: str, owner: Owner) -> str:
        self._issued[kind] += 1
        token = f"{kind}{self._issued[kind]}"
        self.owners[token] = owner
        return token
