"""Plans: what a save, a deletion or an invalidation comes to, given what is stored."""

from __future__ import annotations

import pytest

from zoho_token_store.change import Change, credential_pointers, user_entry, user_tombstone
from zoho_token_store.errors import CorruptRecord, InvalidToken, TokenDeleted, UnsupportedSchema
from zoho_token_store.keyspace import client_digest, pointer, tombstone, write_user_pointer
from zoho_token_store.lease import Lease
from zoho_token_store.match import TokenData
from zoho_token_store.merge import Wish
from zoho_token_store.plan import plan_deletion, plan_invalidation, plan_save
from zoho_token_store.record import SCHEMA, Access, Bookkeeping, TokenRecord
from zoho_token_store.snapshot import Snapshot

NOW = 1_700_000_000_000
FENCE = NOW * 1000


def stored(*records: TokenRecord, **strings: str) -> Snapshot:
    """Return everything there is: records, their pointers, and further strings by name."""
    pointers: dict[str, str] = {}
    users: dict[str, dict[str, str]] = {}
    for record in records:
        pointers |= dict.fromkeys(credential_pointers(record), record.id)
        entry = user_entry(record)
        if entry:
            users.setdefault(entry[0], {})[entry[1]] = record.id
    snapshot = Snapshot()
    pointers |= {name: write_user_pointer(entries) for name, entries in users.items()}
    snapshot.load(pointers | strings, {record.id: record for record in records})
    return snapshot


def wish(lease: Lease | None = None, baseline: TokenRecord | None = None, **fields: str) -> Wish:
    data = TokenData(**fields)  # type: ignore[arg-type]
    access = Access(data.access_token, NOW + 9000, 9000) if data.access_token else None
    return Wish(data, access, "this-operation", "new-id", baseline, lease, lease.fence if lease else 0)


def save(snapshot: Snapshot, *args: object, **fields: str) -> Change:
    change = plan_save(wish(*args, **fields), snapshot, NOW)  # type: ignore[arg-type]
    assert change is not None
    return change


def grant(id: str, **fields: str) -> TokenRecord:
    """Return a record as a first save leaves it."""
    after = save(stored(), id=id, **{"refresh_token": f"r-{id}", **fields}).after
    assert after is not None
    return after._replace(ops=f"{NOW} an-earlier-operation")


def test_a_new_record_has_the_id_drawn_beforehand() -> None:
    """Each attempt of one save makes the same record, so a repeat after a lost reply does not make another."""
    one = wish(refresh_token="r")
    first, second = plan_save(one, stored(), NOW), plan_save(one, stored(), NOW + 5)
    assert [change and change.after and change.after.id for change in (first, second)] == ["new-id", "new-id"]
    assert one.touched == {"new-id"}


def test_a_repeat_changes_nothing() -> None:
    """A save that is written already, under any selector, is recognised by its operation's name."""
    one = wish(refresh_token="r", user_name="ada")
    written = plan_save(one, stored(), NOW)
    assert written is not None
    assert written.after is not None
    assert plan_save(one, stored(written.after), NOW) is None


def test_a_repeat_after_a_deletion_is_refused() -> None:
    """A save whose first attempt may have been written does not bring the record back that was deleted since."""
    one = wish(refresh_token="r")
    plan_save(one, stored(), NOW)
    with pytest.raises(TokenDeleted):
        plan_save(one, stored(**{tombstone("new-id"): "deleted 7"}), NOW)


def test_all_that_is_read_is_compared() -> None:
    """A plan made from what is known says itself what must still be so."""
    record = grant("a", user_name="ada")
    snapshot = stored(record)
    snapshot.start_over()
    save(snapshot, user_name="ada", client_id="c", refresh_token="r-a")
    strings, records = snapshot.reads()
    assert strings[pointer("refresh", "r-a")] == "a"
    assert records == {"a": record.rev}


@pytest.mark.parametrize("kind", ["grant_token", "refresh_token", "user_name"])
@pytest.mark.parametrize(("buried_at", "refused"), [(FENCE + 1, True), (FENCE, True), (FENCE - 1, False)])
def test_a_deletion_after_the_lease_is_the_later_word(kind: str, buried_at: int, refused: bool) -> None:
    """A save under a lease is refused if its credential or user was deleted since the lease was given."""
    name = {
        "grant_token": pointer("grant", "x"),
        "refresh_token": pointer("refresh", "x"),
        "user_name": user_tombstone((pointer("user", "x"), client_digest(None))),
    }[kind]
    snapshot = stored(**{tombstone(name): f"deleted {buried_at}"})
    lease = Lease("grant:whatever", "owner", FENCE)
    given = {kind: "x", "access_token": "a"}
    if refused:
        with pytest.raises(TokenDeleted):
            save(snapshot, lease, **given)
    else:
        assert save(snapshot, lease, **given).after


def test_without_a_lease_it_is_a_new_login() -> None:
    """After a deletion the same credential may be saved anew by a caller that comes with it."""
    snapshot = stored(**{tombstone(pointer("refresh", "r")): f"deleted {FENCE}"})
    assert save(snapshot, refresh_token="r").after


def test_a_late_name_merges_into_the_older_record() -> None:
    """The older of two records of one grant stays, whichever was addressed."""
    older = grant("b", user_name="ada", client_id="c")
    newer = grant("a", client_id="c")
    newer = newer._replace(meta=newer.meta and newer.meta.replace(str(NOW), str(NOW + 1)))
    change = save(stored(older, newer), id="a", user_name="ada", client_id="c")
    assert change.after
    assert (change.after.id, [record.id for record in change.before]) == ("b", ["b", "a"])
    assert change.after.bookkeeping().absorbed == ("a",)
    assert "merges" in change.notes


def test_a_name_of_another_identity_is_left_out() -> None:
    """Two users are never one: the save goes on without the name."""
    ada, grace = grant("a", user_name="ada", client_id="c"), grant("b", user_name="grace", client_id="c")
    change = save(stored(ada, grace), id="a", user_name="grace", client_id="c", api_domain="d")
    assert change.after
    assert (change.after.user_name, change.after.api_domain, len(change.before)) == ("ada", "d", 1)
    assert "name_conflicts" in change.notes


@pytest.mark.parametrize("field", ["refresh_token", "client_id"])
def test_what_belongs_to_others_is_refused(field: str) -> None:
    """Another user's refresh token, or another client's record: the field is named."""
    ada, grace = grant("a", user_name="ada", client_id="c"), grant("b", user_name="grace", client_id="c")
    given = {"refresh_token": {"refresh_token": "r-b"}, "client_id": {"client_id": "other"}}[field]
    with pytest.raises(InvalidToken) as caught:
        save(stored(ada, grace), id="a", **given)
    assert caught.value.field == field


def test_nothing_to_store_is_refused() -> None:
    """A new record needs a token of some kind."""
    with pytest.raises(InvalidToken):
        save(stored(), user_name="ada", client_id="c")


def test_a_newer_releases_record_is_left_alone() -> None:
    """Neither a save nor an invalidation writes what it does not understand; a deletion may."""
    record = grant("a", access_token="x")._replace(schema=str(SCHEMA + 1))
    with pytest.raises(UnsupportedSchema) as caught:
        save(stored(record), id="a", api_domain="d")
    assert (caught.value.record_id, caught.value.schema) == ("a", str(SCHEMA + 1))
    with pytest.raises(UnsupportedSchema):
        plan_invalidation("a", None, stored(record), NOW)
    assert plan_deletion("a", stored(record))


class TestRedirects:
    """Ids that were merged away."""

    snapshot = staticmethod(
        lambda absorbed=("b", "a"): stored(
            grant("c", access_token="x")._replace(meta=Bookkeeping(absorbed=absorbed).pack()),
            **{tombstone("a"): "merged b", tombstone("b"): "merged c"},
        )
    )

    def test_are_followed_to_the_end(self) -> None:
        """Save, invalidation and deletion by the first id reach the record that is left."""
        saved = save(self.snapshot(), id="a", api_domain="d")
        invalidated = plan_invalidation("a", None, self.snapshot(), NOW)
        deleted = plan_deletion("a", self.snapshot())
        reached = [change.before[0].id for change in (saved, invalidated, deleted) if change]
        assert reached == ["c", "c", "c"]

    def test_to_a_record_that_knows_nothing_of_it_are_refused(self) -> None:
        """Whoever can write to Redis can write a redirect; the record at its end has to have taken the first in."""
        for plan in (
            lambda snapshot: save(snapshot, id="a", api_domain="d"),
            lambda snapshot: plan_invalidation("a", None, snapshot, NOW),
            lambda snapshot: plan_deletion("a", snapshot),
        ):
            with pytest.raises(CorruptRecord) as caught:
                plan(self.snapshot(("b",)))
            assert caught.value.record_id == "a"

    def test_end_in_a_deletion(self) -> None:
        """When the record at the end is deleted, so is every id that led to it."""
        gone = stored(**{tombstone("a"): "deleted 7"})
        with pytest.raises(TokenDeleted):
            save(gone, id="a", refresh_token="r")
        assert plan_deletion("a", gone) is None


@pytest.mark.parametrize(("rejected", "dropped"), [(None, True), ("x", True), ("an older one", False)])
def test_only_the_rejected_access_token_is_dropped(rejected: str | None, dropped: bool) -> None:
    """A report about a token that is no longer the stored one changes nothing."""
    change = plan_invalidation("a", rejected, stored(grant("a", access_token="x")), NOW)
    assert (change is not None) is dropped
    assert change is None or (change.after and change.after.access is None and change.after.refresh_token == "r-a")


def test_nothing_to_delete_is_nothing_to_do() -> None:
    """An unknown id comes to no change."""
    assert plan_deletion("unknown", stored()) is None
    assert plan_invalidation("unknown", None, stored(), NOW) is None
