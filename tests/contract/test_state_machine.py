"""The store against a plain-Python model: whatever a few processes do in whatever order, both say the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, multiple, rule, run_state_machine_as_test

from contract.comparison import Comparison
from contract.local import PARTITIONS
from zoho_token_store import (
    CoordinatedTokenStore,
    Memory,
    MemoryTokenStore,
    PartitionedTokenStore,
    RedisTokenStore,
    SQLiteTokenStore,
    TokenDeleted,
    TokenNotFound,
)

users = st.sampled_from([None, "ada", "grace"])
clients = st.sampled_from([None, "one", "one", "two"])
refresh_tokens = st.sampled_from([None, None, "r0", "r1", "r2", "r3", "r4", "r5", "r6"])
codes = st.sampled_from([None, None, None, "g0", "g1", "g2"])
redirects = st.sampled_from([None, None, "u0", "u1"])
# None of these ends within a second of another's margin, so that no case hangs on a rounding.
lives = st.sampled_from([None, None, 3.5, 20.5, 50.5, 3600.5])
processes = st.integers(0, 1)
endings = st.sampled_from(["refresh", "give back", "die"])


class TheStore(Comparison):
    """What two processes of a namespace do."""

    ids: Bundle[str] = Bundle("ids")
    objects: Bundle[tuple[int, Any]] = Bundle("objects")

    @rule(
        target=ids,
        process=processes,
        user=users,
        client=clients,
        refresh=refresh_tokens,
        code=codes,
        redirect=redirects,
        life=lives,
    )
    def save_something(self, process: int, user, client, refresh, code, redirect, life) -> Any:
        """Save a token of whatever fields, as an application that knows nothing of the store does."""
        self.pass_time()
        given = {"user": user, "client": client, "refresh": refresh, "grant": code, "redirect": redirect}
        given = self.with_access(given, life)
        id = self.save(process, self.a_token(given), given)
        return multiple() if id is None else id

    @rule(
        target=ids,
        process=processes,
        user=st.sampled_from(["ada", "ada", "grace"]),
        client=st.sampled_from(["one", "one", "two"]),
        life=lives,
        number=st.sampled_from([0, 1, 2, 0, 1, 2, 3, 4, 5, 6]),
    )
    def log_in(self, process: int, user: str, client, life, number: int) -> Any:
        """Save what a login gives: a user's own refresh token, sometimes one that came before."""
        self.pass_time()
        given = self.with_access({"user": user, "client": client, "refresh": f"{user}-{client}-{number}"}, life)
        id = self.save(process, self.a_token(given), given)
        return multiple() if id is None else id

    @rule(
        target=ids, process=processes, user=st.sampled_from(["ada", "grace"]), client=clients, life=lives.filter(bool)
    )
    def save_an_access_token(self, process: int, user: str, client, life) -> Any:
        """Save a token that cannot be refreshed, unless the user has one that can."""
        self.pass_time()
        given = self.with_access({"user": user, "client": client}, life)
        id = self.save(process, self.a_token(given), given)
        return multiple() if id is None else id

    @rule(process=processes, id=ids, user=users, client=clients, refresh=refresh_tokens, redirect=redirects, life=lives)
    def save_by_id(self, process: int, id: str, user, client, refresh, redirect, life) -> None:
        """Save under an id that was once given."""
        self.pass_time()
        given = {"id": id, "user": user, "client": client, "refresh": refresh, "redirect": redirect}
        given = self.with_access(given, life)
        self.save(process, self.a_token(given), given)

    @rule(
        target=objects,
        process=processes,
        user=users,
        client=clients,
        refresh=refresh_tokens,
        code=codes,
        ending=endings,
    )
    def find(self, process: int, user, client, refresh, code, ending: str) -> Any:
        """Find by whatever selectors."""
        self.pass_time()
        given = {"user": user, "client": client, "refresh": refresh, "grant": code}
        return self.looked_up(process, given, ending, lambda store: store.find_token(self.a_token(given)))

    @rule(target=objects, process=processes, pick=st.integers(0, 30), client=clients, ending=endings)
    def find_by_credential(self, process: int, pick: int, client, ending: str) -> Any:
        """Find by a credential or access token that some record has, current or superseded."""
        self.pass_time()
        held = [{"access": record.access} for record in self.model.grants if record.access]
        for record in self.model.grants:
            held += [{"refresh": token} for token in (record.refresh, *record.spares, *record.old_refresh) if token]
            held += [{"grant": code} for code in (record.grant, *record.old_grant) if code]
        if not held:
            return multiple()
        given = {"client": client, **held[pick % len(held)]}
        given |= {"client": None, "expires": self.clock()} if "access" in given else {}
        return self.looked_up(process, given, ending, lambda store: store.find_token(self.a_token(given)))

    @rule(target=objects, process=processes, user=users, client=clients, ending=endings)
    def find_by_name(self, process: int, user, client, ending: str) -> Any:
        """Find by a user name, the most common selector."""
        self.pass_time()
        given = {"user": user, "client": client}
        return self.looked_up(process, given, ending, lambda store: store.find_token(self.a_token(given)))

    @rule(target=objects, process=processes, id=ids, ending=endings)
    def find_by_id(self, process: int, id: str, ending: str) -> Any:
        """Find by an id, as the SDK does before each request."""
        self.pass_time()
        return self.looked_up(process, id, ending, lambda store: store.find_token_by_id(id))

    @rule(held=consumes(objects), redirect=redirects, refresh=refresh_tokens, life=lives)
    def save_an_object(self, held: Any, redirect, refresh, life) -> None:
        """Save an object that was handed out some time ago, with something changed."""
        self.pass_time()
        process, token, base = held
        given = dict(base)
        if redirect:
            token.set_redirect_url(redirect)
            given["redirect"] = redirect
        if refresh:
            token.set_refresh_token(refresh)
            given["refresh"] = refresh
        given = self.with_access(given, life)
        if life:
            token.set_access_token(given["access"])
            token.set_expires_in(str(int(given["expires"] * 1000)))
        # Its store may have been closed since: then the object is as good as any other with these fields.
        carried = getattr(token, "_carried", None)
        ours = carried is not None and carried.origin in self.origins(process)
        self.save(process, token, given, base if ours else None)

    def origins(self, process: int) -> list[object]:
        """Return what stands in the tokens that a process's store hands out."""
        return [self.stores[process]._origin]

    @rule(process=processes, id=ids, times=st.integers(2, 5))
    def fail(self, process: int, id: str, times: int) -> None:
        """Let the workers that refresh die one after another, until the fleet cools down and after."""
        for _ in range(times):
            self.pass_time()
            self.looked_up(process, id, "die", lambda store: store.find_token_by_id(id))

    @rule(process=processes, id=consumes(ids))
    def delete(self, process: int, id: str) -> None:
        """Delete, once or again."""
        self.pass_time()
        self.stores[process].delete_token(id)
        self.model.delete(id)
        with pytest.raises((TokenDeleted, TokenNotFound)):
            self.stores[1 - process].find_token_by_id(id)

    @rule(process=processes, id=ids, which=st.sampled_from([None, "current", "another"]))
    def invalidate(self, process: int, id: str, which: str | None) -> None:
        """Report an access token as rejected."""
        self.pass_time()
        record = self.model.by_id(id)
        access = record.access if record and which == "current" else "another" if which == "another" else None
        self.stores[process].invalidate_access_token(id, access)
        self.model.invalidate(id, access)

    @rule(seconds=st.sampled_from([1, 7, 30, 70, 1000]))
    def wait(self, seconds: int) -> None:
        """Let time pass: access tokens end, records that have nothing else too."""
        self.pass_time(seconds)


class InMemory(TheStore):
    """The same of stores that share a memory."""

    def open_place(self) -> None:
        self.memory = Memory()

    def make(self) -> CoordinatedTokenStore:
        self.made.append(MemoryTokenStore(self.memory, "crm"))
        return self.made[-1]

    def forget_claims(self) -> None:
        with self.memory.changed:
            tenures = self.memory.space("crm").tenures
            for name in [name for name in tenures if ":" in name]:
                del tenures[name]


class InSQLite(TheStore):
    """The same of stores that share a file, with keys."""

    def open_place(self) -> None:
        self.folder = TemporaryDirectory(prefix="zts-")
        self.path = Path(self.folder.name) / "tokens.db"
        self.keys = {"encryption_keys": [bytes(32)], "pointer_keys": [bytes(32), "plain"], "encrypt_identity": True}

    def make(self) -> CoordinatedTokenStore:
        self.made.append(SQLiteTokenStore(self.path, "crm", **self.keys))
        return self.made[-1]

    def forget_claims(self) -> None:
        connection = sqlite3.connect(self.path)
        connection.execute("DELETE FROM leases WHERE instr(name, ':')")
        connection.commit()
        connection.close()

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


class InPartitions(InMemory):
    """The same of partitions that share a memory, of all that one partition decides: docs/design.md.

    What has neither a client nor the id of a record that has one is looked up, and not saved: the model merges a record
    without a client with one that has one. Nor does anybody come with a credential that a token of another client has,
    which Zoho never gives.
    """

    def make(self) -> Any:
        partitions = [MemoryTokenStore(self.memory, f"crm.{number}") for number in range(PARTITIONS)]
        self.made.append(PartitionedTokenStore(partitions))
        return self.made[-1]

    def save(self, process: int, token: Any, given: dict[str, Any], base: dict[str, Any] | None = None) -> str | None:
        owner = self.model.by_id(given["id"]) if given.get("id") else None
        client = owner.client if owner else given.get("client")
        if (base is None and client is None) or self.is_of_another(client, given):
            return None
        return super().save(process, token, given, base)

    def looked_up(self, process: int, by: Any, ending: str, ask: Callable[[RedisTokenStore], Any]) -> Any:
        if isinstance(by, dict) and by.get("client") is not None and self.is_of_another(by["client"], by):
            return multiple()
        return super().looked_up(process, by, ending, ask)

    def is_of_another(self, client: str | None, given: dict[str, Any]) -> bool:
        """Return whether a record of another client has a credential of this one."""
        holders = [self.model.by_credential(kind, given.get(kind)) for kind in ("grant", "refresh")]
        return any(holder.client != client for holder in holders if holder)

    def origins(self, process: int) -> list[object]:
        return [partition._origin for partition in self.stores[process].stores]

    def forget_claims(self) -> None:
        with self.memory.changed:
            for number in range(PARTITIONS):
                tenures = self.memory.space(f"crm.{number}").tenures
                for name in [name for name in tenures if ":" in name]:
                    del tenures[name]


SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


@pytest.mark.parametrize("machine", [TheStore, InMemory, InPartitions, InSQLite])
def test_the_store_is_its_model(machine: type[TheStore]) -> None:
    """Sixty runs of up to thirty steps, the same each time."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=SLOW,
        ),
    )


@pytest.mark.soak
@pytest.mark.parametrize("machine", [TheStore, InMemory, InPartitions, InSQLite])
def test_the_store_is_its_model_at_length(machine: type[TheStore]) -> None:
    """Two thousand runs, others each time."""
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=2000, stateful_step_count=50, deadline=None, suppress_health_check=SLOW),
    )
