"""Moves between places of every kind: what arrives, and that every row is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from contract.tokens import HOUR, epoch_ms
from migration.moving import GOLDEN, KEYS, KINDS, contents, golden, make_article, move
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.match import TokenData
from zoho_token_store.migration import Naming, Tally, open_place
from zoho_token_store.migration.move import NOTE

NamePlace = Callable[..., Naming]
FAR = "4000000000000"


def row(user: str | None, refresh: str | None = None, **more: str | None) -> TokenData:
    """Return what a token says."""
    return TokenData(None, user, "1000.ONE", "secret-1", refresh)._replace(**more)


def put(place: Naming, *rows: TokenData) -> None:
    """Put tokens in a place."""
    with open_place(place) as opened:
        assert {each.outcome for each in opened.settle(list(rows), write=True)} == {"created"}
        opened.finish()


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_file_arrives_everywhere(kind: str, name_place: NamePlace) -> None:
    """Each field arrives, ids too; a second run finds nothing to do, and the way back leads to the same file."""
    target = name_place(kind)
    dry, _ = move(golden("ten-columns"), target, apply=False)
    first, _ = move(golden("ten-columns"), target)
    again, _ = move(golden("ten-columns"), target)
    assert dry == first == Tally(read=3, created=3)
    assert again == Tally(read=3, left=3)
    arrived, expected = contents(target), contents(golden("ten-columns"))
    if kind in ("redis", "sqlite"):  # what has ended is not kept there, nor what ends in a hundred years
        arrived = [data._replace(expires_in=data.expires_in and FAR) for data in arrived]
        expected[2] = expected[2]._replace(access_token=None, expires_in=None)
    assert arrived == expected
    back = name_place("csv", "back")
    assert move(target, back)[0] == Tally(read=3, created=3)
    assert contents(back) == contents(target)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_changes_nothing(kind: str, name_place: NamePlace, tmp_path: Path) -> None:
    """No row, no file."""
    target = name_place(kind)
    if kind != "mysql":
        before = sorted(tmp_path.iterdir())
        move(golden("ten-columns"), target, apply=False)
        assert sorted(tmp_path.iterdir()) == before
        return
    move(golden("ten-columns"), target, apply=False)
    assert contents(target) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_token_is_never_replaced(kind: str, name_place: NamePlace) -> None:
    """The later expiry wins, whichever place it is in; the earlier one fills what the later one lacks."""
    target, old, new = name_place(kind), name_place("csv", "old"), name_place("csv", "new")
    put(target, row("ada", "refresh-1", access_token="access-1", expires_in=epoch_ms(2 * HOUR)))
    put(old, row("ada", "refresh-0", access_token="access-0", expires_in=epoch_ms(HOUR), api_domain="https://old"))
    put(new, row("ada", "refresh-2", access_token="access-2", expires_in=epoch_ms(3 * HOUR), api_domain="https://new"))
    assert move(old, target)[0] == Tally(read=1, updated=1)
    (data,) = contents(target)
    assert (data.refresh_token, data.access_token, data.api_domain) == ("refresh-1", "access-1", "https://old")
    assert move(new, target)[0] == Tally(read=1, updated=1)
    assert move(old, target)[0] == Tally(read=1, left=1)
    (data,) = contents(target)
    assert (data.refresh_token, data.access_token, data.api_domain) == ("refresh-2", "access-2", "https://new")


@pytest.mark.parametrize("kind", KINDS)
def test_of_two_rows_of_one_user_the_later_one_is_moved(kind: str, name_place: NamePlace) -> None:
    """The other is listed by its line; another client's row is another token, one with the same credential is not."""
    tally, lines = move(golden("duplicate-user"), name_place(kind))
    assert tally == Tally(read=4, created=2, conflicts=2)
    assert [(line.outcome, line.where) for line in lines] == [
        ("conflict", "line 2"), ("created", "line 3"), ("created", "line 4"), ("conflict", "line 5"),
    ]  # fmt: skip
    assert all(line.reason.startswith("line 3 ") for line in lines if line.outcome == "conflict")
    assert [data.refresh_token for data in contents(name_place(kind))] == ["refresh-new", "refresh-two"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_is_kept_once(kind: str, name_place: NamePlace) -> None:
    """Of two rows with one id both are moved, and the second gets another; a second run knows it by its user."""
    target = name_place(kind)
    dry, planned = move(golden("duplicate-id"), target, apply=False)
    tally, lines = move(golden("duplicate-id"), target)
    assert dry == tally == Tally(read=2, created=2)
    assert "an earlier row has the same id" in planned[1].reason
    ada, bob = contents(target)
    assert ada.id == "1" == lines[0].record_id
    assert bob.id == lines[1].record_id != "1"
    assert move(golden("duplicate-id"), target)[0] == Tally(read=2, left=2)


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_that_is_taken_is_not_overwritten(kind: str, name_place: NamePlace) -> None:
    """Another token that has the id in the target keeps it."""
    target = name_place(kind)
    put(target, row("zoe", "refresh-zoe", id="1"))
    tally, lines = move(golden("duplicate-id"), target)
    assert tally == Tally(read=2, created=2)
    assert "it has a new one" in lines[0].reason
    assert {data.user_name: data.id for data in contents(target)}["zoe"] == "1"
    assert len({data.id for data in contents(target)}) == 3


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.csv")))
def test_every_row_of_a_broken_file_is_accounted_for(name: str, name_place: NamePlace) -> None:
    """What was read is created, left, in conflict or unreadable; the same again in a second run."""
    target = name_place("sqlite")
    first, lines = move(golden(name), target)
    again, _ = move(golden(name), target)
    assert first.adds_up
    assert first.read == sum(line.outcome != NOTE for line in lines) > 0
    assert asdict(again) == asdict(first) | {"created": 0, "left": first.created}
    assert len(contents(target)) == first.created


@pytest.mark.parametrize("kind", KINDS)
def test_more_rows_than_a_batch(kind: str, name_place: NamePlace) -> None:
    """Batches change nothing in what arrives."""
    source, target = name_place("csv", "many"), name_place(kind)
    put(source, *(row(f"user-{number:02}", f"refresh-{number}") for number in range(25)))
    assert move(source, target, batch=4)[0] == Tally(read=25, created=25)
    assert [data.refresh_token for data in contents(target)] == [f"refresh-{number}" for number in range(25)]
    assert move(source, target, batch=7)[0] == Tally(read=25, left=25)


def test_what_has_ended_is_left(name_place: NamePlace) -> None:
    """An access token that has ended, with nothing to get another, is of no use anywhere."""
    for kind in ("csv", "sqlite"):
        source = name_place("csv", f"ended-{kind}")
        path = Path(source.name.partition(":")[2])
        path.write_text("id,user_name,client_id\n1,ada,1000.ONE,secret,,access,,1700000000000,,\n")
        tally, lines = move(source, name_place(kind, f"for-{kind}"))
        assert tally == Tally(read=1, left=1)
        assert "has ended" in lines[-1].reason


def test_the_articles_file_is_read(tmp_path: Path, name_place: NamePlace) -> None:
    """As it is made by the article's own words; numbers count as text, empty texts as nothing."""
    article = make_article(tmp_path / "zohooauth.db")
    assert contents(article) == contents(golden("ten-columns"))
    found = Naming(f"sqlite:///{tmp_path}/zohooauth.db", environ={})
    assert contents(found) == contents(article)
    assert move(found, name_place("sqlite"))[0] == Tally(read=3, created=3)


def test_a_file_with_one_id_twice_or_none_loses_nothing(name_place: NamePlace) -> None:
    """As a target all of its rows stay, and new ones are counted on from the highest id."""
    target = name_place("csv")
    rows = [
        "id,user_name,client_id",
        "7,ada,c,s,refresh-ada,,,,,",
        "7,bob,c,s,refresh-bob,,,,,",
        ",cyd,c,s,refresh-cyd,,,,,",
    ]
    Path(target.name.partition(":")[2]).write_text("\r\n".join([*rows, ""]))
    put(target, row("dot", "refresh-dot"), row("eve", "refresh-eve", id="7"))
    found = {data.user_name: data.id for data in contents(target)}
    assert found == {"ada": "7", "bob": "7", "cyd": None, "dot": "8", "eve": "9"}


def test_a_store_in_the_clear_is_moved_to_one_with_keys(name_place: NamePlace, tmp_path: Path) -> None:
    """When it is said that it is; else each record is named as unreadable. A file that is not there is an error."""
    url, target = f"sqlite:///{tmp_path}/clear.db", name_place("sqlite", "sealed")
    with pytest.raises(ConfigurationError, match="no such file"):
        move(Naming(url, "default", environ={}), target)
    assert not (tmp_path / "clear.db").exists()
    move(golden("ten-columns"), Naming(url, "default", environ={}))
    tally, lines = move(Naming(url, "default", environ=KEYS), target)
    assert (tally, lines[0].where) == (Tally(read=3, unreadable=3), "record 1")
    assert move(Naming(url, "default", in_clear=True, environ=KEYS), target)[0] == Tally(read=3, created=3)
    assert b"refresh-ada" not in (tmp_path / "sealed.db").read_bytes()
