"""Golden files of the SDK's FileStore, whole and broken: what is read of each, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoho_token_store.errors import ConfigurationError
from zoho_token_store.match import TokenData
from zoho_token_store.migration.columns import Unfit, read_row
from zoho_token_store.migration.csv_rows import read_lines
from zoho_token_store.migration.entry import Entry, Remark, Unreadable

GOLDEN = Path(__file__).parent / "golden"
CALLBACK, US, EU = "https://app.example/callback", "https://www.zohoapis.com", "https://www.zohoapis.eu"
FAR = "4000000000000"
CLIENT, ZOHO = "1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123", f"1000.{'0123456789abcdef' * 2}.{'fedcba9876543210' * 2}"
ADA = TokenData("1", "ada@example.com", "1000.ONE", "secret-1", "refresh-ada", "grant-ada", CALLBACK, US,
                "access-ada", FAR)  # fmt: skip
BOB = TokenData("2", "bob@example.com", "1000.ONE", "secret-1", "refresh-bob", None, None, EU,
                "access-bob", "1700000000000")  # fmt: skip
CYD = TokenData("3", None, "1000.TWO", "secret-2", "refresh-cyd", None, CALLBACK, None)

BROKEN = "one of its values has a line break in it"
NO_NUMBER = "and does not begin with the number of a row"
IN_ORDER = "the columns are taken to be in the SDK's order"

ROWS = {
    "ten-columns": [Entry("line 2", ADA), Entry("line 3", BOB), Entry("line 4", CYD)],
    "nine-columns": [
        Entry("line 2", ADA._replace(api_domain=None)),
        Entry("line 3", BOB._replace(api_domain=None)),
        Entry("line 4", CYD),
    ],
    "truncated-token": [
        Entry("line 2", ADA),
        Entry("line 3", BOB),
        Unreadable("line 4", "it is cut short: 5 of 10 columns"),
    ],
    "truncated-expiry": [
        Entry("line 2", ADA),
        Entry(
            "line 3",
            BOB._replace(api_domain=None, expires_in=None),
            ("it is cut short: its expiry_time may be, and is left out", "it has 7 of 10 columns"),
        ),
    ],
    "truncated-domain": [
        Entry(
            "line 2",
            ADA._replace(api_domain=None),
            ("it is cut short: its api_domain may be, and is left out", "it has 9 of 10 columns"),
        )
    ],
    "no-header": [
        Remark("line 1", f"the header is missing; {IN_ORDER}"),
        Entry("line 1", ADA),
        Entry("line 2", BOB),
    ],
    "broken-header": [
        Remark("line 1", f"the header cannot be read; {IN_ORDER}"),
        Entry("line 2", ADA),
        Remark("line 3", "another header"),
        Entry("line 4", BOB),
    ],
    "duplicate-id": [Entry("line 2", ADA), Entry("line 3", BOB._replace(id="1", api_domain=None))],
    "cp1252": [
        Entry("line 2", ADA),
        Unreadable("line 3", "its user_name is not in the encoding of the file"),
    ],
    "utf-16": [
        Entry("line 2", TokenData("2", "Zoë@example.com", "1000.ONE", "secret-1", "refresh-zoe")),
    ],
    "zeros": [
        Entry("line 2", ADA),
        Unreadable("line 3", "it holds zeros: two processes have written the file at once"),
    ],
    "line-breaks": [
        Entry("line 2", ADA),
        Unreadable("line 3", f"it goes on until line 4: {BROKEN}"),
        Entry("line 5", BOB),
        Unreadable("line 6", f"it goes on until line 7: {BROKEN}"),
        Unreadable("line 8", f"it goes on until line 10: {BROKEN}"),
        Unreadable("line 11", "its quotation marks do not close"),
    ],
    "lost-ids": [
        Entry("line 2", ADA),
        Unreadable("line 3", f"it has 9 columns in place of 10, {NO_NUMBER}"),
        Unreadable("line 4", f"it has 9 columns in place of 10, {NO_NUMBER}"),
        Unreadable("line 5", "its columns do not hold what they should: client_secret for one"),
        Unreadable("line 6", "its columns do not hold what they should: grant_token for one"),
        Entry("line 7", TokenData("tenant-7", "dot@example.com", "1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123", "secret-1",
                                  "refresh-dot"), ("it has no api_domain",)),
        Unreadable("line 8", "its columns do not hold what they should: client_id for one"),
        Entry("line 9", BOB),
    ],
    "old-mac": [Entry("line 2", ADA), Entry("line 3", BOB)],
    "widths": [
        Entry("line 2", ADA),
        Entry("line 3", TokenData("2", "bob@example.com", "1000.ONE", "secret-1", "refresh-bob",
                                  access_token="access-bob"), ("it has 7 of 10 columns",)),
        Unreadable("line 4", "it is cut short: 3 of 10 columns"),
        Entry("line 5", TokenData("4", "dot@example.com", "1000.ONE", "secret-1", "refresh-dot"),
              ("it has 12 columns in place of 10; the last ones are empty",)),
        Unreadable("line 6", "it has 14 columns in place of 10: rows have run into one"),
        Unreadable("line 7", "its quotation marks do not close"),
        Entry("line 8", TokenData("8", "hal@example.com", "1000.ONE", "secret-1", "refresh-hal",
                                  redirect_url=CALLBACK), ("it has no api_domain",)),
        Unreadable("line 10", "it has no refresh, grant or access token"),
        Entry("line 11", TokenData("10", "joy@example.com", "1000.ONE", "secret-1", "refresh-joy"),
              ("its expiry is not a number: its access token is left out",)),
        Unreadable("line 12", "its columns do not hold what they should: redirect_url for one"),
        Entry("line 13", TokenData(None, "leo@example.com", "1000.ONE", "secret-1", "refresh-leo"),
              ("its id cannot be kept: it has a new one",)),
        Entry("line 14", TokenData("13", "mia@example.com", "1000.ONE", "secret-1", "1000.0123456789abcdef.x"),
              ("its refresh_token does not have the length of Zoho's: two rows may have run into one",)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_each_line_is_read_or_named(name: str) -> None:
    """What can be known of a file is read, and all else is named by its line."""
    assert list(read_lines((GOLDEN / f"{name}.csv").read_bytes(), None)) == ROWS[name]


def test_another_encoding_is_the_operators_to_name() -> None:
    """With it the row is read as it was written; with one that the file is not in, nothing is."""
    content = (GOLDEN / "cp1252.csv").read_bytes()
    entry = list(read_lines(content, "cp1252"))[1]
    assert isinstance(entry, Entry)
    assert entry.data.user_name == "Zoë@example.com"
    for encoding in ("no-such-encoding", "utf-16", "idna", "punycode", "undefined", "rot13"):
        with pytest.raises(ConfigurationError, match=f"encoding: .* in '{encoding}'"):
            list(read_lines(content, encoding))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"1,ada,1000.ONE,s,{'r' * (1 << 17)}r,,,,,", "one of its values is longer than 131,072 characters"),
        ('1,"ada"b,1000.ONE,s,r,,,,,', "its quotation marks do not stand where values begin and end"),
        ("1,ada\rb,1000.ONE,s,r,,,,,", "it holds a carriage return"),
        ('1,"ada,1000.ONE,s,r,,,,,', "its quotation marks do not close"),
    ],
    ids=["long", "within", "return", "open"],
)
def test_what_is_wrong_with_a_line_is_said(line: str, reason: str) -> None:
    """Each as it is."""
    header, content = "id,user_name,client_id,client_secret,refresh_token", f"{line}\n".encode()
    assert list(read_lines(f"{header}\n".encode() + content, None))[1] == Unreadable("line 2", reason)


@pytest.mark.parametrize(
    "values",
    [
        {"refresh_token": "4000000000000"},
        {"access_token": "https://www.zohoapis.com"},
        {"grant_token": "4000000000000"},
        {"expiry_time": "https://app.example/callback"},
        {"expiry_time": ZOHO},
        {"client_secret": ZOHO},
        {"client_secret": CLIENT},
        {"client_id": ZOHO},
        {"client_id": "ada@example.com"},
        {"client_id": "0123456789abcdef0123456789abcdef0123456789"},
        {"user_name": CLIENT},
        {"user_name": ZOHO},
        {"id": ZOHO},
        {"id": CLIENT},
    ],
)
def test_a_value_in_anothers_column_is_no_row(values: dict[str, str]) -> None:
    """It belongs in another by its form, so a column was lost: a secret must not stand where names do."""
    whole = {"id": "1", "user_name": "ada", "client_id": CLIENT, "client_secret": "s", "refresh_token": ZOHO}
    assert read_row(whole)[1] == []
    with pytest.raises(Unfit, match=f"do not hold what they should: {next(iter(values))} for one"):
        read_row(whole | values)


@pytest.mark.parametrize("name", ["line-breaks", "lost-ids"])
def test_no_secret_gets_into_another_column(name: str) -> None:
    """Of a row that has lost its first columns nothing is taken, and each value that is taken is in its own place."""
    for length in range(len(content := (GOLDEN / f"{name}.csv").read_bytes()) + 1):
        for each in read_lines(content[:length], None):
            if isinstance(each, Entry):
                data = each.data
                assert (data.client_id or "").startswith("1000."), length
                assert (data.client_secret or "secret").startswith("secret"), length
                assert (data.refresh_token or "").startswith("refresh-"), length


@pytest.mark.parametrize("name", ["ten-columns", "nine-columns"])
def test_a_file_that_is_cut_anywhere_never_yields_what_was_not_there(name: str) -> None:
    """Every prefix of a good file gives rows that agree with the whole one in all that they have."""
    content = (GOLDEN / f"{name}.csv").read_bytes()
    whole = {each.where: each.data for each in read_lines(content, None) if isinstance(each, Entry)}
    for length in range(len(content)):
        for each in read_lines(content[:length], None):
            if isinstance(each, Entry):
                told = {field: value for field, value in each.data._asdict().items() if value is not None}
                assert told.items() <= whole[each.where]._asdict().items(), length


def test_nothing_secret_is_in_what_is_said() -> None:
    """Neither reasons and notes nor the repr of a row repeat what stands in it."""
    for path in GOLDEN.glob("*.csv"):
        for each in read_lines(path.read_bytes(), None):
            said = repr(each._replace(data=each.data) if isinstance(each, Entry) else each)
            notes = str(each.notes) if isinstance(each, Entry) else ""
            assert not any(secret in said + notes for secret in ("secret-", "refresh-", "access-", "example.com"))
