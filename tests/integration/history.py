"""What must hold of the written history of every storm, whatever else its test holds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from integration.fleet import Worker, do_all, wait_until
from integration.observer import View
from integration.site import Site
from zoho_token_store import RedisTokenStore
from zoho_token_store.events import EventStream

AT_MOST = 2.0
"""A deletion is heard of by all within this time, seconds, however busy the machine is.

How soon it is as a rule is what `test_near_events.py` measures.
"""

AGAIN = 0.3
"""For so long all go on looking after that, seconds."""

GONE = "TokenDeleted"


def log_out(worker: Worker, record_id: str, watchers: Sequence[Worker]) -> float:
    """Have a worker delete a token under a storm; return when that was acknowledged, after all have heard of it.

    Whoever would serve it once more has time to do so.
    """
    deleted: float = worker.do("delete_now", record_id)
    wait_until(lambda: set(do_all(watchers, "sees", record_id)) == {GONE}, "all have heard of it")
    time.sleep(AGAIN)
    return deleted


def check_history(
    site: Site,
    views: Iterable[View],
    record_id: str,
    issued: Sequence[str],
    deleted: float | None = None,
    *,
    within: float = AT_MOST,
) -> None:
    """Check what the workers of a storm have seen of one record.

    * At most one request for a token was at Zoho for it at a time.
    * Whoever has seen an access token has seen no older one after it, nor anything else but what there was.
    * If the record was deleted in the end, all have heard of it, and no look that was begun some time after
      the acknowledgement has brought a token.

    Args:
        site: Where.
        views: What each worker has seen.
        record_id: Of the record.
        issued: Its access tokens, oldest first.
        deleted: When its deletion was acknowledged, by the machine's monotonic clock; None if it was not deleted.
        within: That time, seconds; 0 where nobody has a near cache, since Redis has the last word then.
    """
    assert site.zoho.max_in_flight() <= 1
    allowed = [*issued, *([] if deleted is None else [GONE])]
    for view in views:
        outcomes = view.outcomes(record_id)
        assert in_order(outcomes, allowed), f"{outcomes} of {allowed}; {view.errors}"
        if deleted is None:
            continue
        assert outcomes[-1] == GONE
        late = [(run.outcome, run.last - deleted) for run in view.runs[record_id] if run.last > deleted + within]
        assert [outcome for outcome, _ in late] in ([], [GONE]), f"seconds after the deletion: {late}"


def caught_up(store: RedisTokenStore) -> bool:
    """Return whether a near cache has heard of all that has happened, so that nothing of it can drop what it keeps."""
    feed, line = store._parts.shortcut._feed, store._link.line()
    try:
        return bool(feed._position == EventStream(line, feed._stream._key).last_id())
    finally:
        line.close()


def in_order(seen: Sequence[str], expected: Sequence[str]) -> bool:
    """Return whether these were seen in this order: some may be missing, and none comes back."""
    left = iter(expected)
    return all(outcome in left for outcome in seen)
