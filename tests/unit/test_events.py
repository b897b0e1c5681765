"""Entries of the event stream, whatever stands in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_token_store.errors import InvalidToken
from zoho_token_store.events import LONGEST, MOST_OTHERS, Event, _start, read_event

AT = "1700000000000-7"
EMPTY = Event(AT, "", "", "", "", False)
# As the connection decodes what is no UTF-8.
ANYTHING = st.binary(max_size=200).map(lambda data: data.decode("utf-8", "surrogateescape")) | st.text()


def test_what_this_release_writes() -> None:
    """Every field is read."""
    event = read_event(AT, ["event", "saved", "id", "abc", "by", "web 1:7", "names", "changed"])
    assert event == Event(AT, "saved", "abc", "web 1:7", "", True)
    assert event.at_ms == 1_700_000_000_000
    assert read_event(AT, ["event", "merged", "id", "b", "by", "x", "into", "a"]).into == "a"


def test_several_records() -> None:
    """An event of several records names all of them, and can be taken apart; what is no id is none of them."""
    event = read_event(AT, ["event", "cleared", "id", "a", "by", "x", "others", "b c \x1b[31m d"])
    assert event.others == ("b", "c", "d")
    assert [(each.name, each.record_id, each.others) for each in event.each()] == [
        ("cleared", record_id, ()) for record_id in "abcd"
    ]
    assert len(read_event(AT, ["others", "x " * 10_000]).others) == MOST_OTHERS


def test_what_older_and_later_releases_write() -> None:
    """An older one does not say by whom it was; what a later one adds is left out."""
    assert read_event(AT, ["event", "deleted", "id", "abc"]) == EMPTY._replace(name="deleted", record_id="abc")
    assert read_event(AT, ["more", "x", "event", "of later", "id", "abc"]).name == r"of\x20later"


def test_what_this_package_has_not_written() -> None:
    """An entry without a word that is known is an event without a word."""
    assert read_event(AT, ["forged", "yes"]) == EMPTY
    assert read_event(AT, []) == EMPTY


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\udcff\udcfe", r"\udcff\udcfe"),
        ("\u202egnihtyna", r"\u202egnihtyna"),
        ("\x9b31m", r"\x9b31m"),
        ("x" * LONGEST, "x" * LONGEST),
        ("x" * (LONGEST + 1), "x" * LONGEST + "..."),
        ("\x1b" * 10_000_000, r"\x1b" * (LONGEST // 4) + "..."),
    ],
)
def test_what_a_terminal_would_act_upon(text: str, shown: str) -> None:
    """It is escaped, and cut, wherever it stands."""
    event = read_event(AT, ["event", text, "id", text, "by", text, "into", text])
    assert event == Event(AT, shown, shown, shown, shown, False)


@given(st.lists(st.sampled_from(["event", "id", "by", "into", "names"]) | ANYTHING, max_size=10))
def test_nothing_reaches_a_terminal_but_plain_text(fields: list[str]) -> None:
    """Printable ASCII, without a space but in the label, of bounded length."""
    event = read_event(AT, fields)
    for text in (event.name, event.record_id, event.by, event.into):
        assert text.isascii()
        assert text.isprintable() or not text
        assert len(text) <= 4 * (LONGEST + 3)
    assert " " not in event.name + event.record_id + event.into


@pytest.mark.parametrize(
    "since",
    [
        "",
        "all",
        "10m",
        "-1",
        "1-2-3",
        "1" * 20 + "-1",
        f"1-{1 << 64}",
        "1700000000000",
        "1700000000000-",
        -1,
        True,
        float("nan"),
        [],
    ],
)
def test_a_beginning_that_cannot_be_used(since: object) -> None:
    """The error names the argument."""
    with pytest.raises(InvalidToken) as caught:
        _start(since)  # type: ignore[arg-type]
    assert caught.value.field == "since"
