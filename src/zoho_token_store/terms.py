"""How long leases last and when the fleet cools down: the same numbers for every store."""

from __future__ import annotations

from typing import NamedTuple

from zoho_token_store.options import Options

ATTEMPTS = 3
"""Leases in a row without a save before the fleet cools down."""
PAUSE_MS = 5_000
"""First pause of the cool-down; it doubles with each further lease."""
LONGEST_PAUSE_MS = 60_000

REMEMBERED_MS = 3 * LONGEST_PAUSE_MS
"""How long a lease that was renewed is remembered after its end."""


class Terms(NamedTuple):
    """Terms of a lease, all but ``limit`` in ms.

    Attributes:
        lease_ms: Its time to live.
        wake_ms: Life of what wakes those who wait for it.
        limit: Leases in a row without a save before the fleet cools down.
        first_pause_ms: First pause of the cool-down, which doubles with each lease.
        longest_pause_ms: Longest one.
    """

    lease_ms: int
    wake_ms: int
    limit: int
    first_pause_ms: int
    longest_pause_ms: int

    def pause_ms(self, attempts: int) -> int:
        """Return how long the fleet cools down after so many leases in a row."""
        return int(min(self.longest_pause_ms, self.first_pause_ms * 2.0 ** (attempts - self.limit)))

    def pack(self) -> str:
        """Return the terms as the script takes them."""
        return " ".join(map(str, self))


def terms_of(options: Options) -> Terms:
    """Return the terms of a store's leases."""
    wake_ms = int((options.lease_ttl + options.wait_timeout) * 2000)
    return Terms(int(options.lease_ttl * 1000), wake_ms, ATTEMPTS, PAUSE_MS, LONGEST_PAUSE_MS)
