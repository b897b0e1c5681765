"""The option ``hooks``: what is told of each operation, once, and that no hook can disturb a caller."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from conftest import backends
from contract.conftest import LOCALS, make_backend
from contract.local import LocalPlace
from contract.test_managed import environment_of
from contract.tokens import make_token, refreshed
from proxy import FaultyProxy
from servers import WITH_ACL, Backend, Server, ServerPool, newest_binary
from zoho_token_store import (
    CoordinatedTokenStore,
    RedisTokenStore,
    RefreshRejected,
    RefreshThrottled,
    RefreshTimeout,
    StoreUnavailable,
    TokenDeleted,
    TokenNotFound,
)
from zoho_token_store.details import ALL, DEGRADED
from zoho_token_store.hooked import Kinds, kinds
from zoho_token_store.hooks import Hooks
from zoho_token_store.instrumentation import (
    DegradedDetails,
    DeletedDetails,
    Details,
    FencedDetails,
    FoundDetails,
    LoggingHook,
    Operation,
    RefreshedDetails,
    RefreshFailedDetails,
    SavedDetails,
    WaitedDetails,
)
from zoho_token_store.near import Near
from zoho_token_store.stats import NAMES
from zoho_token_store.testing import FakeZoho

MakeStore = Callable[..., CoordinatedTokenStore]
WaitFor = Callable[[Callable[[], Any]], Any]

# What is told depends on the store and not on the server.
PLACES = [*backends(("fakeredis", 2), (newest_binary().name + WITH_ACL, 3)), *LOCALS]


@pytest.fixture(params=PLACES)
def backend(
    request: pytest.FixtureRequest, server_pool: ServerPool, namespace: str, tmp_path: Path
) -> Iterator[Backend | LocalPlace]:
    """Give fakeredis, the newest server under the workers' ACL, and the stores that need no server."""
    with make_backend(request, server_pool, namespace, tmp_path) as made:
        yield made


class Recorder:
    """A hook of every kind that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.counts: dict[str, int] = {}
        self.spans: list[tuple[str, Operation, str | None]] = []

    def __call__(self, details: Details) -> None:
        """Keep it."""
        self.told.append(details)

    def count(self, namespace: str, name: str, by: int) -> None:
        """Add it up."""
        self.counts[name] = self.counts.get(name, 0) + by

    @contextmanager
    def span(self, operation: Operation) -> Iterator[None]:
        """Keep begin and end."""
        self.spans.append(("begin", operation, None))
        error = None
        try:
            yield
        except BaseException as caught:
            error = type(caught).__name__
            raise
        finally:
            self.spans.append(("end", operation, error))

    def of(self, kind: type[Details]) -> list[Any]:
        """Return what was told of one kind."""
        return [details for details in self.told if type(details) is kind]

    def outcomes(self, kind: type[Details]) -> list[str]:
        """Return the outcomes of one kind."""
        return [details.outcome for details in self.of(kind)]


def namespaces(store: Any, namespace: str) -> list[str]:
    """Return the namespaces that a store may tell of: its own, or that of each of its partitions."""
    stores = getattr(store, "stores", None)
    return [f"{namespace}.{number}" for number in range(len(stores))] if stores else [namespace]


class Broken:
    """A hook of every kind, none of which works."""

    def __call__(self, details: Details) -> None:
        """Fail."""
        raise RuntimeError("the hook is broken")

    def count(self, namespace: str, name: str, by: int) -> None:
        """Fail."""
        raise RuntimeError("the hook is broken")

    @contextmanager
    def span(self, operation: Operation) -> Iterator[None]:
        """Fail at the end, having swallowed what the operation has raised."""
        try:
            yield
        except Exception:
            raise RuntimeError("the hook is broken") from None
        raise RuntimeError("the hook is broken")


class Swallowing(Recorder):
    """A hook whose spans let no error through."""

    @contextmanager
    def span(self, operation: Operation) -> Iterator[None]:
        """Swallow it."""
        try:
            yield
        except Exception:
            return


@pytest.fixture
def recorder() -> Recorder:
    """Return a hook that keeps what it is told."""
    return Recorder()


@pytest.fixture
def store(make_store: MakeStore, recorder: Recorder) -> CoordinatedTokenStore:
    """Return a store that has it."""
    return make_store(hooks=[recorder])


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """Run a stand-in whose access tokens live an hour."""
    with FakeZoho() as server:
        yield server


@pytest.fixture
def managed(make_store: MakeStore, recorder: Recorder, zoho: FakeZoho, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a store that refreshes by itself."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return make_store(refresh="managed", environment=environment_of(zoho), hooks=[recorder])


def log_in(store: CoordinatedTokenStore, zoho: FakeZoho) -> str:
    """Store a refresh token that Zoho knows, without an access token; return the record's id."""
    token = make_token("ada", client_id=zoho.client_id, secret=zoho.client_secret, refresh=zoho.issue_refresh_token())
    store.save_token(token)
    return str(token.get_id())


class TestDetails:
    """What is told."""

    def test_a_refresh_by_the_sdk(self, store: CoordinatedTokenStore, recorder: Recorder, namespace: str) -> None:
        """A save, an election, the save of the refresh, a look-up, a deletion: each is told once, in this order."""
        token = make_token("ada", refresh="rt", access="at", left=5)
        store.save_token(token)
        store.save_token(refreshed(store.find_token_by_id(token.get_id()), "at2"))
        store.find_token_by_id(token.get_id())
        store.delete_token(token.get_id())
        said = [(type(details), details.record_id, details.outcome) for details in recorder.told]
        record_id = token.get_id()
        assert said == [
            (SavedDetails, record_id, "stored"),
            (FoundDetails, record_id, "leased"),
            (SavedDetails, record_id, "stored"),
            (RefreshedDetails, record_id, "refreshed"),
            (FoundDetails, record_id, "fresh"),
            (DeletedDetails, record_id, "deleted"),
        ]
        assert len({details.namespace for details in recorder.told}) == 1
        assert recorder.told[0].namespace in namespaces(store, namespace)
        assert all(0 <= details.seconds < 10 for details in recorder.told if not isinstance(details, DeletedDetails))

    def test_what_is_not_found(self, store: CoordinatedTokenStore, recorder: Recorder) -> None:
        """Neither is an error in the caller's sense forgotten, nor a None."""
        token = make_token("ada", refresh="rt", access="at")
        store.save_token(token)
        store.delete_token(token.get_id())
        with pytest.raises(TokenNotFound):
            store.find_token_by_id("unknown")
        with pytest.raises(TokenDeleted):
            store.find_token_by_id(token.get_id())
        assert store.find_token(make_token("bob", refresh=None)) is None
        assert store.find_token(make_token(grant="gt")) is None
        assert recorder.outcomes(FoundDetails) == ["TokenNotFound", "TokenDeleted", "missing", "leased"]
        with pytest.raises(TokenDeleted):
            store.save_token(token)
        assert recorder.outcomes(SavedDetails) == ["stored", "TokenDeleted"]

    def test_a_late_save(self, store: CoordinatedTokenStore, make_store: MakeStore, recorder: Recorder) -> None:
        """Whoever saves after its lease has passed on is told of as rejected by the fence, and as nothing else."""
        token = make_token("ada", refresh="rt", access="at", left=5)
        other = make_store()
        other.save_token(token)
        slow = make_store(lease_ttl=0.1, hooks=[recorder])
        late = slow.find_token_by_id(token.get_id())
        other.save_token(refreshed(store.find_token_by_id(token.get_id()), "at2"))
        recorder.told.clear()
        slow.save_token(refreshed(late, "at3"))
        assert [type(details) for details in recorder.told] == [FencedDetails]
        assert recorder.of(FencedDetails)[0].record_id == token.get_id()

    def test_a_wait(
        self, store: CoordinatedTokenStore, make_store: MakeStore, recorder: Recorder, wait_for: WaitFor
    ) -> None:
        """Who waits for another worker is told of with how long it waited; so is who waits in vain."""
        token = make_token("ada", refresh="rt", access="at", left=5)
        other = make_store()
        other.save_token(token)
        elected = other.find_token_by_id(token.get_id())
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(store.find_token_by_id, token.get_id())
            wait_for(lambda: store.stats()["waits"])
            other.save_token(refreshed(elected, "at2"))
            assert waiting.result().get_access_token() == "at2"
        (waited,) = recorder.of(WaitedDetails)
        assert (waited.record_id, waited.outcome) == (token.get_id(), "fresh")
        assert [(moment, operation.name) for moment, operation, _ in recorder.spans] == [
            ("begin", "wait"),
            ("end", "wait"),
        ]
        (found,) = recorder.of(FoundDetails)
        assert found.seconds >= waited.seconds

    def test_a_wait_in_vain(self, make_store: MakeStore, recorder: Recorder) -> None:
        """The error's name is the outcome, and the span ends with it."""
        token = make_token("ada", refresh="rt", access="at", left=5)
        other = make_store()
        other.save_token(token)
        assert other.find_token_by_id(token.get_id()).get_access_token() is None
        impatient = make_store(lease_ttl=0.1, wait_timeout=0.2, hooks=[recorder])
        with pytest.raises(RefreshTimeout):
            impatient.find_token_by_id(token.get_id())
        assert recorder.outcomes(WaitedDetails) == recorder.outcomes(FoundDetails) == ["RefreshTimeout"]
        assert [error for _, _, error in recorder.spans] == [None, "RefreshTimeout"]

    def test_a_managed_refresh(self, managed: CoordinatedTokenStore, recorder: Recorder, zoho: FakeZoho) -> None:
        """One refresh, around the save that belongs to it."""
        record_id = log_in(managed, zoho)
        recorder.told.clear()
        recorder.spans.clear()
        assert managed.find_token_by_id(record_id).get_access_token()
        kinds_told = [type(details) for details in recorder.told]
        assert kinds_told == [FoundDetails, SavedDetails, RefreshedDetails]
        assert [(moment, operation.name, operation.record_id) for moment, operation, _ in recorder.spans] == [
            ("begin", "refresh", record_id),
            ("begin", "save", record_id),
            ("end", "save", record_id),
            ("end", "refresh", record_id),
        ]

    def test_managed_refreshes_that_fail(
        self, managed: CoordinatedTokenStore, recorder: Recorder, zoho: FakeZoho
    ) -> None:
        """A throttled one and one that is refused for good, by the errors that the callers get."""
        record_id = log_in(managed, zoho)
        zoho.faults.fail_next(status=400, body='{"error": "Access Denied", "error_description": "too many requests"}')
        with pytest.raises(RefreshThrottled):
            managed.find_token_by_id(record_id)
        token = make_token("bob", client_id=zoho.client_id, secret=zoho.client_secret, refresh="1000.unknown.token")
        managed.save_token(token)
        with pytest.raises(RefreshRejected):
            managed.find_token_by_id(token.get_id())
        failed = [(details.record_id, details.outcome) for details in recorder.of(RefreshFailedDetails)]
        assert failed == [(record_id, "RefreshThrottled"), (token.get_id(), "RefreshRejected")]
        assert recorder.of(RefreshedDetails) == []

    def test_a_revocation(self, managed: CoordinatedTokenStore, recorder: Recorder, zoho: FakeZoho) -> None:
        """A deletion that Zoho knows of says so."""
        record_id = log_in(managed, zoho)
        assert managed.revoke(record_id)
        assert [(told.record_id, told.outcome) for told in recorder.of(DeletedDetails)] == [(record_id, "revoked")]

    def test_details_are_frozen_and_say_no_secret(self, store: CoordinatedTokenStore, recorder: Recorder) -> None:
        """No field can be set, and none of what is told holds a token, a secret or a user name."""
        token = make_token("ada@secret", secret="cs-secret", refresh="rt-secret", grant="gt-secret", access="at-secret")
        store.save_token(token)
        store.find_token(make_token("ada@secret", refresh="rt-secret"))
        store.find_token(make_token(grant="another-secret"))
        store.delete_token(token.get_id())
        assert "secret" not in f"{recorder.told} {recorder.spans}"
        for details in recorder.told:
            for field in fields(details):
                with pytest.raises(FrozenInstanceError):
                    setattr(details, field.name, "changed")


class TestCounters:
    """The counters are told as they are counted."""

    def test_they_are_those_of_stats(self, store: CoordinatedTokenStore, recorder: Recorder) -> None:
        """Added up they are what ``stats()`` says; nothing is counted in two ways."""
        token = make_token("ada", refresh="rt", access="at", left=5)
        store.save_token(token)
        store.save_token(refreshed(store.find_token_by_id(token.get_id()), "at2"))
        store.invalidate_access_token(token.get_id())
        store.find_token_by_id(token.get_id())
        store.delete_token(token.get_id())
        assert recorder.counts == {name: count for name, count in store.stats().items() if count}

    @pytest.mark.redis
    def test_hits_of_the_near_cache(self, make_store: MakeStore, recorder: Recorder, wait_for: WaitFor) -> None:
        """They are told all together, later, and no more than there were."""
        store = make_store(near_cache=True, hooks=[recorder])
        token = make_token("ada", refresh="rt", access="at")
        store.save_token(token)
        wait_for(lambda: store.find_token_by_id(token.get_id()) and store.stats()["near_hits"])
        told = len(recorder.of(FoundDetails))
        for _ in range(100):
            store.find_token_by_id(token.get_id())
        assert len(recorder.of(FoundDetails)) == told
        wait_for(lambda: recorder.counts.get("near_hits") == store.stats()["near_hits"])
        store.close()
        assert recorder.counts["near_hits"] == store.stats()["near_hits"] > 100
        assert recorder.of(DegradedDetails) == []


class TestDegraded:
    """What speaks of trouble."""

    def test_an_outage(self, real_server: Server, recorder: Recorder, namespace: str, wait_for: WaitFor) -> None:
        """Redis is away: each kind of trouble is told, and how often; a kept save is told again when it is stored."""
        with FaultyProxy(real_server.socket_path) as proxy:
            client = proxy.client()
            options: dict[str, Any] = {"operation_timeout": 1.0, "near_cache": True, "hooks": [recorder]}
            with RedisTokenStore(client, namespace, **options) as store:
                token = make_token("ada", refresh="rt", access="at")
                store.save_token(token)
                wait_for(lambda: store.find_token_by_id(token.get_id()) and store.stats()["near_hits"])
                proxy.black_hole = True
                with pytest.raises(StoreUnavailable):
                    store.save_token(refreshed(token, "at2"))
                assert recorder.outcomes(SavedDetails)[-1] == "StoreUnavailable"
                trouble = recorder.outcomes(DegradedDetails)
                assert {"unavailable", "saves_kept"} <= set(trouble) <= set(DEGRADED)
                proxy.disarm()
                wait_for(lambda: recorder.outcomes(SavedDetails)[-1] == "stored")
            client.close()
        assert all(details.times >= 1 for details in recorder.of(DegradedDetails))

    def test_every_kind_of_trouble_is_a_counter(self) -> None:
        """What is told as degraded can be looked up in ``stats()``."""
        assert set(DEGRADED) <= set(NAMES)


class TestBrokenHooks:
    """A hook that fails is its author's trouble."""

    def test_no_caller_hears_of_it(
        self, make_store: MakeStore, recorder: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Every operation goes on, the other hooks are told, and one record of the log says what is wrong."""
        store = make_store(hooks=[Broken(), recorder])
        token = make_token("ada", refresh="rt", access="at", left=5)
        store.save_token(token)
        store.save_token(refreshed(store.find_token_by_id(token.get_id()), "at2"))
        assert store.find_token_by_id(token.get_id()).get_access_token() == "at2"
        with pytest.raises(TokenNotFound):
            store.find_token_by_id("unknown")
        store.delete_token(token.get_id())
        with pytest.raises(TokenDeleted):
            store.save_token(token)
        assert {type(details) for details in recorder.told} >= {SavedDetails, FoundDetails, DeletedDetails}
        said = [record.getMessage() for record in caplog.records if "hook" in record.getMessage()]
        assert set(said) == {"the hook Broken has failed; this is said once"}
        assert len(said) <= len(namespaces(store, "any"))

    def test_a_span_swallows_nothing(self, make_store: MakeStore) -> None:
        """Whatever a hook's context does with an error, the caller gets it."""
        store = make_store(hooks=[Swallowing(), Broken()])
        token = make_token("ada", refresh="rt", access="at")
        store.save_token(token)
        store.delete_token(token.get_id())
        with pytest.raises(TokenDeleted):
            store.save_token(token)

    def test_an_interrupt_goes_on(self, make_store: MakeStore, recorder: Recorder) -> None:
        """What is no error, such as an interrupt from the keyboard, is not held up."""

        def interrupt(details: Details) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make_store(hooks=[interrupt]).save_token(make_token("ada", refresh="rt", access="at"))


class TestWithoutHooks:
    """What is not used costs nothing."""

    @pytest.mark.redis
    def test_the_store_is_made_of_the_parts_themselves(self, make_store: MakeStore) -> None:
        """Nothing stands between, so that there is nothing to measure: the same classes as ever."""
        assert kinds(Hooks()) == Kinds()
        parts = make_store(near_cache=True)._parts
        assert type(parts.finder) is Kinds().finder
        assert type(parts.saver) is Kinds().saver
        assert type(parts.transactions) is Kinds().transactions
        assert parts.shortcut is not None
        assert type(parts.shortcut._near) is Near

    @pytest.mark.redis
    def test_the_near_caches_look_up_is_the_same_with_them(self, make_store: MakeStore, recorder: Recorder) -> None:
        """The method that answers before every request is not another."""
        parts = make_store(near_cache=True, hooks=[recorder])._parts
        assert parts.shortcut is not None
        assert parts.shortcut.find.__func__ is Near.find  # type: ignore[attr-defined]


class TestLogging:
    """The hook that logs."""

    def test_levels_and_attributes(
        self, make_store: MakeStore, caplog: pytest.LogCaptureFixture, namespace: str
    ) -> None:
        """Text for people and a dictionary for machines; what is frequent is at DEBUG, a deletion at INFO."""
        caplog.set_level(logging.DEBUG, "zoho_token_store.hooks")
        store = make_store(hooks=[LoggingHook()])
        token = make_token("ada", refresh="rt", access="at")
        store.save_token(token)
        store.delete_token(token.get_id())
        records = [record for record in caplog.records if record.name == "zoho_token_store.hooks"]
        assert [record.levelno for record in records] == [logging.DEBUG, logging.INFO]
        record_id = token.get_id()
        where = vars(records[1])["token_store"]["namespace"]
        assert where in namespaces(store, namespace)
        assert records[1].getMessage() == f"deleted: namespace={where} record_id={record_id} outcome=deleted"
        said = {"event": "deleted", "namespace": where, "record_id": record_id, "outcome": "deleted"}
        assert vars(records[1])["token_store"] == said

    def test_what_nobody_logs_is_not_made(self, make_store: MakeStore, caplog: pytest.LogCaptureFixture) -> None:
        """A level that is off costs no text, and another logger may be chosen."""
        caplog.set_level(logging.INFO, "mine")
        store = make_store(hooks=[LoggingHook(logging.getLogger("mine"))])
        store.save_token(make_token("ada", refresh="rt", access="at"))
        assert [record for record in caplog.records if record.name == "mine"] == []


def test_every_kind_has_a_name_of_its_own() -> None:
    """Eight kinds, eight events, each documented field by field."""
    assert len({kind.event for kind in ALL}) == len(ALL) == 8
    for kind in ALL:
        assert all(f"{field.name}: " in (kind.__doc__ or "") for field in fields(kind) if field.name != "namespace")


def test_hooks_are_told_in_the_thread_of_the_caller(make_store: MakeStore) -> None:
    """So a request's context, such as a trace, is at hand."""
    threads: list[str] = []
    store = make_store(hooks=[lambda details: threads.append(threading.current_thread().name)])
    with ThreadPoolExecutor(1, thread_name_prefix="caller") as pool:
        pool.submit(store.save_token, make_token("ada", refresh="rt", access="at")).result()
    assert threads == ["caller_0"]
