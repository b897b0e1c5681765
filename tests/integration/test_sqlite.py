"""Processes that share a SQLite file: one refresh for each expiry, one exchange for each code, whoever is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.underneath import UnderTables
from integration.desk import make_token
from integration.fleet import Worker, do_all, start_all, value_of, wait_until
from integration.site import USER
from zoho_token_store import SQLiteTokenStore
from zoho_token_store.testing import FakeZoho

Start = Callable[[int], list[Worker]]
PROCESSES = 16
LEASE = 2.5
"""Longer than a machine stands still, seconds."""


class Shelf:
    """A file, the stand-in for Zoho, and what tests do with them."""

    def __init__(self, path: Path, zoho: FakeZoho) -> None:
        self.path = path
        self.zoho = zoho

    @property
    def client_fields(self) -> dict[str, Any]:
        """The fields of a token that say which client it is of."""
        zoho = self.zoho
        return {"client_id": zoho.client_id, "client_secret": zoho.client_secret, "redirect_url": zoho.redirect_uri}

    def open(self, workers: list[Worker], **options: Any) -> None:
        """Have workers make their stores."""
        do_all(workers, "open", f"sqlite:///{self.path}", "fleet", **options)

    def store(self) -> SQLiteTokenStore:
        """Return a store in this process."""
        return SQLiteTokenStore(self.path, "fleet")

    def log_in(self) -> str:
        """Store a refresh token that Zoho knows; return the record's id."""
        refresh_token = self.zoho.issue_refresh_token()
        token = make_token(user=USER, refresh_token=refresh_token, **self.client_fields)
        with self.store() as store:
            store.save_token(token)
        return str(token.get_id())

    def expire(self, record_id: str) -> None:
        """Let an access token have ended."""
        with self.store() as store:
            UnderTables(store._repository._database).leave(record_id, 0)


@pytest.fixture
def shelf(tmp_path: Path, zoho: FakeZoho) -> Shelf:
    """Give a file that is not there yet, and a stand-in."""
    return Shelf(tmp_path / "tokens.db", zoho)


def test_each_of_several_expiries_at_once(shelf: Shelf, start_workers: Start) -> None:
    """16 processes ask in the very moment when the token has gone, five times: five refreshes, all have its token."""
    record_id = shelf.log_in()
    workers = start_workers(PROCESSES)
    shelf.open(workers)
    do_all(workers, "boot", shelf.zoho.url, id=record_id)
    shelf.zoho.reset()
    for expiry in range(1, 6):
        shelf.expire(record_id)
        tokens = do_all(workers, "get_token")
        assert len(set(tokens)) == 1
        assert shelf.zoho.counters.refreshes == expiry
    assert do_all(workers, "call") == ["60000000001"] * PROCESSES
    assert shelf.zoho.counters.crm_rejected == 0


@pytest.mark.parametrize("kind", ["grant_token", "refresh_token"])
def test_boot_of_a_fleet(shelf: Shelf, start_workers: Start, kind: str) -> None:
    """16 processes boot at once on one grant code, or one refresh token, and on no file: it is spent once."""
    credential = shelf.zoho.issue_grant_code() if kind == "grant_token" else shelf.zoho.issue_refresh_token()
    workers = start_workers(PROCESSES)
    shelf.open(workers)
    do_all(workers, "boot", shelf.zoho.url, find_user=True, **{kind: credential}, **shelf.client_fields)
    assert do_all(workers, "call") == ["60000000001"] * PROCESSES
    counters = shelf.zoho.counters
    assert counters.exchanges + counters.refreshes == 1
    assert (counters.crm_rejected, counters.throttled, counters.rejected) == (0, 0, 0)
    with shelf.store() as store:
        (token,) = store.get_tokens()
    assert token.get_user_signature().get_name() == USER


def test_managed_expiries(shelf: Shelf, start_workers: Start) -> None:
    """Where the stores refresh by themselves it is one call too."""
    record_id = shelf.log_in()
    workers = start_workers(PROCESSES)
    shelf.open(workers, refresh="managed")
    do_all(workers, "boot", shelf.zoho.url, id=record_id)
    shelf.zoho.reset()
    for expiry in range(1, 4):
        shelf.expire(record_id)
        assert len(set(do_all(workers, "get_token"))) == 1
        assert shelf.zoho.counters.refreshes == expiry
    assert shelf.zoho.max_in_flight() == 1


@pytest.mark.parametrize("refresh", ["sdk", "managed"])
def test_killed_winner(shelf: Shelf, start_workers: Start, refresh: str) -> None:
    """SIGKILL between lease and save: the others have a token soon after the lease time, by one more refresh."""
    record_id = shelf.log_in()
    winner, *others = start_workers(8)
    shelf.open([winner, *others], lease_ttl=LEASE, wait_timeout=20.0, refresh=refresh)
    shelf.zoho.faults.set(hang=True)
    winner.start("boot", shelf.zoho.url, id=record_id)
    wait_until(lambda: shelf.zoho.max_in_flight() == 1, "the winner is at Zoho")
    start_all(others, "boot", shelf.zoho.url, id=record_id)
    winner.end(signal.SIGKILL)
    shelf.zoho.faults.clear()
    began = time.monotonic()
    for other in others:
        value_of(other.finish())
    assert time.monotonic() - began < LEASE + 10
    assert do_all(others, "call") == ["60000000001"] * len(others)
    assert shelf.zoho.counters.refreshes == 1


def test_killed_while_writing(shelf: Shelf, start_workers: Start, tmp_path: Path) -> None:
    """Workers are killed in the middle of saves, again and again: every save that was acknowledged is there."""
    notes = tmp_path / "notes"
    notes.touch()

    def noted(prefix: str) -> set[str]:
        return {name for name in notes.read_text().splitlines() if name.startswith(prefix)}

    for turn in range(5):
        workers = start_workers(4)
        shelf.open(workers)
        for number, worker in enumerate(workers):
            worker.start("save_and_note", f"user-{turn}-{number}", str(notes))
        wait_until(lambda: len(noted(f"user-{turn}-")) > 20, "saves are made")  # noqa: B023 - called at once
        for worker in workers:
            worker.end(signal.SIGKILL)
        with shelf.store() as store:
            stored = {token.get_refresh_token() for token in store.get_tokens()}
            acknowledged = noted("user")
            assert acknowledged <= stored
            assert len(stored - acknowledged) <= 4 * (turn + 1)  # stored, and killed before that was noted
            found = {store.find_token(make_token(user=name)).get_access_token() for name in acknowledged}
            assert found == acknowledged


def test_a_file_mode_of_0600_and_no_lease_left(shelf: Shelf, start_workers: Start) -> None:
    """All that SQLite makes beside the file is as closed as the file; a worker that ends gives its lease back."""
    record_id = shelf.log_in()
    (worker,) = start_workers(1)
    shelf.open([worker])
    assert worker.do("find_by_id", record_id)["access_token"] is None
    modes = {path.name: path.stat().st_mode & 0o777 for path in shelf.path.parent.iterdir() if "tokens.db" in path.name}
    assert set(modes.values()) == {0o600}
    assert {"tokens.db", "tokens.db-wal", "tokens.db-shm"} <= modes.keys()
    worker.end()
    with shelf.store() as store:
        assert store.find_token_by_id(record_id).get_access_token() is None
        assert store.stats()["waits"] == 0


def test_a_store_that_was_made_before_the_fork(shelf: Shelf) -> None:
    """Parent and children go on with one file, also when a thread of the parent is inside a transaction at the fork."""
    record_id = shelf.log_in()
    with shelf.store() as store:
        store.get(record_id)
        inside = store._repository._database.reading()
        with inside:
            pids = []
            for number in range(4):
                pid = os.fork()
                if pid == 0:
                    status = 1
                    try:
                        token = make_token(user=f"child{number}", refresh_token=f"rt{number}", client_id="c")
                        store.save_token(token)
                        status = 0 if store.get(token.get_id()).get_refresh_token() == f"rt{number}" else 2
                    finally:
                        os._exit(status)
                pids.append(pid)
            assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 4
        assert len(store.get_tokens()) == 5
