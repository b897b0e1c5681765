"""Giving back what Redis has lost: only where nothing is known, or something older of the same record."""

from __future__ import annotations

import pytest

from zoho_token_store.change import Change, access_pointer, credential_pointers, user_entry
from zoho_token_store.codec import Codec
from zoho_token_store.commands import CommandBuilder
from zoho_token_store.commit import CommitBuilder
from zoho_token_store.keyspace import Keyspace, pointer, tombstone, write_user_pointer
from zoho_token_store.options import Options
from zoho_token_store.plan import plan_restoration
from zoho_token_store.record import Access, Bookkeeping, TokenRecord
from zoho_token_store.snapshot import Snapshot

NOW = 1_700_000_000_000
FENCE = (NOW - 60_000) * 1000
RECORD = TokenRecord(
    "ada-1",
    user_name="ada",
    client_id="client",
    client_secret="secret",
    refresh_token="refresh",
    grant_token="grant",
    redirect_url="https://example.com",
    api_domain="https://www.zohoapis.com",
    spares='["spare"]',
    rev="7",
    fence=str(FENCE),
    ops=f"{NOW - 60_000} one two",
    meta=Bookkeeping(created_ms=NOW - 90_000, refresh_fence=FENCE, old_refresh=("old",), absorbed=("ada-0",)).pack(),
    access=Access("access", NOW + 3_000_000, 3_600_000),
)


def stored(*records: TokenRecord, **strings: str) -> Snapshot:
    """Return what is stored: records with their pointers, and further strings by name."""
    pointers: dict[str, str] = {}
    for record in records:
        pointers |= dict.fromkeys(credential_pointers(record), record.id)
        if entry := user_entry(record):
            pointers[entry[0]] = write_user_pointer({entry[1]: record.id})
    snapshot = Snapshot()
    snapshot.load(pointers | strings, {record.id: record for record in records})
    return snapshot


def restored(snapshot: Snapshot, record: TokenRecord = RECORD, now_ms: int = NOW) -> TokenRecord:
    change = plan_restoration(record, snapshot, now_ms)
    assert change is not None
    assert (change.event, change.lease, change.notes) == ("restored", None, ("restored",))
    assert change.after is not None
    return change.after


class TestEmpty:
    """Redis knows nothing of the record."""

    def test_everything_is_given_back(self) -> None:
        """Every field, secrets and bookkeeping included, and the access token with its end."""
        assert restored(stored())._replace(rev=RECORD.rev) == RECORD

    def test_the_revision_is_a_new_one(self) -> None:
        """No process takes it for a revision that it has seen before the loss: those after it may differ."""
        assert int(restored(stored()).rev) >= NOW * 1000
        far = RECORD._replace(rev=str(NOW * 5000))
        assert int(restored(stored(), far).rev) > int(far.rev)

    def test_an_access_token_that_has_ended_stays_away(self) -> None:
        """The rest comes back."""
        assert restored(stored(), now_ms=NOW + 3_000_000).access is None
        assert restored(stored(), now_ms=NOW + 2_999_999).access == RECORD.access

    def test_others_do_not_matter(self) -> None:
        """A namesake under another client, and anybody else's record."""
        namesake = TokenRecord("ada-2", user_name="ada", client_id="another", refresh_token="other", rev="1", fence="1")
        assert restored(stored(namesake)).user_name == "ada"


class TestKnownOtherwise:
    """Something is stored that speaks against it."""

    @pytest.mark.parametrize("buried", ["deleted 1", f"deleted {FENCE + 1}", "merged ada-9"])
    def test_a_tombstone_of_the_id(self, buried: str) -> None:
        """Deleted or merged: not brought back, whatever the fences say, nor over an older state of it."""
        assert plan_restoration(RECORD, stored(**{tombstone("ada-1"): buried}), NOW) is None
        older = RECORD._replace(fence="1")
        assert plan_restoration(RECORD, stored(older, **{tombstone("ada-1"): buried}), NOW) is None

    @pytest.mark.parametrize("name", sorted(credential_pointers(RECORD)))
    def test_a_credential(self, name: str) -> None:
        """Another record has it by now, or it was deleted: current, spare, superseded, refresh or grant."""
        assert plan_restoration(RECORD, stored(**{name: "another"}), NOW) is None
        assert plan_restoration(RECORD, stored(**{tombstone(name): "deleted 1"}), NOW) is None

    def test_all_were_deleted(self) -> None:
        """All records were deleted since it was saved; before that, it is as if they had not been."""
        fence = int(RECORD.fence)
        assert plan_restoration(RECORD, stored(**{tombstone("*"): f"deleted {fence}"}), NOW) is None
        assert plan_restoration(RECORD, stored(**{tombstone("*"): f"deleted {fence - 1}"}), NOW)

    def test_every_credential_is_looked_at(self) -> None:
        """Those four, by name."""
        assert credential_pointers(RECORD) == {
            pointer("refresh", "refresh"), pointer("refresh", "spare"), "refresh:old", pointer("grant", "grant")
        }  # fmt: skip

    @pytest.mark.parametrize("client_id", ["client", None])
    def test_the_user(self, client_id: str | None) -> None:
        """The user has logged in anew, under the same client: that record counts."""
        record = RECORD._replace(client_id=client_id)
        anew = TokenRecord("ada-2", user_name="ada", client_id=client_id, refresh_token="new", rev="1", fence="1")
        assert plan_restoration(record, stored(anew), NOW) is None

    def test_all_of_it_is_compared(self) -> None:
        """A plan that is made from an empty view reads whatever could speak against it."""
        snapshot = Snapshot()
        plan_restoration(RECORD, snapshot, NOW)
        strings, ids = snapshot.guessed()
        names = credential_pointers(RECORD)
        buried = {*map(tombstone, names), tombstone("ada-1"), tombstone("*")}
        assert set(strings) == {*names, *buried, pointer("user", "ada")}
        assert ids == ["ada-0", "ada-1"]


class TestOlder:
    """An older state of the record is stored, from an old dump."""

    @pytest.mark.parametrize(("fence", "given_back"), [(FENCE - 1, True), (FENCE, False), (FENCE + 1, False)])
    def test_fences_decide(self, fence: int, given_back: bool) -> None:
        """Whatever the revisions say: only a state with an older fence is replaced."""
        for rev in ("1", "7", "900"):
            there = RECORD._replace(fence=str(fence), rev=rev, refresh_token="stored")
            assert (plan_restoration(RECORD, stored(there), NOW) is not None) is given_back

    def test_fences_are_numbers(self) -> None:
        """Not text."""
        assert plan_restoration(RECORD._replace(fence="9"), stored(RECORD._replace(fence="10")), NOW) is None
        assert plan_restoration(RECORD._replace(fence="10"), stored(RECORD._replace(fence="9")), NOW) is not None

    def test_it_is_replaced_as_a_whole(self) -> None:
        """Nothing of the old state remains, and the revision is newer than both."""
        for rev in ("3", "70"):
            there = TokenRecord(
                "ada-1", user_name="old", refresh_token="old", rejected="invalid_code", rev=rev, fence="5"
            )
            after = restored(stored(there))
            assert after._replace(rev=RECORD.rev) == RECORD
            assert int(after.rev) > max(7, int(rev))


class TestWritten:
    """What the commit makes of it."""

    def test_a_new_record_and_its_pointers(self) -> None:
        """It can be found in every way again, is listed, and tells the others."""
        keys, snapshot = Keyspace("n"), stored()
        change = plan_restoration(RECORD, snapshot, NOW)
        written = self._commit(keys, snapshot, change)
        for name in (*credential_pointers(RECORD), access_pointer(RECORD), pointer("user", "ada"), tombstone("ada-0")):
            assert keys.key(str(name)) in written
        for key in (keys.token("ada-1"), keys.access("ada-1"), keys.ids, keys.events):
            assert key in written

    def _commit(self, keys: Keyspace, snapshot: Snapshot, change: Change | None) -> set[str]:
        """Return the keys that a change writes."""
        assert change
        commit = CommandBuilder(keys, Codec()).build(CommitBuilder(Options(), snapshot, NOW).build([change]))
        args, position = commit.args, 1 + 3 * int(commit.args[0])
        written = set()
        while position < len(args):
            count, index = int(args[position]), int(args[position + 1])
            written.add(commit.keys[index - 1])
            position += 3 + count
        return written
