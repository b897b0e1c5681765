"""Who is given a token, and who is the one to refresh it: rules without I/O, for stores that have no scripts.

``find-5.lua`` says the same by Redis's own clock, in the same order and with the same words; a test asks both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from zoho_token_store.keyspace import read_redirect
from zoho_token_store.options import USABLE
from zoho_token_store.question import Question
from zoho_token_store.record import SCHEMA
from zoho_token_store.tenure import Tenure, cooled_down, granted
from zoho_token_store.terms import Terms

USABLE_MS = int(USABLE * 1000)


class Head(NamedTuple):
    """What a look-up goes by, of a record that need not be opened for it.

    Attributes:
        schema: The least schema that a reader has to understand.
        fence: Fence of its newest save.
        refreshable: Whether it has a refresh token or a grant code.
        rejected: What Zoho said when it refused the credentials for good, or None.
        contradicts: Whether it belongs to another client than the caller's.
        access: When its access token expires, ms, 0 if nobody knows, and the life that it had, ms; None for none.
    """

    schema: int
    fence: int
    refreshable: bool
    rejected: str | None
    contradicts: bool
    access: tuple[int, int] | None


class Verdict(NamedTuple):
    """An answer, in the words of ``find-5.lua``.

    Attributes:
        kind: Its first word.
        values: What follows: for ``LEASED`` the fence, the attempts and whether the access token can still be used; for
            ``WAIT`` the life left of the lease, ms; and so on.
        tenure: What is to be stored of the lease, if that changes.
    """

    kind: str
    values: tuple[Any, ...] = ()
    tenure: Tenure | None = None


class Due(NamedTuple):
    """Somebody has to refresh.

    Attributes:
        usable: Whether the access token can be used meanwhile, so that nobody waits.
        fence: Of the record's newest save; 0 if there is no record yet.
    """

    usable: bool
    fence: int


def judge(head: Head | None, tombstone: str, question: Question, now_ms: int) -> Verdict | Due:
    """Say what a look-up comes to as far as nobody has to refresh.

    Args:
        head: The record; None if there is none.
        tombstone: What lies in its place, "" for nothing.
        question: The look-up.
        now_ms: The store's time, ms.
    """
    if head is None:
        return _judge_absence(tombstone, question)
    if head.schema > SCHEMA:
        return Verdict("SCHEMA", (str(head.schema),))
    # Before a lease is given: a caller that shows another client must not hold up this one.
    if head.contradicts:
        return Verdict("CONTRADICTS")
    left_ms, fresh = 0, False
    if head.access:
        expires_ms, life_ms = head.access
        left_ms = expires_ms - now_ms
        fresh = expires_ms == 0 or left_ms > question.margin.of(life_ms)
    if fresh or (left_ms > 0 and not head.refreshable):
        return Verdict("FRESH")
    if not head.refreshable:
        return Verdict("MISSING")
    usable = left_ms > USABLE_MS
    if head.rejected is not None:
        return Verdict("FRESH") if usable else Verdict("REJECTED", (head.rejected,))
    return Due(usable, head.fence)


def _judge_absence(tombstone: str, question: Question) -> Verdict | Due:
    heir = read_redirect(tombstone)
    if heir is not None:
        return Verdict("REDIRECT", (heir,))
    if tombstone:
        return Verdict("GONE")
    return Due(False, 0) if question.claims else Verdict("MISSING")


def elect(due: Due, tenure: Tenure, question: Question, terms: Terms, now_us: int) -> Verdict:
    """Say who refreshes what is due, the caller or another; nobody waits while the token can still be used.

    Args:
        due: What :func:`judge` has said.
        tenure: What is stored of the lease.
        question: The look-up.
        terms: Of the lease.
        now_us: The store's time, microseconds: a lease and a deletion in one millisecond must still be told apart.
    """
    now_ms = now_us // 1000
    changed: Tenure | None = None
    if tenure.until_ms > now_ms:
        if tenure.owner != question.owner:
            return Verdict("FRESH") if due.usable else Verdict("WAIT", (tenure.until_ms - now_ms, tenure.mark))
        if tenure.nonce == question.nonce:
            return Verdict("LEASED", (tenure.fence, tenure.attempts, due.usable))
        # The holder asks anew: the refresh that it had the lease for has failed.
        if tenure.attempts >= terms.limit:
            changed = cooled_down(tenure, terms, now_ms)
    retry_ms = (changed or tenure).retry_ms
    if now_ms < retry_ms:
        return Verdict("FRESH", (), changed) if due.usable else Verdict("FAILING", (retry_ms, tenure.reason), changed)
    fence = max(tenure.fence + 1, due.fence + 1, now_us)
    given = granted(changed or tenure, question.owner, question.nonce, fence, terms, now_ms)
    return Verdict("LEASED", (given.fence, given.attempts, due.usable), given)
