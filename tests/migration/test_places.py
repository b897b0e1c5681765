"""Places by name, the SDK's own stores, and what is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from zohocrmsdk.src.com.zoho.api.authenticator.store import DBStore, FileStore

from contract.tokens import by_user, make_token, user_of
from foreign import mariadb
from foreign.article import ArticleSQLite
from migration.moving import contents, golden, move
from servers import Server
from zoho_token_store import MemoryTokenStore, RedisTokenStore, SQLiteTokenStore, StoreUnavailable
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.migration import Naming, Tally, open_place
from zoho_token_store.migration.article_file import _failure
from zoho_token_store.migration.mysql_table import read_address
from zoho_token_store.migration.own_store import OwnStore

PASSWORD = "made-up-password"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tokens.csv", "names nothing that is known"),
        ("postgres://u:made-up-password@h/db", r"redis://.*redis\+sentinel://, redis\+cluster://.*sqlite:///PATH"),
        ("csv:", "needs the path"),
        ("csv://host/tokens.csv", "needs the path"),
        ("csv:no-such-file.csv", "no such file"),
        ("article:no-such-file.db", "no such file"),
        ("csv:/", "cannot be read"),
        ("sqlite:tokens.db", "names no store"),
        ("mysql://h/db", "must be mysql://"),
        ("mysql://u:made-up-password@h:port/db", "must be mysql://"),
        ("mysql://u:made-up-password@h/db?tables=x", "must be mysql://"),
        ("mysql://u:made-up-password@h/db/x", "must be mysql://"),
        ("mysql://u:made-up-password@h/db?table=x;drop", "letters, digits"),
        ("mysql://u:made-up-password@h/db?table=a`b", "letters, digits"),
        ("redis://:made-up-password@h:port/0", "url"),
    ],
)
def test_what_cannot_be_used_says_why(name: str, said: str) -> None:
    """And repeats nothing, since there may be a password in it."""
    with pytest.raises(ConfigurationError, match=f"(?s){said}") as raised, open_place(Naming(name, "default")) as place:
        list(place.read(10))
    assert PASSWORD not in str(raised.value) + repr(Naming(name))


def test_why_a_file_cannot_be_read_is_said_once(tmp_path: Path) -> None:
    """By the operating system's words."""
    with pytest.raises(ConfigurationError) as raised, open_place(Naming(f"csv:{tmp_path}", "default")) as place:
        list(place.read(10))
    assert str(raised.value).count("Is a directory") == 1


def test_a_mysql_url_is_read() -> None:
    """User, password and port as in any URL; the password else from MYSQL_PWD; a table and a certificate by name."""
    url = "mysql://ada%40x:a%2Fb@db.example:3307/zohooauth?table=tokens&ssl_ca=/ca.pem"
    address = read_address(url, {})
    where = {"host": "db.example", "port": 3307, "user": "ada@x", "password": "a/b", "database": "zohooauth"}
    assert address.table == "tokens"
    assert address.connection == where | {"ssl_ca": "/ca.pem", "ssl_verify_cert": True, "ssl_verify_identity": True}
    address = read_address("mysql://root@h/db", {"MYSQL_PWD": PASSWORD})
    assert (address.table, address.connection["password"], address.connection["port"]) == ("oauthtoken", PASSWORD, 3306)
    assert PASSWORD not in repr(address)


def test_a_mysql_that_is_away_or_refuses(database_port: int, database: str) -> None:
    """Both say so without the password or the user."""
    for url, kind in (
        ("mysql://root:made-up-password@127.0.0.1:1/db", StoreUnavailable),
        (f"mysql://root:made-up-password@127.0.0.1:{database_port}/{database}", StoreUnavailable),
        (f"mysql://root@127.0.0.1:{database_port}/{database}?table=nothing", ConfigurationError),
    ):
        with pytest.raises(kind) as raised, open_place(Naming(url, environ={})) as place:
            list(place.read(10))
        assert PASSWORD not in str(raised.value)


def test_columns_are_read_by_name(database_port: int, database: str) -> None:
    """In any order, beside others; one of another release is known, one that is missing is said."""
    connection = mariadb.connect(database_port, database=database)
    cursor = connection.cursor()
    cursor.execute(
        "CREATE TABLE other (noted int, refresh_token varchar(255), user_mail varchar(255), expiry_time bigint,"
        " client_id varchar(255), client_secret varchar(255), access_token varchar(255), id int primary key)"
    )
    cursor.execute("INSERT INTO other VALUES (7, 'refresh-zoe', 'zoe', 4000000000000, 'c', 's', 'access-zoe', 12)")
    cursor.execute("CREATE TABLE no_tokens (id int primary key, user_name varchar(10))")
    connection.commit()
    connection.close()
    where = f"mysql://root@127.0.0.1:{database_port}/{database}?table="
    (data,) = contents(Naming(f"{where}other", environ={}))
    assert (data.id, data.user_name, data.refresh_token) == ("12", "zoe", "refresh-zoe")
    assert data.expires_in == "4000000000000"
    tally, lines = move(golden("ten-columns"), Naming(f"{where}other", environ={}))
    assert (tally.created, lines[0].reason) == (3, "the table has no column grant_token")
    with pytest.raises(ConfigurationError, match="it has no access_token, client_id"):
        contents(Naming(f"{where}no_tokens", environ={}))


def test_what_does_not_fit_a_column_is_in_conflict(database_port: int, database: str, tmp_path: Path) -> None:
    """MySQL may cut it without a word; and an id that is too long for the column is replaced."""
    path = tmp_path / "long.csv"
    path.write_text("id,user_name,client_id\n1,ada,c,s," + "r" * 300 + ",,,,,\n12345678901,bob,c,s,refresh-bob,,,,,\n")
    where = Naming(f"mysql://root@127.0.0.1:{database_port}/{database}", environ={})
    tally, lines = move(Naming(f"csv:{path}"), where)
    assert tally == Tally(read=2, created=1, conflicts=1)
    assert "longer than the table's column" in lines[1].reason
    assert contents(where)[0].id == "1"


def sdk_file(folder: Path, _: pytest.FixtureRequest) -> tuple[Any, Naming]:
    """Return the SDK's FileStore, and what names its file."""
    return FileStore(f"{folder}/tokens.csv"), Naming(f"csv:{folder}/tokens.csv", environ={})


def sdk_table(_: Path, request: pytest.FixtureRequest) -> tuple[Any, Naming]:
    """Return the SDK's DBStore, and what names its table."""
    port, database = request.getfixturevalue("database_port"), request.getfixturevalue("database")
    store = DBStore(host="127.0.0.1", database_name=database, user_name="root", password="", port_number=str(port))
    return store, Naming(f"mysql://root@127.0.0.1:{port}/{database}", environ={})


def articles(folder: Path, _: pytest.FixtureRequest) -> tuple[Any, Naming]:
    """Return the article's store, and what names its file."""
    return ArticleSQLite(folder / "oauth.db"), Naming(f"sqlite:///{folder}/oauth.db", environ={})


@pytest.mark.parametrize("make", [sdk_file, sdk_table, articles])
def test_the_stores_themselves_agree(
    make: Callable[[Path, pytest.FixtureRequest], tuple[Any, Naming]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What they write is read; what is written for them they find, and they go on from its ids."""
    theirs, where = make(tmp_path, request)
    theirs.save_token(make_token("ada", refresh="refresh-ada", access="access-ada", redirect="https://app"))
    theirs.save_token(make_token("bob", refresh="refresh-bob", domain="https://www.zohoapis.eu"))
    with SQLiteTokenStore(tmp_path / "ours.db") as ours:
        ours.save_token(make_token("cyd", refresh="refresh-cyd", access="access-cyd"))
    here = Naming(f"sqlite:///{tmp_path}/ours.db", environ={})
    assert move(where, here)[0] == Tally(read=2, created=2)
    with SQLiteTokenStore(tmp_path / "ours.db") as ours:
        assert {user_of(each): each.get_refresh_token() for each in ours.iter_tokens()} == {
            name: f"refresh-{name}" for name in ("ada", "bob", "cyd")
        }
        assert ours.find_token(by_user("ada")).get_id() == "1"
    assert move(here, where)[0] == Tally(read=3, created=1, left=2)
    assert theirs.find_token(by_user("cyd")).get_refresh_token() == "refresh-cyd"
    added = make_token("dot", refresh="refresh-dot")
    theirs.save_token(added)
    assert added.get_id() == "4"


def test_a_file_that_somebody_writes_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Nothing of what the other has written is lost; it can be run again."""
    store, where = FileStore(f"{tmp_path}/tokens.csv"), Naming(f"csv:{tmp_path}/tokens.csv")
    with open_place(golden("ten-columns")) as source, open_place(where) as target:
        target.settle([each.data for each in source.read(10) if hasattr(each, "data")], write=True)
        store.save_token(make_token("zoe", refresh="refresh-zoe"))
        with pytest.raises(StoreUnavailable, match="by another process meanwhile"):
            target.finish()
    assert [data.user_name for data in contents(where)] == ["zoe"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokens.csv"]


def test_a_broken_file_is_no_target(tmp_path: Path) -> None:
    """What cannot be read of it would be lost."""
    path = tmp_path / "broken.csv"
    path.write_bytes(Path(golden("widths").name.partition(":")[2]).read_bytes())
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="line 3 would lose something"):
        move(golden("ten-columns"), Naming(f"csv:{path}"))
    assert path.read_bytes() == before


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    """The SDK's workers may be others than who runs the command; a new file is its owner's alone."""
    store, where = FileStore(f"{tmp_path}/tokens.csv"), Naming(f"csv:{tmp_path}/tokens.csv")
    (tmp_path / "tokens.csv").chmod(0o640)
    move(golden("ten-columns"), where)
    assert (tmp_path / "tokens.csv").stat().st_mode & 0o777 == 0o640
    assert len(store.get_tokens()) == 3
    for name in ("new.csv", "new.db"):
        move(golden("ten-columns"), Naming(f"{'csv' if name.endswith('csv') else 'article'}:{tmp_path}/{name}"))
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link(tmp_path: Path, there: bool) -> None:
    """The file that it leads to is written, also one in another folder that is not there yet."""
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.csv", tmp_path / "link.csv"
    if there:
        FileStore(str(real)).save_token(make_token("zoe", refresh="refresh-zoe"))
    link.symlink_to(Path("there") / "real.csv")
    assert move(golden("ten-columns"), Naming(f"csv:{link}"))[0] == Tally(read=3, created=3)
    assert link.is_symlink()
    assert len(contents(Naming(f"csv:{real}"))) == 3 + there
    assert [path.name for path in real.parent.iterdir()] == ["real.csv"]


def test_a_row_of_the_articles_that_is_not_utf_8(tmp_path: Path) -> None:
    """It is named without a word of it, and the rows beside it are moved; as the target it stays as it is."""
    path = tmp_path / "oauth.db"
    store = ArticleSQLite(path)
    for name in ("ada", "grace", "eve"):
        store.save_token(make_token(name, refresh=f"refresh-{name}", access=f"access-{name}"))
    bad = b"refresh-\xff"

    def ask(query: str, *values: bytes) -> list[Any]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.text_factory = bytes
            return connection.execute(query, values).fetchall()

    ask("UPDATE oauthtoken SET refresh_token = CAST(? AS TEXT) WHERE user_name = 'grace'", bad)
    ours = Naming(f"sqlite:///{tmp_path}/ours.db", "default", environ={})
    tally, lines = move(Naming(f"article:{path}", environ={}), ours)
    assert (tally.read, tally.created, tally.unreadable) == (3, 2, 1)
    (line,) = (line for line in lines if line.outcome == "unreadable")
    assert line.reason == "its refresh_token is not in the encoding of the file"
    ask("UPDATE oauthtoken SET redirect_url = CAST(? AS TEXT), access_token = NULL, expiry_time = NULL", bad)
    assert move(ours, Naming(f"article:{path}", environ={}))[0].updated == 2
    assert ask("SELECT DISTINCT redirect_url, typeof(redirect_url) FROM oauthtoken") == [(b"refresh-\xff", b"text")]
    failure = _failure(sqlite3.OperationalError("Could not decode to UTF-8 column 'a' with text 'refresh-'"))
    assert "refresh-" not in str(failure)


def test_a_record_of_ours_that_is_no_text(real_server: Server, namespace: str) -> None:
    """It is named and left, without what is in it; the records beside it are moved."""
    with RedisTokenStore.from_url(real_server.url, namespace) as store, real_server.client() as client:
        for number in range(3):
            store.save_token(make_token(f"user-{number}", refresh=f"refresh-{number}", id=f"id{number}"))
        client.hset(Keyspace(namespace).token("id1"), "refresh_token", b"secret-\xff")
    tally, lines = move(Naming(real_server.url, namespace, environ={}), OwnStore(MemoryTokenStore()))
    assert (tally.created, tally.unreadable) == (2, 1)
    assert [line.where for line in lines if line.outcome == "unreadable"] == ["record id1"]
    assert "secret" not in str(lines)


def test_our_file_is_not_the_articles(tmp_path: Path) -> None:
    """A file of ours stays ours, whatever other table is in it; one with no tokens is no article's."""
    SQLiteTokenStore(tmp_path / "ours.db").get_tokens()
    with closing(sqlite3.connect(tmp_path / "ours.db")) as connection:
        connection.execute("CREATE TABLE oauthtoken (id, refresh_token)")
    assert contents(Naming(f"sqlite:///{tmp_path}/ours.db", environ={})) == []
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE other (id)")
    (tmp_path / "other.db").chmod(0o600)
    with pytest.raises(ConfigurationError):
        contents(Naming(f"sqlite:///{tmp_path}/other.db", environ={}))
    with pytest.raises(ConfigurationError, match="no table of tokens"):
        contents(Naming(f"article:{tmp_path}/other.db", environ={}))
