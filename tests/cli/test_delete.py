"""``delete``, ``purge``, ``invalidate`` and ``revoke``: what ends tokens, and how many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from cli.desk import Desk
from contract.tokens import by_user, make_token
from servers import Server
from zoho_token_store import RedisTokenStore, TokenDeleted
from zoho_token_store.cli import delete
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.testing import FakeZoho


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """Run a stand-in."""
    with FakeZoho() as server:
        yield server


def log_in(desk: Desk, zoho: FakeZoho, user: str = "ada") -> tuple[str, str]:
    """Store a token whose refresh token Zoho knows; return its id and the refresh token."""
    refresh = zoho.issue_refresh_token()
    [record_id] = desk.save(
        user, refresh=refresh, access="at-of-x", client_id=zoho.client_id, secret=zoho.client_secret
    )
    return record_id, refresh


class TestDelete:
    """One token."""

    def test_it_is_gone_for_good(self, desk: Desk) -> None:
        """Whoever still asks is told so; the others stay, and a second time there is none."""
        ada, grace = desk.save("ada", "grace")
        done = desk.run("delete", ada)
        assert (done.returncode, done.stderr) == (0, "")
        assert "at Zoho it lives on" in done.stdout
        assert desk.ids() == {grace}
        with desk.store() as store, pytest.raises(TokenDeleted):
            store.find_token_by_id(ada)
        again = desk.run("delete", ada)
        assert (again.returncode, again.stdout) == (1, "")
        assert "no token under this id" in again.stderr

    def test_it_can_be_quiet(self, desk: Desk) -> None:
        """In front and behind."""
        ada, grace = desk.save("ada", "grace")
        assert desk.run("--quiet", "delete", ada).stdout == desk.run("delete", "--quiet", grace).stdout == ""
        assert desk.ids() == set()

    def test_an_id_that_is_none(self, desk: Desk) -> None:
        """Status 2."""
        desk.save("ada")
        assert desk.run("delete", "a b").returncode == 2


class TestUnreadable:
    """What cannot be read is deleted by those alone who say so."""

    DAMAGE: ClassVar = {
        "a list that is none": {"spares": "{['"},
        "bookkeeping that is none": {"meta": "no json"},
        "a number that is none": {"fence": "x"},
        "no revision that can be compared": {"rev": "\xff"},
        "another release": {"schema": "99"},
        "another's key": {"meta": "sealed.no-such-key.x", "schema": "2"},
    }

    @pytest.mark.parametrize("damage", list(DAMAGE))
    def test_it_goes_with_its_keys_and_nothing_else(self, redis_desk: Desk, real_server: Server, damage: str) -> None:
        """After a question; what has led to it leads nowhere, and an audit has nothing else to clear away."""
        broken, other = redis_desk.save("ada", access="at-of-ada")[0], redis_desk.save("grace")[0]
        keys = Keyspace(redis_desk.namespace)
        with real_server.client(decode_responses=True) as client:
            client.hset(keys.token(broken), mapping=self.DAMAGE[damage])
            before = {*client.keys(keys.pattern)}
            left = redis_desk.run("delete", broken)
            assert (left.returncode, left.stdout) == (1, "")
            assert broken in left.stderr
            assert "--unreadable" in left.stderr
            assert redis_desk.run("delete", broken, "--unreadable", answer="n\n").returncode == 1
            assert {*client.keys(keys.pattern)} == before
            done = redis_desk.run("delete", broken, "--unreadable", answer="y\n")
            assert done.returncode == 0, done.stderr
            assert "at Zoho it lives on" in done.stdout
            gone = before - {*client.keys(keys.pattern)}
            assert {keys.token(broken), keys.access(broken)} <= gone
            assert damage == "another release" or len(gone) == 2
            assert client.zrange(keys.ids, 0, -1) == [other]
        assert redis_desk.run("delete", broken, "--unreadable").returncode == 1
        audit = redis_desk.run("audit", "--repair", "--json")
        assert json.loads(audit.stdout)["found"].keys() <= {"dangling"}
        with redis_desk.store() as store:
            with pytest.raises(TokenDeleted):
                store.find_token_by_id(broken)
            store.save_token(make_token("ada", refresh="rt-of-new"))
            assert store.find_token(by_user("ada")).get_refresh_token() == "rt-of-new"

    @pytest.mark.parametrize("type", ["hash", "string"])
    def test_what_lies_in_the_place_of_a_record_goes_too(
        self, redis_desk: Desk, real_server: Server, type: str
    ) -> None:
        """A hash without a revision, and a key of another type."""
        [broken] = redis_desk.save("ada", access="at-of-x")
        key = Keyspace(redis_desk.namespace).token(broken)
        with real_server.client() as client:
            client.delete(key)
            if type == "hash":
                client.hset(key, "region", "eu")
            else:
                client.set(key, "x")
            assert redis_desk.run("delete", broken, "--yes").returncode == (1 if type == "hash" else 4)
            assert client.exists(key)
            assert redis_desk.run("delete", broken, "--yes", "--unreadable").returncode == 0
            assert not client.exists(key)

    def test_one_that_can_be_read_is_deleted_as_ever(self, desk: Desk) -> None:
        """Without a question, and with all that leads to it."""
        ada, grace = desk.save("ada", "grace")
        done = desk.run("delete", ada, "--unreadable")
        assert (done.returncode, done.stderr) == (0, "")
        assert desk.ids() == {grace}

    def test_what_a_worker_has_written_meanwhile_is_left(
        self, redis_desk: Desk, real_server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The record that is removed is the one that could not be read."""
        [broken] = redis_desk.save("ada")
        key = Keyspace(redis_desk.namespace).token(broken)
        with real_server.client() as client, redis_desk.store() as store:
            client.hset(key, "schema", "x")
            unread = store._repository.unread
            revisions = iter((unread(broken),))

            def late(record_id: str) -> Any:
                seen = next(revisions, None) or unread(record_id)
                client.hset(key, mapping={"rev": "77", "fence": "y"})
                return seen

            monkeypatch.setattr(store._repository, "unread", late)
            assert store.delete_unreadable(broken)
            assert not client.exists(key)
            assert next(revisions, None) is None


class TestPurge:
    """Many tokens."""

    @pytest.mark.parametrize(
        ("conditions", "left"),
        [
            (["--all"], set()),
            (["--expired"], {"ada", "grace"}),
            (["--user", "ada"], {"grace", "idle", "old"}),
            (["--client", "1000.TWO"], {"ada", "grace", "idle"}),
            (["--expired", "--client", "1000.ONE"], {"ada", "grace", "old"}),
        ],
    )
    def test_what_is_meant_goes(self, desk: Desk, conditions: list[str], left: set[str]) -> None:
        """All conditions must hold; it says how many, and everything else stays."""
        desk.save("ada", "grace", access="at-of-x")
        desk.save("idle")
        desk.save("old", client_id="1000.TWO")
        done = desk.run("purge", *conditions, "--yes", "--json")
        with desk.store() as store:
            assert {token.get_user_signature().get_name() for token in store.iter_tokens()} == left
        assert (done.returncode, json.loads(done.stdout)) == (0, {"deleted": 4 - len(left)})

    def test_what_is_meant_must_be_said(self, desk: Desk) -> None:
        """Nothing is deleted by a command that forgot to say what."""
        desk.save("ada")
        for conditions in ([], ["--all", "--expired"], ["--all", "--user", "ada"]):
            assert desk.run("purge", "--yes", *conditions).returncode == 2
        assert len(desk.ids()) == 1

    def test_it_asks(self, redis_desk: Desk) -> None:
        """How many they are, and how many of these live on; no deletes nothing."""
        redis_desk.save("ada", "grace")
        redis_desk.save("fleeting", refresh=None, access="at-of-x")
        for answer, status, left in (("n", 1, 3), ("y", 0, 0)):
            terminal = redis_desk.terminal("purge", "--all")
            terminal.wait_for("2 of them can still be refreshed and live on at Zoho. Delete 3 tokens?")
            assert len(redis_desk.ids()) == 3
            terminal.type(answer)
            assert terminal.end() == status
            assert len(redis_desk.ids()) == left
        assert "3 tokens deleted" in terminal.screen
        assert "3/3" in terminal.screen

    def test_without_an_answer_nothing_is_deleted(self, desk: Desk) -> None:
        """As in a script."""
        desk.save("ada")
        assert desk.run("purge", "--all").returncode == 1
        assert len(desk.ids()) == 1
        assert desk.run("purge", "--all", answer="y\n").stdout.endswith("1 token deleted\n")

    def test_where_there_is_nothing(self, desk: Desk) -> None:
        """It asks nothing."""
        [ada] = desk.save("ada")
        desk.run("delete", ada)
        done = desk.run("purge", "--all")
        assert (done.returncode, done.stdout, done.stderr) == (0, "0 tokens deleted\n", "")

    def test_a_token_that_was_refreshed_since_is_left(self, redis_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between the list and its turn."""
        redis_desk.save("ada", "grace")
        with RedisTokenStore.from_url(redis_desk.url, redis_desk.namespace) as store:
            refreshed = store.find_token(make_token("grace", secret=None))
            refreshed.set_access_token("at-of-grace")
            refreshed.set_expires_in("9999999999999")
            listed = [delete.view(token) for token in store.get_tokens()]
            store.save_token(refreshed)
            monkeypatch.setattr(delete.Selection, "of", lambda *_: iter(listed))
            selection = delete.Selection(states=delete.ENDED)
            assert delete._delete(store, selection, delete.Unreadable(), None, True) == 1
            assert [token.get_id() for token in store.get_tokens()] == [refreshed.get_id()]

    def test_more_than_a_page(self, redis_desk: Desk) -> None:
        """All of them, though they are listed while they go."""
        redis_desk.save(*(f"user{number}" for number in range(1203)))
        assert redis_desk.run("purge", "--all", "--yes").stdout == "1,203 tokens deleted\n"
        assert redis_desk.ids() == set()

    def test_a_record_that_cannot_be_read_is_left(self, redis_desk: Desk, real_server) -> None:
        """It is named, the others go, and the status says that one is left."""
        broken, _ = redis_desk.save("ada", "grace")
        with real_server.client() as client:
            client.hset(Keyspace(redis_desk.namespace).token(broken), "fence", "x")
        done = redis_desk.run("purge", "--all", "--yes")
        assert (done.returncode, done.stdout) == (1, "1 token deleted\n")
        assert broken in done.stderr

    def test_one_that_cannot_be_deleted_is_left(self, redis_desk: Desk, real_server: Server) -> None:
        """It could be listed. It is named, the rest goes on, and how many are deleted is said."""
        ids = sorted(redis_desk.save("ada", "grace", "eve"))
        with real_server.client() as client:
            client.hset(Keyspace(redis_desk.namespace).token(ids[1]), "spares", "{['")
        done = redis_desk.run("purge", "--all", "--yes", "--json")
        assert (done.returncode, json.loads(done.stdout)) == (1, {"deleted": 2})
        assert f"record {ids[1]} cannot be read" in done.stderr
        assert redis_desk.ids() == {ids[1]}

    def test_one_of_a_users_that_cannot_be_read_is_left(self, redis_desk: Desk, real_server: Server) -> None:
        """The user's others go."""
        [broken] = redis_desk.save("ada")
        redis_desk.save("ada", client_id="1000.TWO", refresh="rt-of-two")
        with real_server.client() as client:
            client.hset(Keyspace(redis_desk.namespace).token(broken), "fence", "x")
        done = redis_desk.run("purge", "--user", "ada", "--yes", "--json")
        assert (done.returncode, json.loads(done.stdout)) == (1, {"deleted": 1})
        assert broken in done.stderr
        assert redis_desk.run("list").stdout == ""


class TestInvalidate:
    """The access token alone."""

    def test_the_next_look_up_refreshes(self, desk: Desk) -> None:
        """It is gone, the token stays; without one there is nothing to do, and that is said."""
        [ada] = desk.save("ada", access="at-of-ada")
        for said in ("is dropped", "there is no access token to drop"):
            done = desk.run("invalidate", ada)
            assert (done.returncode, said in done.stdout) == (0, True), done.stdout
        with desk.store() as store:
            assert store.find_token_by_id(ada).get_access_token() is None
            assert store.stats()["leases"] == 1

    def test_there_must_be_one(self, desk: Desk) -> None:
        """Status 1."""
        desk.save("ada")
        assert desk.run("invalidate", "never-seen").returncode == 1


class TestRevoke:
    """Both halves."""

    def test_it_ends_at_zoho_and_here(self, desk: Desk, zoho: FakeZoho) -> None:
        """And a second time there is none."""
        ada, refresh = log_in(desk, zoho)
        places = ("--accounts-url", zoho.url, "--crm-url", zoho.url)
        done = desk.run("revoke", ada, *places)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ended at Zoho, and deleted here\n", "")
        assert desk.ids() == set()
        assert refresh not in zoho.accounts._refresh
        assert desk.run("revoke", ada, *places).returncode == 1

    def test_it_says_which_half_has_failed(self, desk: Desk, zoho: FakeZoho) -> None:
        """Deleted here, alive at Zoho; for programs too."""
        ada, refresh = log_in(desk, zoho)
        zoho.faults.fail_next(times=None, status=503)
        done = desk.run("revoke", ada, "--json", "--accounts-url", zoho.url, "--crm-url", zoho.url)
        assert done.returncode == 1
        assert json.loads(done.stdout) == {"id": ada, "deleted": True, "revoked": False}
        assert "deleted here, but Zoho has not ended it" in done.stderr
        assert done.stderr.count("HTTP 503") == 1
        assert refresh in zoho.accounts._refresh
        assert desk.ids() == set()

    def test_without_an_accounts_server_nothing_is_done(self, desk: Desk, zoho: FakeZoho) -> None:
        """Status 2, and what to give."""
        ada, _ = log_in(desk, zoho)
        done = desk.run("revoke", ada)
        assert done.returncode == 2
        assert "accounts server" in done.stderr
        assert desk.ids() == {ada}


def test_no_progress_is_drawn_if_it_shall_be_quiet(redis_desk: Desk) -> None:
    """Only how many there were."""
    redis_desk.save("ada", "grace")
    terminal = redis_desk.terminal("purge", "--all", "--yes", "--quiet")
    assert terminal.end() == 0
    assert terminal.screen == "2 tokens deleted\r\n"
