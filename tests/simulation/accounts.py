"""What a managed store has instead of HTTP: Zoho's accounts server, with every way in which a call can go wrong."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from simulation.violation import Violation
from simulation.zoho import Call
from zoho_token_store.accounts import Credentials, Granted, Rejected, Throttled, Transient
from zoho_token_store.site import Site

if TYPE_CHECKING:
    from simulation.process import Process

SITE = Site("https://accounts.sim/oauth/v2/token", "https://crm.sim", None, False)
"""Where every token of the simulation belongs."""

LIMIT = 10
"""How many access tokens Zoho gives for one refresh token in `WINDOW_US`."""
WINDOW_US = 600_000_000


class BugsOnly:
    """A log that takes no note of what may happen, and reports what may not."""

    def __getattr__(self, _: str) -> Any:
        return lambda *args: None

    def exception(self, message: str, *args: object) -> None:
        """Report an error that the store has logged as a bug of its own."""
        raise Violation(f"{message % args}: {sys.exc_info()[1]!r}") from sys.exc_info()[1]


class SimulatedAccounts:
    """The same methods as `Accounts`; each call takes its time, and the caller may not live to see its end.

    Args:
        timeout: Longest time that one call may take, seconds.
        clock: Of the process, by which the process is known.
    """

    def __init__(self, timeout: float, clock: Any) -> None:
        self._timeout = timeout
        self._process: Process = clock._process
        self._world = self._process.world

    def refresh(self, site: Site, credentials: Credentials, at_most: float) -> Granted:
        """Have an access token for a refresh token."""
        return self._call(credentials, credentials.refresh_token or "", at_most)

    def exchange(self, site: Site, credentials: Credentials, at_most: float) -> Granted:
        """Have tokens for a grant code."""
        return self._call(credentials, credentials.grant_token or "", at_most)

    def user_name(self, site: Site, access_token: str, at_most: float) -> str | None:
        """Return whose access token it is; None if CRM does not say."""
        self._process.pause(self._world.rng.random() * self._world.zoho.latency)
        if self._world.zoho.down or self._world.faults.happens("refused"):
            return None
        return self._world.zoho.owners[access_token].user

    def close(self) -> None:
        """Nothing is open."""

    def reset_after_fork(self) -> None:
        """Nobody forks here."""

    def _call(self, credentials: Credentials, spent: str, at_most: float) -> Granted:
        world, process = self._world, self._process
        call = Call(spent, process.name, world.now_us)
        world.note(process.name, f"Zoho: {spent}")
        world.invariants.fleet.asks(process, call)
        world.zoho.calls.append(call)
        world.invariants.asked(call)
        try:
            granted = self._answer(call, credentials, min(at_most, self._timeout))
        except (Rejected, Throttled, Transient) as error:
            world.note(process.name, f"Zoho: {error}")
            world.invariants.fleet.failed(error)
            raise
        finally:
            call.ended_us = world.now_us
        # Its life counts from when it is read, as in the store and in the SDK.
        world.zoho.expires_us[granted.access_token] = world.now_us + int(world.zoho.life * 1_000_000)
        world.note(process.name, f"Zoho gives {granted.access_token} {granted.refresh_token or ''}")
        world.invariants.fleet.got(call, granted.refresh_token)
        return granted

    def _answer(self, call: Call, credentials: Credentials, at_most: float) -> Granted:
        """Let the request and the answer travel; the caller waits for no longer than it wants to."""
        world, process = self._world, self._process
        gives_up_us = world.now_us + int(at_most * 1_000_000)
        there, back = (world.rng.random() * world.zoho.latency / 2 for _ in range(2))
        if world.faults.happens("hang"):
            there += world.rng.uniform(0.2, 2) * self._timeout
        if there >= at_most:
            self._read_later(call, credentials, there)
            process.pause(at_most)
            raise Transient("no answer in time")
        process.pause(there)
        granted = self._decide(call, credentials)
        process.pause(max(0.0, min(back, (gives_up_us - world.now_us) / 1_000_000)))
        if world.now_us > gives_up_us or there + back > at_most or world.faults.happens("zoho_lost"):
            raise Transient("the answer was lost")
        return granted

    def _read_later(self, call: Call, credentials: Credentials, delay: float) -> None:
        """Perhaps do what was asked when nobody waits for the answer any more."""
        world = self._world
        if world.rng.random() < 0.5:
            return

        def read() -> None:
            world.scheduler.pause(delay)
            try:
                self._decide(call, credentials)
            except (Rejected, Throttled, Transient):
                return
            world.note("", f"Zoho has given {call.access_token}, and nobody knows")

        world.scheduler.spawn("late call", read)

    def _decide(self, call: Call, credentials: Credentials) -> Granted:
        """Do what Zoho does with a request when it reads it."""
        world, zoho = self._world, self._world.zoho
        if zoho.down:
            raise Transient("HTTP 500")
        if world.faults.happens("refused"):
            raise world.rng.choice((Transient("HTTP 502"), Transient("no answer"), Throttled(None), Throttled(90.0)))
        if zoho.throttled or self._given(call) >= LIMIT:
            raise Throttled(None)
        if not (credentials.client_secret or zoho.secret).startswith(zoho.secret):
            raise Rejected("invalid_client_secret")
        owner = zoho.owners.get(call.spent)
        if owner is None or zoho.codes.get(call.spent, call.spent not in zoho.live):
            raise Rejected("invalid_code")
        if call.spent in zoho.codes:
            zoho.codes[call.spent] = True
            successor: str | None = zoho.grant(*owner)
        else:
            successor = zoho.rotate(call.spent)
        call.access_token = zoho.access(owner)
        zoho.got_with[call.access_token] = successor or call.spent
        world.invariants.issued(call)
        return Granted(call.access_token, zoho.life, successor)

    def _given(self, call: Call) -> int:
        """Return how many access tokens Zoho has given lately for what is spent."""
        since_us = self._world.now_us - WINDOW_US
        same = (other for other in self._world.zoho.calls if other.spent == call.spent)
        given = sum(other.access_token is not None and other.started_us > since_us for other in same)
        self._world.invariants.fleet.drawn(call, given)
        return given
