"""The sealed export: what opens where, and what is said of one that was cut or changed."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from migration.moving import GOLDEN, KEYS, contents, golden, move
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.keyring import new_key
from zoho_token_store.migration import Entry, Naming, Remark, Tally, Unreadable, open_place

GOLDEN_KEYS = {"ZOHO_TOKEN_STORE_KEYS": urlsafe_b64encode(bytes(32)).decode()}
SECRETS = ("secret-1", "refresh-ada", "access-ada", "grant-ada")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Make an export of three records; return where."""
    path = tmp_path / "export.jsonl"
    move(golden("ten-columns"), Naming(f"jsonl:{path}", environ=KEYS))
    return path


def read(path: Path, environ: dict[str, str] = KEYS) -> list[object]:
    """Return what is read of an export."""
    with open_place(Naming(f"jsonl:{path}", environ=environ)) as place:
        return list(place.read(10))


def lines_of(path: Path) -> list[dict[str, object]]:
    """Return an export's lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write(path: Path, lines: list[dict[str, object]]) -> None:
    """Replace an export's lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def test_it_holds_no_secret_and_is_its_owners_alone(export: Path) -> None:
    """The first line says what it is; the file has mode 0600; user names are hidden where they are in the store."""
    text = export.read_text("utf-8")
    assert lines_of(export)[0].items() >= {"format": "zoho-token-store export", "version": 1}.items()
    assert export.stat().st_mode & 0o777 == 0o600
    assert "ada@example.com" in text
    assert not any(secret in text for secret in SECRETS)
    hidden = KEYS | {"ZOHO_TOKEN_STORE_ENCRYPT_IDENTITY": "1"}
    other = Naming(f"jsonl:{export.with_name('hidden.jsonl')}", environ=hidden)
    move(golden("ten-columns"), other)
    assert "ada@example.com" not in export.with_name("hidden.jsonl").read_text("utf-8")
    assert contents(other) == contents(golden("ten-columns"))


@pytest.mark.parametrize("environ", [{}, {"ZOHO_TOKEN_STORE_KEYS": "short"}], ids=["none", "bad"])
def test_it_needs_keys(export: Path, environ: dict[str, str]) -> None:
    """Without them nothing is written or read."""
    with pytest.raises(ConfigurationError):
        read(export, environ)
    with pytest.raises(ConfigurationError):
        move(golden("ten-columns"), Naming(f"jsonl:{export.with_name('new.jsonl')}", environ=environ))
    assert not export.with_name("new.jsonl").exists()


def test_other_keys_open_nothing(export: Path) -> None:
    """Each line is named."""
    told = read(export, {"ZOHO_TOKEN_STORE_KEYS": new_key()})
    assert [type(each) for each in told] == [Unreadable] * 3 + [Remark]
    assert "a key that ZOHO_TOKEN_STORE_KEYS does not hold" in str(told[0])


def change_user(lines: list[dict[str, object]]) -> None:
    """Give one user's token to another."""
    lines[1]["user_name"] = "mallory@example.com"


def swap_secrets(lines: list[dict[str, object]]) -> None:
    """Give two users each other's tokens."""
    lines[1]["sealed"], lines[2]["sealed"] = lines[2]["sealed"], lines[1]["sealed"]


def swap_lines(lines: list[dict[str, object]]) -> None:
    """Change the order."""
    lines[1], lines[2] = lines[2], lines[1]


def lose_line(lines: list[dict[str, object]]) -> None:
    """Leave a record out."""
    del lines[3]


def add_behind(lines: list[dict[str, object]]) -> None:
    """Add a record behind the end."""
    lines.append(lines[1])


def rename(lines: list[dict[str, object]]) -> None:
    """Pass records off as those of another export."""
    lines[0]["export"] = "A" * 22


@pytest.mark.parametrize(
    ("attack", "broken"),
    [
        (change_user, ["line 2"]),
        (swap_secrets, ["line 2", "line 3"]),
        (swap_lines, ["line 2", "line 3"]),
        (lose_line, ["line 4"]),
        (add_behind, ["line 6"]),
        (rename, ["line 2", "line 3", "line 4", "line 5"]),
    ],
)
def test_what_was_changed_is_named(
    export: Path, attack: Callable[[list[dict[str, object]]], None], broken: list[str]
) -> None:
    """A record opens only in its file, at its line, beside what it was sealed with."""
    lines = lines_of(export)
    attack(lines)
    write(export, lines)
    assert [each.where for each in read(export) if not isinstance(each, Entry)] == broken
    tally, told = move(Naming(f"jsonl:{export}", environ=KEYS), Naming("memory://"), apply=False)
    assert not tally.is_clean
    assert tally.read == sum("sealed" in line and "end" not in line for line in lines)
    assert tally.flaws == sum(line.outcome == "flaw" for line in told)


def test_an_export_that_was_cut_says_so(export: Path) -> None:
    """Wherever it is cut, its end or a line is missed, and what is before that is read."""
    content = export.read_bytes()
    first = content.index(b"\n") + 1
    for length in range(first, len(content) - 1, 37):
        export.write_bytes(content[:length])
        *told, end = read(export)
        assert isinstance(end, Remark)
        assert end.is_flaw
        assert sum(isinstance(each, Entry) for each in told) == (content[:length] + b"\n").count(b"}\n") - 1
        begun = [line for line in content[:length].split(b"\n")[1:] if line and not line.startswith(b'{"end"')]
        assert len(told) == len(begun)


def test_an_export_without_its_last_line_has_the_rows_that_it_has(export: Path) -> None:
    """What is missing is no row, and is said: the move is not clean, and the file is no target."""
    lines = lines_of(export)
    write(export, lines[:-1])
    where = Naming(f"jsonl:{export}", environ=KEYS)
    tally, told = move(where, Naming("memory://"), apply=False)
    assert tally == Tally(read=3, created=3, flaws=1)
    assert not tally.is_clean
    assert (told[-1].outcome, told[-1].reason) == ("flaw", "the file ends without its last line: it was cut short")
    with pytest.raises(ConfigurationError, match="target: it is not whole: the file ends without its last line"):
        move(golden("duplicate-id"), where)
    assert lines_of(export) == lines[:-1]


@pytest.mark.parametrize("name", ["export", "hidden"])
def test_an_export_of_before_opens(name: str) -> None:
    """One that was written by the first release, with user names in the clear or hidden: nobody writes it anew."""
    assert contents(Naming(f"jsonl:{GOLDEN}/{name}.jsonl", environ=GOLDEN_KEYS)) == contents(golden("ten-columns"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,user_name\n", "no export of this package"),
        ("[1]\n", "no export of this package"),
        ('{"format": "zoho-token-store export", "version": 2, "export": "AAAAAAAAAAAAAAAAAAAAAA"}\n', "newer release"),
    ],
)
def test_other_files_are_refused(export: Path, content: str, said: str) -> None:
    """With a word on what they are not, and they are never replaced."""
    export.write_text(content)
    with pytest.raises(ConfigurationError, match=said):
        read(export)
    with pytest.raises(ConfigurationError, match=said):
        move(golden("ten-columns"), Naming(f"jsonl:{export}", environ=KEYS))
    assert export.read_text() == content
