"""Keys change under load: workers look tokens up and refresh them all the while, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from integration.desk import CLIENT_ID, make_token
from integration.fleet import Worker, do_all
from integration.replies import Loop
from integration.site import Site
from zoho_token_store.keyring import new_key

Start = Callable[[int], list[Worker]]
WORKERS = 8

OLD, NEW = new_key(), new_key()
BEFORE: dict[str, Any] = {"encryption_keys": [OLD], "pointer_keys": [OLD]}
MEANWHILE: dict[str, Any] = {"encryption_keys": [NEW, OLD], "pointer_keys": [OLD, NEW]}
AFTERWARDS: dict[str, Any] = {"encryption_keys": [NEW], "pointer_keys": [NEW]}


@pytest.mark.parametrize("count", [400, pytest.param(100_000, marks=pytest.mark.soak)])
def test_rotation_under_load(site: Site, start_workers: Start, count: int) -> None:
    """Eight workers, every record moved, no look-up fails, and the new keys alone find everything by every pointer."""
    ids = _fill(site, count)
    workers = start_workers(WORKERS)
    site.open(workers, **MEANWHILE)
    do_all(workers, "roam", ids)
    with site.store(**MEANWHILE) as store:
        *_, progress = store.rotate_keys()
    assert (progress.seen, progress.failed) == (count, ())
    assert progress.moved > count // 2, "refreshes have moved the rest"
    loops: list[Loop] = do_all(workers, "roamed")
    assert [failure for loop in loops for failure in loop.failures] == []
    assert all(loop.calls for loop in loops)
    with site.store(**MEANWHILE) as store:
        *_, progress = store.rotate_keys()
    assert progress.moved == 0, "a worker has put something back"
    with site.store(**AFTERWARDS) as store:
        for number in range(0, count, max(1, count // 2_000)):
            fields = {"client_id": CLIENT_ID, "client_secret": "secret"}
            for selector in ({"user": f"user{number}"}, {"refresh_token": f"refresh{number}"}):
                found = store.find_token(make_token(**selector, **fields))
                assert found is not None
                assert (found.get_id(), found.get_refresh_token()) == (ids[number], f"refresh{number}")


def _fill(site: Site, count: int) -> list[str]:
    """Store tokens under the old keys; return their ids."""
    ids = []
    with site.store(**BEFORE) as store:
        for number in range(count):
            token = make_token(
                user=f"user{number}",
                client_id=CLIENT_ID,
                client_secret="secret",
                refresh_token=f"refresh{number}",
                access_token=f"access{number}",
            )
            token.set_expires_in(str(int((time.time() + 7200) * 1000)))
            store.save_token(token)
            ids.append(token.get_id())
    return ids
