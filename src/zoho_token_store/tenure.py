"""How a lease passes from hand to hand: rules without I/O, for stores that have no scripts.

The same rules stand in ``find-5.lua``, ``commit-1.lua``, ``release-0.lua`` and ``renew-2.lua``; a test asks both.
"""

from __future__ import annotations

from typing import NamedTuple

from zoho_token_store.lease import Lease
from zoho_token_store.question import UNTRIED, Pause
from zoho_token_store.terms import REMEMBERED_MS, Terms


class Tenure(NamedTuple):
    """What is stored of the lease on one name.

    Attributes:
        owner: Who holds it, or held it last; "" for nobody.
        nonce: The operation that it was given to.
        fence: Of the lease that was given last.
        until_ms: When it ends; 0 if nobody holds it.
        attempts: Leases since the last save, this one included.
        retry_ms: When the fleet's pause is over; 0 for none.
        reason: Why there is a pause, "" if leases just ran out.
        ends_ms: When all this is forgotten.
        wakes: Grows with whatever those who wait should look at.
    """

    owner: str = ""
    nonce: str = ""
    fence: int = 0
    until_ms: int = 0
    attempts: int = 0
    retry_ms: int = 0
    reason: str = ""
    ends_ms: int = 0
    wakes: int = 0

    def is_of(self, lease: Lease) -> bool:
        """Return whether this is what is stored of a lease, and of none that was given later."""
        return self.owner == lease.owner and self.fence == lease.fence

    @property
    def mark(self) -> str:
        """What those who wait compare: it changes when they should ask again."""
        return f"{self.fence}.{self.wakes}"


NO_TENURE = Tenure()
"""Nobody has ever held the lease."""


def granted(before: Tenure, owner: str, nonce: str, fence: int, terms: Terms, now_ms: int) -> Tenure:
    """Return the tenure of a lease that is given now."""
    attempts, until_ms = before.attempts + 1, now_ms + terms.lease_ms
    after = Tenure(owner, nonce, fence, until_ms, attempts, wakes=before.wakes)
    pause_ms = 0
    if attempts >= terms.limit:
        pause_ms = terms.pause_ms(attempts)
        after = after._replace(retry_ms=until_ms + pause_ms)
    return after._replace(ends_ms=until_ms + terms.longest_pause_ms + pause_ms)


def cooled_down(before: Tenure, terms: Terms, now_ms: int) -> Tenure:
    """Return the tenure when its holder has asked anew, so has failed, and the fleet shall pause."""
    pause_ms = terms.pause_ms(before.attempts)
    return Tenure(
        fence=before.fence,
        attempts=before.attempts,
        retry_ms=now_ms + pause_ms,
        ends_ms=now_ms + 2 * pause_ms + terms.lease_ms,
        wakes=before.wakes + 1,
    )


def ended(before: Tenure, owner: str, fence: int, now_ms: int) -> Tenure | None:
    """Return the tenure after something was saved; None if nothing of it remains.

    Another's live lease stays: it is late, and will be told so. Its attempts are counted anew.
    """
    if (before.owner, before.fence) == (owner, fence) or before.until_ms <= now_ms:
        return None
    return before._replace(attempts=1, retry_ms=0, wakes=before.wakes + 1)


def given_back(before: Tenure, lease: Lease, pause: Pause | None, now_ms: int) -> Tenure:
    """Return the tenure after a lease was given back that has not led to a save; it still counts as an attempt.

    A worker that cannot refresh and is started anew again and again must not keep the fleet from cooling down. The
    pause begins now, as the lease has ended.
    """
    if not before.is_of(lease):
        return before
    seconds, reason = pause or (None, "")
    attempts, retry_ms = before.attempts - (reason == UNTRIED), before.retry_ms
    if retry_ms:
        retry_ms -= max(0, before.until_ms - now_ms)
    after = before._replace(owner="", nonce="", until_ms=0, attempts=attempts, wakes=before.wakes + 1)
    if seconds is None:
        return after._replace(retry_ms=retry_ms)
    pause_ms = int(seconds * 1000)
    # Remembered for a while longer than the pause: the next one shall be longer.
    ends_ms = max(before.ends_ms, now_ms + 3 * pause_ms)
    return after._replace(retry_ms=now_ms + pause_ms, reason=reason, ends_ms=ends_ms)


def renewed(before: Tenure, lease: Lease, lease_ms: int, now_ms: int) -> Tenure | None:
    """Return the tenure with its full time from now on; None if it has ended, or passed to another."""
    if not before.is_of(lease) or before.until_ms <= now_ms:
        return None
    return before._replace(until_ms=now_ms + lease_ms, ends_ms=now_ms + lease_ms + REMEMBERED_MS)
