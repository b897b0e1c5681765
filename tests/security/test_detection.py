"""What an attack on a store with keys ends in: by name, as SECURITY.md lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.tokens import refreshed
from security.attacks import JUNK
from security.conftest import SETTINGS
from security.town import ADA, EVE, GRACE, PEOPLE, Town, looks, owners
from zoho_token_store import (
    AesGcmCipher,
    CorruptRecord,
    DecryptionFailed,
    RefreshRejected,
    TokenStoreError,
    UnsupportedSchema,
)
from zoho_token_store.keyring import new_key
from zoho_token_store.record import SCHEMA

MakeTown = Callable[..., Town]
WITH_KEYS = pytest.mark.parametrize("setting", ["sealed", "hidden"])
EVERY = pytest.mark.parametrize("setting", SETTINGS)


@pytest.fixture
def town(make_town: MakeTown, setting: str, namespace: str) -> Town:
    """Make a town of the setting that the test is about."""
    return make_town(setting, namespace)


class TestPointers:
    """A pointer or a redirect says where to look, and the record that is found has to say that it was meant."""

    @EVERY
    @pytest.mark.parametrize("kind", ["refresh", "grant", "access-token"])
    @pytest.mark.parametrize("thief", [EVE, GRACE], ids=["same client", "other client"])
    def test_one_that_leads_to_another_record(self, town: Town, kind: str, thief: Any) -> None:
        """It is an error that names the record, in a look-up without a client; no lease on that record stays."""
        town.attacker.raw.delete(town.attacker.keys.access(thief.id))
        town.attacker.lead(ADA, kind, thief.id)
        field = "access" if kind == "access-token" else kind
        with pytest.raises(CorruptRecord, match="pointer") as caught:
            town.open_store().find_token(ADA.token(field))
        assert caught.value.record_id == thief.id
        assert town.open_store().find_token_by_id(thief.id).get_refresh_token() == f"{thief.name}-refresh"

    @EVERY
    @pytest.mark.parametrize("use", ["find_token_by_id", "get", "delete_token", "invalidate_access_token"])
    def test_a_forged_merge(self, town: Town, use: str) -> None:
        """Neither handed out nor deleted nor changed: the other record knows nothing of it."""
        before = town.state([EVE])
        town.attacker.drop(ADA.id)
        town.attacker.bury(ADA.id, f"merged {EVE.id}")
        with pytest.raises(CorruptRecord, match="leads from it to another record") as caught:
            getattr(town.open_store(), use)(ADA.id)
        assert caught.value.record_id == ADA.id
        with pytest.raises(CorruptRecord):
            town.open_store().save_token(ADA.whole())
        assert town.state([EVE]) == before

    @EVERY
    @pytest.mark.parametrize(
        "way", [[ADA.id], ["a", "b", ADA.id], [*(f"link{number}" for number in range(50)), EVE.id]]
    )
    def test_merges_that_do_not_end(self, town: Town, way: list[str]) -> None:
        """Cycles and long chains are followed a few steps, by every method, and then are an error."""
        town.attacker.drop(ADA.id)
        for record_id, heir in zip([ADA.id, *way], way, strict=False):
            town.attacker.bury(record_id, f"merged {heir}")
        for look in ("id", "id in a token", "user", "user and client", "refresh", "grant", "everything", "get"):
            with pytest.raises(CorruptRecord, match="another record"):
                looks(ADA)[look](town.open_store())
        for change in ("delete_token", "invalidate_access_token"):
            with pytest.raises(CorruptRecord, match="another record"):
                getattr(town.open_store(), change)(ADA.id)


class TestRecords:
    """What is sealed opens in its own place alone."""

    @WITH_KEYS
    def test_one_in_the_clear(self, town: Town) -> None:
        """It is refused, and the record of whoever has the id stays unreachable rather than wrong."""
        numbers = {"schema": "1", "rev": "1", "fence": "1", "ops": "1", "meta": "{}"}
        planted = {"user_name": ADA.value("user"), "refresh_token": "eve-refresh", **numbers}
        town.attacker.put(ADA.id, (planted, b"9999999999999 3600000 eve-access"))
        for look in ("id", "user", "get"):
            with pytest.raises(DecryptionFailed, match="in the clear"):
                looks(ADA)[look](town.open_store())

    @WITH_KEYS
    def test_one_of_another_namespace(self, make_town: MakeTown, town: Town, setting: str, namespace: str) -> None:
        """A record opens in its own namespace alone, even with the same keys and the same id."""
        other = make_town(setting, f"{namespace}.other")
        town.attacker.put(ADA.id, other.attacker.keep(ADA))
        with pytest.raises(DecryptionFailed, match="written for another record"):
            town.open_store().find_token_by_id(ADA.id)

    @WITH_KEYS
    @pytest.mark.parametrize("field", ["user_name", "client_id", "redirect_url", "api_domain"])
    def test_another_owner(self, town: Town, field: str) -> None:
        """Whose a record is, and where its tokens are sent, is vouched for."""
        town.attacker.raw.hset(town.attacker.keys.token(ADA.id), field, "https://eve.example.com")
        with pytest.raises(DecryptionFailed, match="meta was changed"):
            town.open_store().find_token_by_id(ADA.id)

    @WITH_KEYS
    def test_another_client(self, town: Town) -> None:
        """The digest by which Redis tells clients apart does not let one client in with another's records."""
        keys, raw = town.attacker.keys, town.attacker.raw
        raw.hset(keys.token(ADA.id), "client", raw.hget(keys.token(GRACE.id), "client"))
        with pytest.raises(CorruptRecord, match="client"):
            town.open_store().find_token(ADA.token("id", client_id=GRACE.client_id))

    @WITH_KEYS
    def test_a_larger_expiry(self, town: Town) -> None:
        """An access token ends when it was said to end."""
        _, life, token = town.attacker.keep(ADA)[1].split(b" ", 2)
        town.attacker.raw.set(town.attacker.keys.access(ADA.id), b"9999999999999 " + life + b" " + token)
        with pytest.raises(DecryptionFailed, match="access_token was changed"):
            town.open_store().find_token_by_id(ADA.id)

    @WITH_KEYS
    def test_a_missing_key_holds_nobody_up(self, town: Town) -> None:
        """A worker that cannot open a record gives the lease back that it was given for it."""
        town.attacker.raw.delete(town.attacker.keys.access(ADA.id))
        with pytest.raises(DecryptionFailed, match="does not have the key"):
            town.open_store(cipher=AesGcmCipher([new_key()])).find_token_by_id(ADA.id)
        store = town.open_store()
        assert store.find_token_by_id(ADA.id).get_refresh_token() == "ada-refresh"
        assert store.stats()["waits"] == 0

    @EVERY
    def test_a_schema_to_come(self, town: Town) -> None:
        """It is refused as one, and a number that none can have as damage."""
        key = town.attacker.keys.token(ADA.id)
        town.attacker.raw.hset(key, "schema", SCHEMA + 1)
        with pytest.raises(UnsupportedSchema):
            town.open_store().find_token_by_id(ADA.id)
        town.attacker.raw.hset(key, "schema", b"9" * 5000)
        with pytest.raises(CorruptRecord):
            town.open_store().find_token_by_id(ADA.id)


class TestNotCovered:
    """What SECURITY.md says that no key helps against."""

    @WITH_KEYS
    def test_an_old_state_of_the_same_record(self, town: Town) -> None:
        """It is taken for the new one: it is still the same user's, and nobody else's."""
        old = town.attacker.keep(ADA)
        store = town.open_store()
        store.save_token(refreshed(store.get(ADA.id), "ada-next", refresh="ada-new-refresh"))
        town.attacker.put(ADA.id, old)
        found = town.open_store().find_token_by_id(ADA.id)
        assert (found.get_refresh_token(), owners(found)) == ("ada-refresh", {"ada"})

    @WITH_KEYS
    def test_a_deleted_record_that_is_put_back(self, town: Town) -> None:
        """Whoever kept it and can write can undo a deletion here, which is why a logout should end it at Zoho too."""
        old = town.attacker.keep(ADA)
        town.open_store().delete_token(ADA.id)
        town.attacker.put(ADA.id, old)
        assert owners(town.open_store().find_token_by_id(ADA.id)) == {"ada"}

    @WITH_KEYS
    def test_deleting(self, town: Town) -> None:
        """What is gone is not found; nobody else's takes its place."""
        town.attacker.drop(ADA.id)
        for look in ("user", "get"):
            assert looks(ADA)[look](town.open_store()) is None

    @EVERY
    def test_holding_up(self, town: Town) -> None:
        """A lease or a pause that never ends costs the wait time, and ends in an error that says so."""
        keys, raw = town.attacker.keys, town.attacker.raw
        raw.delete(keys.access(ADA.id))
        raw.hset(keys.lease(ADA.id), mapping={"owner": "eve", "fence": "1", "until_ms": "9999999999999"})
        with pytest.raises(TokenStoreError, match="no worker has refreshed"):
            town.open_store().find_token_by_id(ADA.id)
        raw.delete(keys.lease(ADA.id))
        raw.hset(keys.lease(ADA.id), mapping={"retry_ms": "9999999999999", "reason": "\x1b[2J\nsecret"})
        with pytest.raises(RefreshRejected) as caught:
            town.open_store().find_token_by_id(ADA.id)
        assert caught.value.reason == "?"


class TestListing:
    """One record, or one id, that is not in order does not hide the others."""

    @EVERY
    def test_junk_among_the_ids(self, town: Town) -> None:
        """What is no id is passed over, whatever the size of a page."""
        junk = {value: 0 for value in JUNK.values() if value}
        town.attacker.raw.zadd(town.attacker.keys.ids, {**junk, b"~" * 100_000: 0, b"\xff": 0, b"nobody": 0})
        for batch in (1, 3, 500):
            assert sorted(token.get_id() for token in town.open_store().iter_tokens(batch)) == sorted(
                person.id for person in PEOPLE
            )

    @EVERY
    def test_ids_out_of_order(self, town: Town) -> None:
        """Scores that would have a listing go round and round are an error."""
        town.attacker.raw.zadd(town.attacker.keys.ids, {"z": -3, "a": -1, "y": -2})
        with pytest.raises(CorruptRecord, match="list of records"):
            town.open_store().get_tokens()

    @EVERY
    def test_many_records_that_have_ended(self, town: Town) -> None:
        """More of them than Lua can have on its stack are forgotten a thousand at a time."""
        town.attacker.raw.zadd(town.attacker.keys.expiring, {f"id{number}": 1 for number in range(9000)})
        assert len(list(town.open_store().iter_tokens(10_000))) == 3
        assert town.attacker.raw.zcard(town.attacker.keys.expiring) == 7000  # after a page, and an empty one

    @EVERY
    def test_a_record_that_cannot_be_read(self, town: Town) -> None:
        """A listing says so; the deletion of all deletes all others first."""
        town.attacker.raw.hset(town.attacker.keys.token(ADA.id), "fence", "x")
        store = town.open_store()
        with pytest.raises(CorruptRecord):
            store.get_tokens()
        with pytest.raises(CorruptRecord) as caught:
            store.delete_tokens()
        assert caught.value.record_id == ADA.id
        assert (store.get(EVE.id), store.get(GRACE.id)) == (None, None)
        assert town.attacker.raw.exists(town.attacker.keys.token(ADA.id))
