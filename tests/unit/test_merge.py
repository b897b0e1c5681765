"""How two states of one grant become one."""

from __future__ import annotations

import pytest

from zoho_token_store.keyspace import digest
from zoho_token_store.match import TokenData
from zoho_token_store.merge import Wish, apply, compatible, fold, new_record
from zoho_token_store.record import REMEMBERED, SCHEMA, Access, TokenRecord

NOW = 1_700_000_000_000
OLD, NEW = Access("old", NOW + 1000, 1000), Access("new", NOW + 9000, 9000)


def wish(access: Access | None = None, baseline: TokenRecord | None = None, **fields: str) -> Wish:
    data = TokenData(access_token=access and access.token, **fields)  # type: ignore[arg-type]
    return Wish(data, access, "nonce", "new-id", baseline)


def saved(
    record: TokenRecord, fence: int, access: Access | None = None, baseline: TokenRecord | None = None, **fields: str
):
    return apply(wish(access, baseline, **fields), record, fence, (), NOW).record


def record_of(refresh: str | None = "r1", fence: int = 100, id: str = "a", **fields: str) -> TokenRecord:
    given = {"refresh_token": refresh, **fields}
    return saved(new_record(id, fence, NOW), fence, **{name: value for name, value in given.items() if value})


def test_a_save_counts_on() -> None:
    """Revision, fence and operations move with each save, and a fence never goes back."""
    first = record_of(fence=100)
    second = saved(first, 200)
    late = saved(second, 150)
    assert [int(record.rev) for record in (second, late)] == [int(first.rev) + 1, int(first.rev) + 2]
    assert (second.fence, late.fence) == ("200", "200")
    assert late.nonces()[-1] == "nonce"


def test_none_erases_nothing() -> None:
    """A save with one field leaves the others."""
    record = record_of(user_name="ada", api_domain="d")
    after = saved(record, 200, redirect_url="u")
    assert (after.user_name, after.api_domain, after.redirect_url) == ("ada", "d", "u")


def test_only_what_differs_from_the_baseline_is_meant() -> None:
    """A field that the caller merely held is not written over what another has written."""
    base = record_of(api_domain="d1", redirect_url="u1")
    now = saved(base, 200, api_domain="d2", refresh_token="r2")
    after = saved(now, 300, baseline=base, api_domain="d1", redirect_url="u2", refresh_token="r1")
    assert (after.api_domain, after.redirect_url, after.refresh_token) == ("d2", "u2", "r2")


def test_a_late_save_completes_and_replaces_nothing() -> None:
    """With an older fence only what is missing is taken."""
    record = record_of(fence=200, api_domain="d")
    merged = apply(wish(api_domain="late", redirect_url="u"), record, 100, (), NOW)
    assert merged.late
    assert (merged.record.api_domain, merged.record.redirect_url) == ("d", "u")


class TestRefreshTokens:
    """Which one is current, and what becomes of the others."""

    def test_a_new_one_supersedes(self) -> None:
        """The old one is remembered by its digest, so that workers that have it still find the record."""
        after = saved(record_of("r1"), 200, refresh_token="r2")
        assert after.refresh_token == "r2"
        assert after.bookkeeping().old_refresh == (digest("refresh", "r1"),)
        assert after.spare_tokens() == []

    def test_the_last_ones_are_remembered(self) -> None:
        """Of many only the newest digests stay."""
        record = record_of("r0")
        for number in range(1, REMEMBERED + 3):
            record = saved(record, 100 + number, refresh_token=f"r{number}")
        expected = tuple(digest("refresh", f"r{number}") for number in range(2, REMEMBERED + 2))
        assert record.bookkeeping().old_refresh == expected

    def test_a_late_one_is_kept_aside(self) -> None:
        """One that comes with an older fence than the current one's is not lost and not current."""
        after = saved(record_of("r2", fence=200), 150, refresh_token="r-late")
        assert (after.refresh_token, after.spare_tokens()) == ("r2", ["r-late"])
        assert saved(after, 160, refresh_token="r-late").spare_tokens() == ["r-late"]

    def test_the_fence_that_wrote_it_counts_not_the_records(self) -> None:
        """A refresh of the access token in between does not make a newer login late."""
        refreshed = saved(record_of("r1", fence=100), 300, access=OLD)
        after = saved(refreshed, 200, refresh_token="r2")
        assert after.refresh_token == "r2"

    def test_a_superseded_one_is_not_put_back(self) -> None:
        """A worker without a baseline that has a superseded one does not make it current."""
        record = saved(record_of("r1"), 200, refresh_token="r2")
        after = saved(record, 300, refresh_token="r1")
        assert after.refresh_token == "r2"
        assert after.bookkeeping().old_refresh == record.bookkeeping().old_refresh

    def test_nor_is_a_spare(self) -> None:
        """The same for one that is kept aside."""
        record = saved(record_of("r2", fence=200), 150, refresh_token="r-late")
        assert saved(record, 300, refresh_token="r-late").refresh_token == "r2"


class TestGrantCodes:
    """A spent code stays known."""

    def test_a_new_one_supersedes(self) -> None:
        """The old one is remembered."""
        after = saved(record_of(grant_token="g1"), 200, grant_token="g2")
        assert after.grant_token == "g2"
        assert after.bookkeeping().old_grant == (digest("grant", "g1"),)

    def test_an_old_one_is_remembered_and_not_put_back(self) -> None:
        """A late or superseded code leads to the record and replaces nothing."""
        record = saved(record_of(grant_token="g1"), 200, grant_token="g2", refresh_token="r2")
        assert saved(record, 300, grant_token="g1").grant_token == "g2"
        late = saved(record, 150, grant_token="g-late")
        assert late.grant_token == "g2"
        assert digest("grant", "g-late") in late.bookkeeping().old_grant


class TestAccessTokens:
    """One got with the current refresh token goes first, then the later one."""

    def test_the_newest_save_wins(self) -> None:
        """Also with an earlier expiry: it is what Zoho gave last."""
        assert saved(saved(record_of(), 200, access=NEW), 300, access=OLD).access == OLD

    def test_a_late_one_must_live_longer(self) -> None:
        """A late save's access token replaces one that ends earlier, and none that ends later."""
        record = saved(record_of(), 200, access=OLD)
        assert saved(record, 150, access=NEW).access == NEW
        assert saved(saved(record, 300, access=NEW), 250, access=OLD).access == NEW

    def test_a_late_one_fills_no_gap(self) -> None:
        """A late save may be a repeat that the record has forgotten, and its access token rejected since."""
        record = saved(record_of(), 200, access=OLD)._replace(access=None)
        assert saved(record, 150, access=NEW).access is None
        assert saved(record, 300, access=NEW).access == NEW

    def test_one_of_another_grant_is_not_stored(self) -> None:
        """An access token that was got with a superseded refresh token does not replace the new login's."""
        record = saved(record_of("r2"), 200, access=OLD)
        assert saved(record, 300, access=NEW, baseline=record_of("r1"), refresh_token="r1").access == OLD

    def test_what_the_caller_merely_held_is_not_stored(self) -> None:
        """An access token that was invalidated meanwhile does not come back by a save of its old object."""
        base = saved(record_of(), 200, access=OLD)
        assert saved(base._replace(access=None), 300, access=OLD, baseline=base).access is None


class TestFolding:
    """Two records that turn out to be one grant."""

    def test_the_newer_login_gives_the_credentials(self) -> None:
        """Whichever record stays, the refresh token of the later login is current; the other is kept aside."""
        older, newer = record_of("r1", 100, user_name="ada"), record_of("r2", 200, id="b")
        newer = saved(newer, 201, access=NEW)
        for stays, goes in ((older, newer), (newer, older)):
            merged = fold(stays, goes)
            assert (merged.id, merged.user_name) == (stays.id, "ada")
            assert (merged.refresh_token, merged.access) == ("r2", NEW)
            assert merged.spare_tokens() == ["r1"]
            assert merged.bookkeeping().absorbed == (goes.id,)

    def test_an_access_token_of_the_old_grant_is_dropped(self) -> None:
        """The older login's access token is no stand-in for the newer one's."""
        older = saved(record_of("r1", 100), 101, access=OLD)
        assert fold(older, record_of("r2", 200, id="b")).access is None

    def test_what_both_remember_stays(self) -> None:
        """Fence, operations, superseded credentials and earlier merges of both are kept."""
        one = saved(record_of("r1", 100), 110, refresh_token="r2", grant_token="g1")
        two = saved(record_of("r3", 200, id="b"), 210, grant_token="g2")
        two = fold(two, record_of(None, 50, id="c", user_name="ada"))
        merged = fold(one, two)
        book = merged.bookkeeping()
        assert set(book.absorbed) == {"b", "c"}
        assert digest("refresh", "r1") in book.old_refresh
        assert merged.fence == "210"
        grants = {merged.grant_token}
        assert grants | ({"g1"} if digest("grant", "g1") in book.old_grant else set()) >= {"g1", "g2"}

    def test_the_schema_of_the_newer_release_stays(self) -> None:
        """A merge never claims that an older release could read what it cannot."""
        assert fold(record_of(), record_of("r2", id="b")._replace(schema=str(SCHEMA + 1))).schema == str(SCHEMA + 1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"user_name": "ada"}, {"user_name": "ada"}, True),
        ({"user_name": "ada"}, {"user_name": "grace"}, False),
        ({"user_name": "ada"}, {}, True),
        ({"client_id": "1"}, {"client_id": "2"}, False),
        ({"client_id": "1", "user_name": "ada"}, {"client_id": "1"}, True),
        ({"client_id": "1"}, {"user_name": "ada"}, True),
    ],
)
def test_compatible(one: dict[str, str], other: dict[str, str], expected: bool) -> None:
    """Two records may be one grant unless both have a client id or a user name, and they differ."""
    first, second = TokenRecord("a", **one), TokenRecord("b", **other)  # type: ignore[arg-type]
    assert compatible(first, second) is compatible(second, first) is expected
