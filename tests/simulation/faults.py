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
        cut_off: A process cannot reach Redis for a while; a family sees to it.
        is_calm: Whether nothing goes wrong any more.
    """

    rng: random.Random
    lost: float = 0.0
    crash: float = 0.0
    stall: float = 0.0
    refused: float = 0.0
    hang: float = 0.0
    zoho_lost: float = 0.0
    full: float = 0.0
    cut_off: float = 0.0
    is_calm: bool = False

    def any(self) -> bool:
        """Return whether anything can go wrong, or could before it was calm."""
        return not self.only_zoho() or any((self.refused, self.hang, self.zoho_lost))

    def only_zoho(self) -> bool:
        """Return whether nothing but Zoho can, or could, go wrong."""
        return not any((self.cut_off, self.lost, self.crash, self.stall, self.full))

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.is_calm = True

    def happens(self, kind: str) -> bool:
        """Draw whether something happens now."""
        chance = getattr(self, kind)
        return bool(chance) and not self.is_calm and self.rng.random() < chance

    def fate(self) -> Fate:
        """Draw what becomes of a request."""
        if not self.happens("lost"):
            return Fate.ANSWERED
        return self.rng.choice((Fate.REQUEST_LOST, Fate.REPLY_LOST, Fate.REPLY_LOST, Fate.DELAYED))

    def silence(self, budget: float) -> float:
        """Draw how long a lost request takes to be noticed: a reset at once, a timeout after half of the budget."""
        return self.rng.choice((0.0, 0.001, budget / 2, budget / 2))
