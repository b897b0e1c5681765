"""The rules of moving, asked at random: of files that anything may stand in, and of two kinds of target."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from zoho_token_store import MemoryTokenStore
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.match import TokenData
from zoho_token_store.migration.csv_rows import read_lines
from zoho_token_store.migration.entry import Entry
from zoho_token_store.migration.ids import new_name
from zoho_token_store.migration.own_store import OwnStore
from zoho_token_store.migration.shelf import Shelf

GOLDEN = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "golden").glob("*.csv"))}
NOW_MS = int(time.time() * 1000)

pieces = st.sampled_from(sorted(GOLDEN.values())).flatmap(
    lambda content: st.tuples(st.integers(0, len(content)), st.integers(0, len(content))).map(
        lambda ends: content[min(ends) : max(ends)]
    )
)
# One refresh token comes with one expiry: a file does not remember which tokens others have taken the place of.
rows = st.builds(
    lambda user, client, login, hours, number: TokenData(
        str(number) if number else None, user, client, "secret", f"refresh-{login}-{hours}",
        access_token=f"access-{login}-{hours}", expires_in=str(NOW_MS + hours * 3_600_000),
    ),
    st.sampled_from([None, "ada", "bob"]),
    st.sampled_from(["one", "two"]),
    st.sampled_from(["x", "y"]),
    st.integers(1, 3),
    st.integers(0, 3),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces | st.binary(max_size=60), max_size=5).map(b"".join), st.sampled_from([None, "cp1252", "utf-16"]))
def test_whatever_stands_in_a_file_is_read_or_named(content: bytes, encoding: str | None) -> None:
    """Parts of files in any order, with anything between them: each line is read or named; nothing else is raised."""
    try:
        told = list(read_lines(content, encoding))
    except ConfigurationError:
        assert encoding or content.startswith((b"\xff\xfe", b"\xfe\xff"))
        return
    for each in told:
        if isinstance(each, Entry):
            assert each.data.refresh_token or each.data.grant_token or each.data.access_token
            "".join(str(value) for value in each.data).encode()  # all of it can be written


@settings(max_examples=300, deadline=None)
@given(st.lists(rows, max_size=8))
def test_a_file_and_a_store_come_to_the_same(arriving: list[TokenData]) -> None:
    """The rules over rows, for files and tables, are those of a store of ours, for tokens that can be told apart."""
    shelf, store = Shelf([], new_name, NOW_MS), OwnStore(MemoryTokenStore())
    for data in arriving:
        (adoption,) = store.settle([data], write=True)
        assert shelf.settle(data).outcome == adoption.outcome, data
    found = [each.data for each in store.read(100) if isinstance(each, Entry)]
    assert sorted(map(_shown, found)) == sorted(map(_shown, shelf.rows))


def _shown(data: TokenData) -> tuple[str, ...]:
    return tuple(str(value) for value in data[1:9])
