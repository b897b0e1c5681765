"""Rows of one source that cannot both be moved: which goes first, and that a dry run knows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.tokens import HOUR, epoch_ms
from migration.moving import KINDS, contents, move
from zoho_token_store import MemoryTokenStore
from zoho_token_store.adoption import Adoption
from zoho_token_store.match import TokenData
from zoho_token_store.migration import Entry, Naming, Place, Tally
from zoho_token_store.migration.entry import Read
from zoho_token_store.migration.own_store import OwnStore

NOW_MS = int(time.time() * 1000)
CODE = TokenData(None, "ada", "1000.ONE", "secret-1", None, "grant-one")


class Rows(Place):
    """A place with rows that are given."""

    is_unique = False

    def __init__(self, *rows: TokenData) -> None:
        self._rows = rows

    def read(self, batch: int) -> Iterator[Read]:
        return (Entry(f"row {number}", data) for number, data in enumerate(self._rows, 1))

    def count(self) -> int | None:
        return len(self._rows)

    def settle(self, tokens: Sequence[TokenData], *, write: bool) -> list[Adoption]:
        raise AssertionError("it is a source")

    def close(self) -> None:
        return


@pytest.mark.parametrize("kind", KINDS)
def test_rows_with_one_grant_code_are_one(kind: str, name_place: Callable[..., Naming]) -> None:
    """The later one is moved, the others are listed, and the dry run says so."""
    rows = Rows(
        CODE._replace(user_name=None, access_token="access-1", expires_in=epoch_ms(HOUR)),
        CODE._replace(user_name="bob", access_token="access-2", expires_in=epoch_ms(3 * HOUR)),
        CODE._replace(access_token="access-3", expires_in=epoch_ms(2 * HOUR)),
    )
    dry, _ = move(rows, name_place(kind), apply=False)
    tally, lines = move(rows, name_place(kind))
    assert dry == tally == Tally(read=3, created=1, conflicts=2)
    assert [line.outcome for line in lines] == ["conflict", "created", "conflict"]
    assert lines[0].reason.startswith("row 2 ")
    assert [data.access_token for data in contents(name_place(kind))] == ["access-2"]


ENDED = {"access_token": "access-new", "expires_in": epoch_ms(-HOUR)}
VALID = {"access_token": "access-new", "expires_in": epoch_ms(HOUR)}


@pytest.mark.parametrize(
    ("stays", "goes"),
    [
        ({"refresh_token": "refresh-1", "grant_token": None}, {"grant_token": None} | ENDED),
        ({"refresh_token": "refresh-1", "grant_token": None}, {"grant_token": None} | VALID),
        ({"refresh_token": "refresh-1", "grant_token": None}, VALID),
        ({}, {"grant_token": None} | VALID),
    ],
    ids=["ended", "valid", "a code", "no refresh token"],
)
def test_a_refresh_token_is_not_left_behind(
    stays: dict[str, str | None], goes: dict[str, str | None], name_place: Callable[..., Naming]
) -> None:
    """Whatever can get an access token goes before one that has one, also before one that expires later."""
    old = CODE._replace(access_token="access-old", expires_in=epoch_ms(-2 * HOUR))._replace(**stays)
    tally, lines = move(Rows(CODE._replace(**goes), old), name_place("sqlite"))
    assert tally == Tally(read=2, created=1, conflicts=1)
    assert [line.outcome for line in lines] == ["conflict", "created"]
    (data,) = contents(name_place("sqlite"))
    assert (data.refresh_token, data.grant_token) == (old.refresh_token, old.grant_token)


def some(*values: str) -> st.SearchStrategy[str | None]:
    """Return one of some values, or none."""
    return st.sampled_from([None, *values])


rows = st.builds(
    lambda user, client, refresh, grant, access, hours: TokenData(
        None, user, client, client and "secret", refresh, grant, None, None, access,
        None if hours is None else str(NOW_MS + hours * 3_600_000),
    ),
    some("ada", "bob"), some("one", "two"), some("r1", "r2"), some("g1", "g2"), some("a1", "a2"),
    st.sampled_from([None, -1, 1, 2]),
).filter(lambda data: bool(data.refresh_token or data.grant_token or data.access_token))  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(rows, min_size=2, max_size=4))
def test_a_dry_run_says_what_the_move_comes_to(arriving: list[TokenData]) -> None:
    """Whatever two rows have in common, and one lacks: no two that are moved meet in the target."""
    planned, foreseen = move(Rows(*arriving), OwnStore(MemoryTokenStore()), apply=False, batch=2)
    done, lines = move(Rows(*arriving), OwnStore(MemoryTokenStore()), batch=2)
    assert planned == done
    assert [line.outcome for line in foreseen] == [line.outcome for line in lines]
