"""What a run came to, and whether that is what the store promises."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """The measured figures of one run; times in seconds.

    Attributes:
        store: ``file`` or ``redis``.
        workers: How many were started.
        up_at_once: Workers up after their first attempt to boot.
        up: Workers up in the end.
        exchanges: Calls to exchange the grant code, refused ones too.
        exchanges_refused: Those that Zoho refused.
        refresh_calls: Refresh calls by expiry, refused ones too.
        throttled: Refresh calls that Zoho refused because of its limit.
        rejected: CRM requests refused for their access token.
        errors: Failed boots and calls, errors that the SDK swallowed, workers that died.
        error_messages: Which errors, and how often.
        calls: Calls that CRM answered.
        slowest_call: The longest of all calls, failed ones too.
        slowest_boot: The longest boot that went well.
        statistics: The store's own counters, of all workers together.
    """

    store: str
    workers: int
    up_at_once: int
    up: int
    exchanges: int
    exchanges_refused: int
    refresh_calls: tuple[int, ...]
    throttled: int
    rejected: int
    errors: int
    calls: int
    slowest_call: float
    slowest_boot: float
    error_messages: dict[str, int] = field(default_factory=dict)
    statistics: dict[str, int] = field(default_factory=dict)

    @property
    def refreshes_per_expiry(self) -> float | None:
        """Refresh calls per expiry; None if there was none."""
        return sum(self.refresh_calls) / len(self.refresh_calls) if self.refresh_calls else None

    def broken_promises(self) -> list[str]:
        """Return which of the store's promises this run breaks."""
        checks = (
            (self.up_at_once == self.workers, f"{self.up_at_once} of {self.workers} workers came up"),
            (self.exchanges == 1, f"{self.exchanges} calls to exchange one grant code"),
            (self.refreshes_per_expiry is not None, "no expiry was seen: let it run longer"),
            (set(self.refresh_calls) <= {1}, f"refresh calls by expiry: {', '.join(map(str, self.refresh_calls))}"),
            (self.throttled == 0, f"{self.throttled} refresh calls throttled"),
            (self.rejected == 0, f"{self.rejected} requests rejected by CRM"),
            (self.errors == 0, f"{self.errors} errors"),
        )
        return [broken for kept, broken in checks if not kept]

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        per_expiry = self.refreshes_per_expiry
        return {
            **asdict(self),
            "refresh_calls": list(self.refresh_calls),
            "expiries": len(self.refresh_calls),
            "refreshes_per_expiry": None if per_expiry is None else round(per_expiry, 2),
            "slowest_call": round(self.slowest_call, 3),
            "slowest_boot": round(self.slowest_boot, 3),
        }
