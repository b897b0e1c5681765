"""One process logs a user out while eight look her token up and save it: soon nobody has it, and it stays so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from integration.fleet import Worker, do_all, wait_until
from integration.history import AT_MOST, GONE, log_out
from integration.insistence import Insisted
from integration.observer import View
from integration.site import USER, Site
from zoho_token_store import TokenDeleted
from zoho_token_store.keyring import new_key

Start = Callable[[int], list[Worker]]
WORKERS = 8
KEY = new_key()
SEALED: dict[str, Any] = {"encryption_keys": [KEY], "encrypt_identity": True, "pointer_keys": [KEY]}


@pytest.mark.parametrize("options", [{}, SEALED], ids=["readable", "sealed"])
@pytest.mark.parametrize("near_cache", [False, True], ids=["asking Redis", "near caches"])
def test_logged_out_under_load(site: Site, start_workers: Start, options: dict[str, Any], near_cache: bool) -> None:
    """No save that begins after the acknowledgement is stored, no look that begins a moment after it is served.

    Without near caches no look at all that begins after it: Redis has the last word.
    """
    record_id = site.log_in(life=3600, **options)
    deleter, *workers = start_workers(1 + WORKERS)
    site.open([deleter, *workers], near_cache=near_cache, **options)
    do_all(workers, "observe", record_id)
    do_all(workers, "insist", record_id, USER)
    wait_until(lambda: all(do_all(workers, "insists")), "all have saved and looked")
    deleted = log_out(deleter, record_id, workers)
    insisted: list[Insisted] = do_all(workers, "insisted")
    views: list[View] = do_all(workers, "observed")
    bound = deleted + (AT_MOST if near_cache else 0)
    for each, view in zip(insisted, views, strict=True):
        assert each.errors == {}
        assert each.refused
        assert each.saved <= deleted, f"a save came {each.saved - deleted:.3f} s after the deletion"
        assert each.served <= bound, f"served {each.served - deleted:.3f} s after the deletion, by its user's name"
        assert view.outcomes(record_id)[-1] == GONE
        assert view.outcomes(record_id).count(GONE) == 1, "nothing comes back"
        late = max(run.last for run in view.runs[record_id] if run.outcome != GONE) - deleted
        assert deleted + late <= bound, f"served {late:.3f} s after the deletion, by its id"
    with site.store(**options) as store:
        assert store.get_tokens() == []
        with pytest.raises(TokenDeleted):
            store.find_token_by_id(record_id)
