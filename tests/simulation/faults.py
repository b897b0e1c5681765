"""What goes wrong, and how often."""

from __future__ import annotations

import random
from dataclasses import dataclass

from simulation.simulated_link import Fate


@dataclass
class Faults:
    """Probabilities, each at every step at which the thing can happen.

    Attributes:
        rng: Decides.
        lost: A request, its reply, or both in time, is lost.
        crash: A process is killed.
        stall: A process stands still, for up to three times the lease.
        refused: Zoho answers with an error.
        hang: Zoho takes longer than a lease.
        zoho_lost: Zoho does what it was asked, and the answer is lost.
        full: The server is out of memory for a while.
    """

    rng: random.Random
    lost: float = 0.0
    crash: float = 0.0
    stall: float = 0.0
    refused: float = 0.0
    hang: float = 0.0
    zoho_lost: float = 0.0
    full: float = 0.0

    def any(self) -> bool:
        """Return whether anything can go wrong."""
        return any((self.lost, self.crash, self.stall, self.refused, self.hang, self.zoho_lost, self.full))

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.lost = self.crash = self.stall = self.refused = self.hang = self.zoho_lost = self.full = 0.0

    def happens(self, kind: str) -> bool:
        """Draw whether something happens now."""
        chance = getattr(self, kind)
        return bool(chance) and self.rng.random() < chance

    def fate(self) -> Fate:
        """Draw what becomes of a request."""
        if not self.happens("lost"):
            return Fate.ANSWERED
        return self.rng.choice((Fate.REQUEST_LOST, Fate.REPLY_LOST, Fate.REPLY_LOST, Fate.DELAYED))

    def silence(self, budget: float) -> float:
        """Draw how long a lost request takes to be noticed: a reset at once, a timeout after half of the budget."""
        return self.rng.choice((0.0, 0.001, budget / 2, budget / 2))
