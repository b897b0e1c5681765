"""The file of a SQLite store: who may read it, what it must not be, and what each failure of it is called."""

from __future__ import annotations

import gc
import os
import sqlite3
import stat
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.tokens import by_user, contents, make_token, refreshed
from zoho_token_store import (
    ConfigurationError,
    CorruptRecord,
    SQLiteTokenStore,
    StoreUnavailable,
    TokenDeleted,
    TokenNotFound,
    TokenStoreError,
    sqlite_tables,
)
from zoho_token_store.keyspace import pointer
from zoho_token_store.sqlite_schema import APPLICATION, VERSION

MakeStore = Callable[..., SQLiteTokenStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file will be."""
    return tmp_path / "tokens.db"


@pytest.fixture
def make(path: Path) -> Iterator[MakeStore]:
    """Make stores on the file."""
    made: list[SQLiteTokenStore] = []

    def make(**options: Any) -> SQLiteTokenStore:
        made.append(SQLiteTokenStore(path, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


def look(path: Path, query: str, *values: Any) -> list[Any]:
    """Ask the file itself."""
    connection = sqlite3.connect(path)
    try:
        found = connection.execute(query, values).fetchall()
        connection.commit()
        return found
    finally:
        connection.close()


def _open_files() -> int:
    """Return how many files this process has open; 0 where that cannot be seen."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


class TestMode:
    """Who may read the file."""

    def test_it_is_made_for_its_owner_alone(self, make: MakeStore, path: Path) -> None:
        """Mode 0600, whatever the umask, and the files beside it too; nothing is made before the first use."""
        before = os.umask(0)
        try:
            store = make()
            assert not path.exists()
            store.save_token(make_token("ada", refresh="rt"))
        finally:
            os.umask(before)
        assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
        assert len(list(path.parent.iterdir())) == 3

    @pytest.mark.parametrize("mode", [0o644, 0o606, 0o601])
    def test_one_for_everybody_is_refused(self, make: MakeStore, path: Path, mode: int) -> None:
        """Whether others may read, write or use it; the message says what to do."""
        make().ping()
        path.chmod(mode)
        with pytest.raises(ConfigurationError, match="chmod 600") as caught:
            make().ping()
        assert caught.value.option == "path"

    def test_one_for_the_group_is_used(self, make: MakeStore, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Somebody has meant that, and is reminded of it once."""
        make().ping()
        path.chmod(0o660)
        store = make()
        store.ping()
        store.save_token(make_token("ada", refresh="rt"))
        assert [record.levelname for record in caplog.records] == ["WARNING"]


class TestPaths:
    """What a path may be."""

    @pytest.mark.parametrize(
        "wrong", ["", ":memory:", None, 7, b"bytes", "/nowhere/at/all/tokens.db", "nul\0byte"], ids=repr
    )
    def test_what_cannot_be_one_is_refused(self, wrong: Any) -> None:
        """At construction, before anything is stored."""
        with pytest.raises(ConfigurationError) as caught:
            SQLiteTokenStore(wrong)
        assert caught.value.option == "path"

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        """It is there, and no file."""
        with SQLiteTokenStore(tmp_path) as store, pytest.raises(ConfigurationError, match="not a file"):
            store.ping()

    def test_a_relative_path_stays_where_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process that changes its folder later goes on with the same file."""
        monkeypatch.chdir(tmp_path)
        with SQLiteTokenStore("tokens.db") as store:
            monkeypatch.chdir("/")
            store.save_token(make_token("ada", refresh="rt"))
        assert (tmp_path / "tokens.db").exists()

    def test_the_near_cache_is_refused_by_name(self, path: Path) -> None:
        """So is what no store has."""
        with pytest.raises(ConfigurationError, match="near_cache"):
            SQLiteTokenStore(path, near_cache=True)
        with pytest.raises(ConfigurationError, match="unknown option"):
            SQLiteTokenStore(path, colour="red")
        SQLiteTokenStore(path, near_cache=False).close()


class TestContents:
    """What the file may hold."""

    def test_it_says_what_it_is(self, make: MakeStore, path: Path) -> None:
        """Application and schema stand in the header, the journal is a WAL, and what is deleted is overwritten."""
        make().ping()
        assert look(path, "PRAGMA application_id") == [(APPLICATION,)]
        assert look(path, "PRAGMA user_version") == [(VERSION,)]
        assert look(path, "PRAGMA journal_mode") == [("wal",)]

    def test_another_applications_file_is_left_alone(self, make: MakeStore, path: Path) -> None:
        """Such as the table that the Zoho article makes."""
        look(path, "CREATE TABLE oauthtoken (id varchar(10) NOT NULL, primary key (id))")
        path.chmod(0o600)
        before = path.read_bytes()
        with pytest.raises(ConfigurationError, match="another application"):
            make().ping()
        assert path.read_bytes() == before

    def test_what_is_no_database_is_left_alone(self, make: MakeStore, path: Path) -> None:
        """A file that is something else altogether."""
        path.write_text("id,user_name,client_id\n" * 100)
        path.chmod(0o600)
        with pytest.raises(ConfigurationError, match="not a SQLite database"):
            make().ping()
        assert path.read_text().startswith("id,user_name")

    def test_a_newer_release_is_left_alone(self, make: MakeStore, path: Path) -> None:
        """The message says what to do."""
        make().ping()
        look(path, f"PRAGMA user_version = {VERSION + 1}")
        with pytest.raises(ConfigurationError, match="upgrade"):
            make().ping()

    def test_a_damaged_record_is_reported(self, make: MakeStore, path: Path) -> None:
        """A hand edit is an error that names the record, and leases nothing."""
        store = make()
        token = make_token("ada", refresh="rt")
        store.save_token(token)
        look(path, "UPDATE records SET fence = 'x'")
        with pytest.raises(CorruptRecord) as caught:
            store.find_token_by_id(token.get_id())
        assert caught.value.record_id == token.get_id()
        assert look(path, "SELECT count(*) FROM leases") == [(0,)]

    def test_secrets_are_sealed(self, make: MakeStore, path: Path) -> None:
        """With keys, no secret stands in the file or beside it."""
        store = make(encryption_keys=[b"k" * 32], encrypt_identity=True, pointer_keys=[b"p" * 32])
        secrets = {"refresh": "rt-secret", "grant": "gt-secret", "access": "at-secret", "secret": "client-secret"}
        token = make_token("ada-secret", **secrets)
        store.save_token(token)
        assert contents(store.find_token(by_user("ada-secret"))) == contents(token)
        stored = b"".join(each.read_bytes() for each in path.parent.iterdir())
        assert not [secret for secret in (*secrets.values(), "ada-secret") if secret.encode() in stored]
        assert pointer("user", "ada-secret").encode() not in stored

    def test_a_deleted_secret_is_gone(self, make: MakeStore, path: Path) -> None:
        """After the store's end nothing of a deleted token is in the file."""
        store = make()
        token = make_token("ada", refresh="rt-secret-of-some-length")
        store.save_token(token)
        store.delete_token(token.get_id())
        store.close()
        assert b"rt-secret" not in b"".join(each.read_bytes() for each in path.parent.iterdir())


class TestForeignText:
    """What somebody else has written, and is not UTF-8: Python's own error would repeat it, with a token."""

    BAD = b"refresh-\xff"

    def test_one_row_costs_no_other(self, make: MakeStore, path: Path) -> None:
        """It is named, in every field; the others are read, and so are records whose ids are none."""
        store = make()
        tokens = [make_token(f"user{number}", refresh=f"rt{number}", access="at") for number in range(20)]
        for token in tokens:
            store.save_token(token)
        ids = [str(token.get_id()) for token in tokens]
        columns = [row[1] for row in look(path, "PRAGMA table_info(records)") if row[2] == "TEXT"][2:]
        broken = dict(zip(columns, ids, strict=False))
        for column, record_id in broken.items():
            query = f"UPDATE records SET {column} = CAST(? AS TEXT) WHERE id = ?"  # noqa: S608 - a column of ours
            look(path, query, self.BAD, record_id)
        look(path, "UPDATE records SET id = CAST(? AS TEXT) WHERE id = ?", self.BAD, ids[-1])
        look(path, "UPDATE records SET refresh_token = x'00', expires_ms = 'soon' WHERE id = ?", ids[-2])
        told: list[TokenStoreError] = []
        for batch in (1, 500):
            listed = [token.get_id() for token in store.iter_tokens(batch, told.append)]
            assert listed == sorted({*ids[:-2]} - {*broken.values()})
        named = {error.record_id for error in told if isinstance(error, CorruptRecord)}
        assert named == {*broken.values(), ids[-2], None}
        assert len(told) == 2 * len(named)
        assert "refresh-" not in "".join(map(str, told))
        for record_id in (*broken.values(), ids[-2]):
            for ask in (store.get, store.find_token_by_id):
                with pytest.raises(CorruptRecord) as caught:
                    ask(record_id)
                assert caught.value.record_id == record_id
        assert look(path, "SELECT count(*) FROM leases") == [(0,)]
        with pytest.raises(CorruptRecord):
            store.delete_tokens()
        assert len(look(path, "SELECT * FROM pointers WHERE name LIKE 'user:%'")) == len(named)

    def test_pointers_tombstones_and_leases(self, make: MakeStore, path: Path) -> None:
        """A pointer leads nowhere, what is in a lease's place runs out, what is in a tombstone's place stays one."""
        store = make()
        token = make_token("ada", refresh="rt", access="at", left=5)
        store.save_token(token)
        assert store.find_token_by_id(token.get_id()).get_access_token() is None
        look(path, "UPDATE leases SET owner = CAST(? AS TEXT), until_ms = 0", self.BAD)
        look(path, "UPDATE pointers SET record_id = CAST(? AS TEXT) WHERE name LIKE 'user:%'", self.BAD)
        assert make().find_token_by_id(token.get_id()).get_access_token() is None
        assert store.find_token(by_user("ada")) is None
        store.delete_token(token.get_id())
        look(path, "UPDATE tombstones SET heir = CAST(? AS TEXT)", self.BAD)
        with pytest.raises(CorruptRecord):
            store.find_token_by_id(token.get_id())

    def test_the_error_of_python_is_not_passed_on(self, make: MakeStore, path: Path) -> None:
        """Neither in a message nor in a traceback; nothing says that it passes."""
        store = make()
        store.save_token(make_token("ada", refresh="rt"))
        look(path, "UPDATE records SET refresh_token = CAST(? AS TEXT)", self.BAD)
        with pytest.raises(StoreUnavailable) as caught, store._repository._database.reading() as tables:
            tables._run("SELECT refresh_token FROM records").fetchall()
        assert not caught.value.passing
        assert "refresh-" not in "".join(traceback.format_exception(caught.value))

    def test_it_can_be_deleted(self, make: MakeStore, path: Path) -> None:
        """By name, and for good; the user may log in anew, and who still holds the token cannot bring it back."""
        store = make()
        token, other = make_token("ada", refresh="rt", access="at"), make_token("grace", refresh="rt2")
        store.save_token(token)
        store.save_token(other)
        change = "UPDATE records SET meta = CAST(?1 AS TEXT), rev = CAST(?1 AS TEXT) WHERE id = ?2"
        look(path, change, self.BAD, token.get_id())
        with pytest.raises(CorruptRecord):
            store.delete_token(token.get_id())
        assert store.delete_unreadable(token.get_id())
        assert not store.delete_unreadable(token.get_id())
        assert store.delete_unreadable(other.get_id())
        with pytest.raises(TokenDeleted):
            store.save_token(refreshed(token, "at2"))
        store.save_token(make_token("ada", refresh="new"))
        assert store.find_token(by_user("ada")).get_refresh_token() == "new"
        assert store.stats()["deletes"] == 2


class TestFailures:
    """What goes wrong, and what it is called."""

    def test_another_process_holds_the_file(self, make: MakeStore, path: Path) -> None:
        """It is waited for within the budget; what has to be read is read meanwhile; the save is kept, and made."""
        store = make(operation_timeout=2.0)
        token = make_token("ada", refresh="rt", access="at")
        store.save_token(token)
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            store.save_token(refreshed(token, "at2"))
        assert caught.value.passing
        assert 1.5 < time.monotonic() - began < 10
        assert SQLiteTokenStore(path).find_token_by_id(token.get_id()).get_access_token() == "at"
        holder.execute("ROLLBACK")
        holder.close()
        deadline = time.monotonic() + 10
        while make().get(token.get_id()).get_access_token() != "at2":
            assert time.monotonic() < deadline, "the kept save is not made"
        assert store.stats()["saves_kept"] == 1

    def test_the_file_may_not_be_written(self, make: MakeStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """That does not pass by itself."""
        make().ping()
        store = make()

        def refuse(*_: Any, **__: Any) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("zoho_token_store.sqlite_file.os.open", refuse)
        with pytest.raises(StoreUnavailable) as caught:
            store.ping()
        assert not caught.value.passing

    @pytest.mark.parametrize(
        ("said", "passing"),
        [
            ("database is locked", True),
            ("database or disk is full", True),
            ("disk I/O error", True),
            ("unable to open database file", True),
            ("attempt to write a readonly database", False),
            ("database disk image is malformed", False),
            ("no such table: records", False),
        ],
    )
    def test_what_sqlite_says(self, make: MakeStore, said: str, passing: bool, monkeypatch: Any) -> None:
        """Whether asking again may help; the error itself is the cause."""
        store = make()
        store.ping()

        def fail(*_: Any) -> None:
            raise sqlite3.OperationalError(said)

        monkeypatch.setattr(sqlite_tables.SQLiteTables, "row", fail)
        with pytest.raises(StoreUnavailable) as caught:
            store.get("x")
        assert caught.value.passing is passing
        assert said in str(caught.value.cause)
        monkeypatch.undo()
        assert store.get("x") is None

    def test_a_full_disk(self, make: MakeStore, path: Path) -> None:
        """A save that finds no room is refused as a whole; when there is room it is made."""
        store = make(operation_timeout=2.0)
        store.save_token(make_token("ada", refresh="rt", access="at"))
        database = store._repository._database
        with database.reading() as tables:
            pages = tables._run("PRAGMA page_count").fetchone()[0]
            tables._run(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreUnavailable) as caught:
            store.save_token(make_token("grace", refresh="r" * 100_000))
        assert caught.value.passing
        with SQLiteTokenStore(path) as other:
            assert len(other.get_tokens()) == 1

    def test_a_file_that_was_removed(self, make: MakeStore, path: Path) -> None:
        """The store goes on with a new one, instead of writing to what nobody will find again."""
        store = make()
        token = make_token("ada", refresh="rt", access="at")
        store.save_token(token)
        for each in path.parent.iterdir():
            each.unlink()
        with pytest.raises(TokenNotFound):
            store.find_token_by_id(token.get_id())
        store.save_token(token)
        assert make().get(token.get_id()).get_refresh_token() == "rt"


class TestConnections:
    """Few, and nobody's for longer than a transaction."""

    def test_threads_share_them(self, make: MakeStore, path: Path) -> None:
        """32 threads that save and find at once: all of it is there, and few connections stay open."""
        store = make(operation_timeout=30.0)
        before = _open_files()
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                token = make_token(f"user{number}", refresh=f"rt{number}", access=f"at{number}")
                store.save_token(token)
                assert store.find_token(by_user(f"user{number}")).get_id() == token.get_id()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(store.get_tokens()) == 32
        assert _open_files() - before < 48, "each connection has two or three"

    def test_a_store_that_nobody_has_any_more(self, path: Path) -> None:
        """Its connections are closed with it."""
        store = SQLiteTokenStore(path)
        store.ping()
        del store
        gc.collect()
        assert not path.with_name("tokens.db-wal").exists()

    def test_what_has_ended_is_thrown_away(self, make: MakeStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process does so now and then, when it writes; until then nobody sees it."""
        store = make()
        store.save_token(make_token("ada", access="at"))
        assert len(store.get_tokens()) == 1
        for table in ("records", "pointers"):
            look(path, f"UPDATE {table} SET ends_ms = 1 WHERE ends_ms > 0")  # noqa: S608 - the names stand here
        assert store.get_tokens() == []
        assert look(path, "SELECT count(*) FROM records") == [(1,)]
        monkeypatch.setattr(sqlite_tables, "SWEEP_EVERY", 0)
        store.save_token(make_token("grace", refresh="rt"))
        assert look(path, "SELECT count(*) FROM records") == [(1,)]
        assert look(path, "SELECT count(*) FROM pointers WHERE ends_ms > 0") == [(0,)]


def test_look_ups_use_indexes(make: MakeStore, path: Path) -> None:
    """None of the statements reads a whole table, but the sweep of what ends, which reads an index of that alone."""
    store = make()
    store.save_token(make_token("ada", refresh="rt", grant="gt", access="at"))
    asked: list[str] = []
    with store._repository._database.reading() as tables:
        connection = tables._run.__self__
        connection.set_trace_callback(asked.append)
    store.find_token(by_user("ada"))
    store.find_token(make_token(grant="new"))
    token = store.find_token(make_token(refresh="rt"))
    store.save_token(refreshed(token, "at2"))
    store.delete_token(token.get_id())
    connection.set_trace_callback(None)
    statements = {statement for statement in asked if statement.split()[0] in ("SELECT", "DELETE", "UPDATE")}
    assert len(statements) > 10
    plans = {statement: look(path, f"EXPLAIN QUERY PLAN {statement}") for statement in statements}
    assert [statement for statement, plan in plans.items() if any("SCAN" in str(step) for step in plan)] == []
