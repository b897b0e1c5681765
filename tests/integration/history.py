"""What must hold of the written history of every storm, whatever else its test holds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from integration.fleet import Worker
from integration.observer import View
from integration.site import Site

AT_MOST = 0.05
"""A change is seen by all within this time, seconds."""

GONE = "TokenDeleted"


def log_out(worker: Worker, record_id: str) -> float:
    """Have a worker delete a token under a storm; return when that was acknowledged, a while later.

    Whoever would still serve it has time to do so.
    """
    deleted: float = worker.do("delete_now", record_id)
    time.sleep(6 * AT_MOST)
    return deleted


def check_history(
    site: Site, views: Iterable[View], record_id: str, issued: Sequence[str], deleted: float | None = None
) -> None:
    """Check what the workers of a storm have seen of one record.

    * At most one request for a token was at Zoho for it at a time.
    * Whoever has seen an access token has seen no older one after it, nor anything else but what there was.
    * If the record was deleted in the end, all have heard of it, and no look that was begun 50 ms after the
      acknowledgement has brought a token.

    Args:
        site: Where.
        views: What each worker has seen.
        record_id: Of the record.
        issued: Its access tokens, oldest first.
        deleted: When its deletion was acknowledged, by the machine's monotonic clock; None if it was not deleted.
    """
    assert site.zoho.max_in_flight() <= 1
    allowed = [*issued, *([] if deleted is None else [GONE])]
    for view in views:
        outcomes = view.outcomes(record_id)
        assert in_order(outcomes, allowed), f"{outcomes} of {allowed}; {view.errors}"
        if deleted is None:
            continue
        assert outcomes[-1] == GONE
        late = [(run.outcome, run.last - deleted) for run in view.runs[record_id] if run.last > deleted + AT_MOST]
        assert [outcome for outcome, _ in late] in ([], [GONE]), f"seconds after the deletion: {late}"


def in_order(seen: Sequence[str], expected: Sequence[str]) -> bool:
    """Return whether these were seen in this order: some may be missing, and none comes back."""
    left = iter(expected)
    return all(outcome in left for outcome in seen)
