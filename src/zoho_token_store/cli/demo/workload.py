"""What the demo's fleet is put through: the same for every store."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zoho_token_store.options import SDK_LEAST, USABLE, Options

EXPIRIES = 5
"""Expiries in one run. With the exchange they must stay under Zoho's 10 access tokens in 10 minutes."""

SHORTEST_CYCLE = 4
"""Least time between two refreshes, seconds; a busy machine must get through one within it."""


@dataclass(frozen=True)
class Workload:
    """The size of a run; all times in seconds.

    Attributes:
        workers: Worker processes.
        seconds: How long they make calls, once the grant code is out.
        pause: Between a worker's calls, and between its attempts after an error ``error_pause``.
        error_pause: See ``pause``.
        accounts_latency: How long the stand-in takes over a token request, as Zoho does.
        crm_latency: The same for a CRM request.
    """

    workers: int
    seconds: float
    pause: float = 0.25
    error_pause: float = 1.0
    accounts_latency: float = 0.25
    crm_latency: float = 0.01

    @property
    def life(self) -> int:
        """Life of an access token, whole seconds: so short that the run sees several expiries.

        The store's default margin is half of a short life, and never under the 6 s that the SDK's own rule asks for.
        """
        cycle = max(SHORTEST_CYCLE, math.ceil(self.seconds / EXPIRIES))
        margin = Options.freshness_margin
        if cycle <= USABLE:
            return math.ceil(cycle + USABLE)
        return 2 * cycle if cycle <= margin else math.ceil(cycle + margin)

    def due_after(self, store: str) -> float:
        """Return how old an access token is when a store's users ask for the next one."""
        if store == "file":
            return self.life - SDK_LEAST
        return self.life - max(USABLE, min(Options.freshness_margin, self.life / 2))
