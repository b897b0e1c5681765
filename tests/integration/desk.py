"""What one worker does: it keeps a store and the SDK, and carries out a test's commands on them."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from integration.insistence import Insisted, Insistence
from integration.observer import Observer, View
from integration.replies import Loop, Reply, Toil, Trouble, attempt
from zoho_token_store import CoordinatedTokenStore, PartitionedTokenStore, link, open_store, tally, terms

RESOURCES = "ZOHO_TOKEN_STORE_TEST_RESOURCES"
"""The environment variable that names the folder in which the SDK may keep files."""

CLIENT_ID = "client"

FIELDS = ("id", "client_id", "refresh_token", "grant_token", "access_token", "expires_in")


def make_token(*, user: str | None = None, find_user: bool = False, **fields: Any) -> Any:
    """Return an ``OAuthToken``; ``user`` is a user name."""
    token = OAuthToken(user_signature=UserSignature(user) if user else None, find_user=find_user, **fields)
    return token


def user_name_of(token: Any) -> str | None:
    """Return the key of a token in a store with partitions."""
    signature = token.get_user_signature()
    return signature and str(signature.get_name())


def describe(token: Any) -> dict[str, Any] | None:
    """Return the fields of a token, and its user name under ``user``."""
    if token is None:
        return None
    signature = token.get_user_signature()
    return {name: getattr(token, f"get_{name}")() for name in FIELDS} | {"user": signature and signature.get_name()}


class LogLines(logging.Handler):
    """Keeps what the store says in its log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(f"{record.levelname} {record.getMessage()}")


class Desk:
    """A worker's commands; each public method is one."""

    def __init__(self) -> None:
        self.store: CoordinatedTokenStore = None  # type: ignore[assignment]  # until `open`
        self.tokens: dict[str, Any] = {}
        self._opened = ("", "")
        self._threads: list[threading.Thread] = []
        self._replies: list[Reply] = []
        self._roaming = threading.Event()
        self._log = LogLines()
        logging.getLogger("zoho_token_store").addHandler(self._log)

    def serve(self, connection: Connection) -> None:
        """Carry out commands until the other end closes."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                name, args, options = connection.recv()
                connection.send(attempt(getattr(self, name), *args, **options))

    def open(self, url: str, namespace: str, **options: Any) -> None:
        """Make the store."""
        self._opened = (url, namespace)
        self.store = open_store(url, namespace, **options)

    def open_partitions(self, urls: list[str], namespace: str, partitions: int, **options: Any) -> None:
        """Make a store with partitions, chosen by the user's name."""
        self.store = PartitionedTokenStore.from_url(urls, namespace, partitions, key=user_name_of, **options)

    def shift_clock(self, seconds: float) -> None:
        """Set this process's wall clock ahead, or back: the SDK and the store read the same one."""
        real = time.time
        time.time = lambda: real() + seconds

    def boot(self, zoho_url: str, **token: Any) -> dict[str, Any] | None:
        """Initialize the SDK with a token and the store, which exchanges or refreshes if need be."""
        environment = DataCenter.Environment(zoho_url, f"{zoho_url}/oauth/v2/token", zoho_url)
        Initializer.initialize(
            environment=environment, token=make_token(**token), store=self.store, resource_path=os.environ[RESOURCES]
        )
        return describe(Initializer.initializer.token)

    def call(self) -> str:
        """Ask CRM for the organisation, as an application does; return its id."""
        answer = OrgOperations().get_organization()
        assert answer.get_status_code() == 200, answer.get_status_code()
        return str(answer.get_object().get_org()[0].get_zgid())

    def call_until(self, deadline: float, pause: float = 0.02) -> Loop:
        """Call CRM again and again.

        Args:
            deadline: When to stop, by the machine's monotonic clock.
            pause: Seconds between two calls.
        """
        calls, failures, slowest = 0, [], 0.0
        while time.monotonic() < deadline:
            reply = attempt(self.call)
            slowest = max(slowest, reply.seconds)
            if reply.failure:
                failures.append(reply.failure)
            else:
                calls += 1
            time.sleep(pause)
        return Loop(calls, failures, slowest)

    def get_token(self) -> str:
        """Get the access token as the SDK does before each request."""
        return str(Initializer.initializer.token.get_token())

    def call_as(self, zoho_url: str, **token: Any) -> str:
        """Call CRM as another user, whose servers may be others, in this thread."""
        environment = DataCenter.Environment(zoho_url, f"{zoho_url}/oauth/v2/token", zoho_url)
        Initializer.switch_user(environment=environment, token=make_token(**token))
        return self.call()

    def call_safely(self) -> str:
        """Call CRM through the store, which replaces an access token that CRM rejects."""
        answer = self.store.call_crm(lambda: OrgOperations().get_organization())
        assert answer.get_status_code() == 200, answer.get_status_code()
        return str(answer.get_object().get_org()[0].get_zgid())

    def warm(self, *record_ids: str) -> None:
        """Look ids up until the near cache answers."""
        for record_id in record_ids:
            hits, deadline = self.store.stats()["near_hits"], time.monotonic() + 30
            while self.store.stats()["near_hits"] == hits:
                assert time.monotonic() < deadline, "the near cache does not answer"
                self.store.find_token_by_id(record_id)
                time.sleep(0.002)

    def observe(self, *record_ids: str, pause: float = 0.005) -> None:
        """Look ids up again and again, in a thread of its own, until `observed`.

        Args:
            record_ids: Which.
            pause: Seconds between two rounds.
        """
        self._observer = Observer(
            lambda record_id: str(self.store.find_token_by_id(record_id).get_access_token()), record_ids, pause
        )

    def watch(self, record_id: str, pause: float = 0.02) -> None:
        """Get the access token as the SDK does, again and again, in a thread of its own, until `observed`.

        Args:
            record_id: Of the token with which this worker was booted.
            pause: Seconds between two looks.
        """
        self._observer = Observer(lambda _: self.get_token(), [record_id], pause)

    def sees(self, record_id: str) -> str | None:
        """Return what the last look of `observe` or `watch` has brought."""
        return self._observer.latest(record_id)

    def observed(self) -> View:
        """End what `observe` or `watch` began, and return what it has seen."""
        return self._observer.stop()

    def follow(self, record_id: str, access_token: str) -> dict[str, int]:
        """Look an id up until the near cache answers, then until it brings an access token; return the counters."""
        self.warm(record_id)
        deadline = time.monotonic() + 30
        while self.store.find_token_by_id(record_id).get_access_token() != access_token:
            assert time.monotonic() < deadline, "the new token does not come"
            time.sleep(0.002)
        return self.store.stats()

    def save_now(self, record_id: str, access_token: str, life: float = 3600.0) -> float:
        """Save another access token; return when that was acknowledged."""
        token = self.store.find_token_by_id(record_id)
        token.set_access_token(access_token)
        token.set_expires_in(str(int((time.time() + life) * 1000)))
        self.store.save_token(token)
        return time.monotonic()

    def delete_now(self, record_id: str) -> float:
        """Delete a token; return when that was acknowledged."""
        self.store.delete_token(record_id)
        return time.monotonic()

    def insist(self, record_id: str, user: str, pause: float = 0.01) -> None:
        """Save what an id has brought again and again, and look its user up, in a thread of its own, until `insisted`.

        Args:
            record_id: Of the record.
            user: Its user name.
            pause: Seconds between two rounds.
        """
        held = self.store.find_token_by_id(record_id)

        def save() -> None:
            held.set_access_token(f"access {os.getpid()} {time.monotonic_ns()}")
            self.store.save_token(held)

        self._insistence = Insistence(save, lambda: self.store.find_token(make_token(user=user, client_id=None)), pause)

    def insists(self) -> bool:
        """Return whether a save and a look of `insist` have gone well."""
        return self._insistence.has_begun

    def insisted(self) -> Insisted:
        """End what `insist` began, and return what has come of it."""
        return self._insistence.stop()

    def roam(self, ids: list[str]) -> None:
        """Look tokens up at random, and refresh one now and then, in a thread of its own, until `roamed`.

        Args:
            ids: Ids of the records of ``user0``, ``user1`` and so on, with the refresh tokens ``refresh0`` and so on.
        """
        self._roaming.set()
        self.start_threads(1, "_roam", ids)

    def roamed(self) -> Loop:
        """End what `roam` began, and return what it has seen."""
        self._roaming.clear()
        (reply,) = self.join_threads()
        assert reply.failure is None, reply.failure
        loop: Loop = reply.value
        return loop

    def _roam(self, ids: list[str]) -> Loop:
        drawn = random.Random(os.getpid())
        calls, failures, slowest = 0, [], 0.0
        while self._roaming.is_set():
            reply = attempt(self._visit, ids, drawn.randrange(len(ids)), drawn.randrange(20) == 0)
            slowest = max(slowest, reply.seconds)
            calls += 1
            if reply.failure:
                failures.append(reply.failure)
        return Loop(calls, failures, slowest)

    def _visit(self, ids: list[str], number: int, refreshes: bool) -> None:
        client = {"client_id": CLIENT_ID, "client_secret": "secret"}
        for token in (
            self.store.find_token_by_id(ids[number]),
            self.store.find_token(make_token(user=f"user{number}", **client)),
            self.store.find_token(make_token(refresh_token=f"refresh{number}", **client)),
        ):
            assert token is not None, "a look-up was lost"
            assert (token.get_id(), token.get_refresh_token()) == (ids[number], f"refresh{number}")
        if refreshes:
            token.set_access_token(f"access{number}.{os.getpid()}.{time.monotonic_ns()}")
            token.set_expires_in(str(int((time.time() + 3600) * 1000)))
            self.store.save_token(token)

    def churn(self, seed: int, seconds: float) -> list[str]:
        """Save, refresh, merge, invalidate and delete tokens of a few users that all workers share.

        Args:
            seed: What is done when is drawn by it.
            seconds: For how long.

        Returns:
            What has failed; that a token was deleted meanwhile is no failure.
        """
        deadline = time.monotonic() + seconds
        toil = self._churn_while(seed, lambda: time.monotonic() < deadline)
        return [f"{each.failure.kind}: {each.failure.text}" for each in toil.troubles]

    def toil(self, seed: int) -> None:
        """Do as `churn` does, in a thread of its own, until `toiled`."""
        self._roaming.set()
        self.start_threads(1, "_churn_while", seed, self._roaming.is_set)

    def toiled(self) -> Toil:
        """End what `toil` began, and return what it has met."""
        self._roaming.clear()
        (reply,) = self.join_threads()
        assert reply.failure is None, reply.failure
        toil: Toil = reply.value
        return toil

    def _churn_while(self, seed: int, goes_on: Callable[[], bool]) -> Toil:
        drawn, troubles, went_well, calls = random.Random(seed), list[Trouble](), 0.0, 0
        while goes_on():
            began = time.monotonic()
            reply = attempt(self._churn, drawn, f"churn{drawn.randrange(12)}")
            calls += 1
            if reply.failure is None:
                went_well = time.monotonic()
            elif reply.failure.kind != "TokenDeleted":
                troubles.append(Trouble(began, time.monotonic(), reply.failure))
        return Toil(calls, troubles, went_well)

    def _churn(self, drawn: random.Random, user: str) -> None:
        client = {"client_id": CLIENT_ID, "client_secret": "secret"}
        token = self.store.find_token(make_token(user=user, **client))
        elected = token is not None and token.get_access_token() is None
        what = drawn.choice((1, 3, 4)) if elected else drawn.randrange(6)  # others wait for who is elected
        if token is None or what == 0:  # a login; without a name it becomes one record with the user's later
            named = {"user": user} if drawn.randrange(2) else {}
            self.store.save_token(make_token(refresh_token=f"{user}.{drawn.randrange(3)}", **named, **client))
        elif what == 1:
            self.store.delete_token(token.get_id())
        elif what == 2:
            self.store.invalidate_access_token(token.get_id())
        else:
            token.set_access_token(f"{user}.{drawn.random()}")
            token.set_expires_in(str(int((time.time() + drawn.choice((0.3, 3600))) * 1000)))
            if what == 3:
                token.set_refresh_token(f"{user}.{drawn.randrange(3)}")
            self.store.save_token(token)

    def in_threads(self, count: int, name: str, /, *args: Any, **options: Any) -> list[Reply]:
        """Have threads carry out one command, and return what they came to."""
        self.start_threads(count, name, *args, **options)
        return self.join_threads()

    def find(self, name: str = "", **token: Any) -> dict[str, Any] | None:
        """Look a token up; it is kept under a name, for `save`."""
        asked = make_token(**token)
        found = self.store.find_token(asked)
        self.tokens[name] = asked if found is None else found
        return describe(found)

    def find_by_id(self, record_id: str, name: str = "") -> dict[str, Any] | None:
        """Look a token up by its id; it is kept under a name, for `save`."""
        self.tokens[name] = found = self.store.find_token_by_id(record_id)
        return describe(found)

    def save(self, name: str = "", life: float = 3600.0, **changes: Any) -> dict[str, Any] | None:
        """Save the token that is kept under a name, with other fields and a new life."""
        token = self.tokens[name]
        for field, value in changes.items():
            getattr(token, f"set_{field}")(value)
        token.set_expires_in(str(int((time.time() + life) * 1000)))
        self.store.save_token(token)
        return describe(token)

    def save_and_note(self, name: str, path: str) -> None:
        """Save one login after another, for ever, and note each refresh token in a file once it is stored."""
        with open(path, "a", encoding="utf-8") as notes:
            for number in count():
                user = f"{name}-{number}"
                self.store.save_token(make_token(user=user, client_id="c", refresh_token=user, access_token=user))
                notes.write(f"{user}\n")
                notes.flush()

    def ask(self, method: str, *args: Any) -> Any:
        """Call a method of the store that takes and gives plain values, or a token."""
        answer = getattr(self.store, method)(*args)
        return describe(answer) if isinstance(answer, OAuthToken) else answer

    def log(self) -> list[str]:
        """Return what the store has said in its log."""
        return self._log.lines

    def tell_at_once(self) -> None:
        """Have what is counted told with every look-up but a store's first."""
        tally.EVERY = 0.0

    def cool_down_from(self, first_ms: int) -> None:
        """Shorten the first pause of the cool-down, for stores that are made after this."""
        terms.PAUSE_MS = first_ms

    def start_threads(self, count: int, name: str, /, *args: Any, **options: Any) -> None:
        """Have threads carry out one command while the worker goes on."""
        for _ in range(count):
            thread = threading.Thread(target=self._run, args=(name, args, options), daemon=True)
            thread.start()
            self._threads.append(thread)

    def join_threads(self) -> list[Reply]:
        """Return what those threads came to, when they have ended."""
        while self._threads:
            self._threads.pop().join()
        replies, self._replies = self._replies, []
        return replies

    def _run(self, name: str, args: Any, options: dict[str, Any]) -> None:
        self._replies.append(attempt(getattr(self, name), *args, **options))

    def block_for(self, milliseconds: int) -> None:
        """Lengthen blocking reads, for stores that are made after this: who is not woken then waits that long."""
        link.BLOCK_MS = milliseconds

    def die_at_save(self) -> None:
        """Let the store's next save kill the process: Zoho has answered, and nothing of it is stored."""
        self.store._saver.store = lambda save: os.kill(os.getpid(), signal.SIGKILL)

    def leave(self) -> None:
        """End the process by ``sys.exit``."""
        sys.exit(3)

    def leave_on_sigterm(self) -> None:
        """Handle SIGTERM as many applications do."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    def in_forks(self, count: int, name: str, /, *args: Any, **options: Any) -> list[Reply]:
        """Fork while threads, connections and leases are alive, and have each child carry out one command.

        The children end like any script, so that their exit handlers run.
        """
        pipes = []
        for _ in range(count):
            ours, theirs = multiprocessing.Pipe()
            if os.fork() == 0:
                theirs.send(attempt(getattr(self, name), *args, **options))
                sys.exit(0)
            theirs.close()
            pipes.append(ours)
        replies = [pipe.recv() for pipe in pipes]
        for _ in pipes:
            os.wait()
        return replies

    def in_processes(self, method: str, count: int, name: str, /, *args: Any, **options: Any) -> list[Reply]:
        """Have ``multiprocessing`` children carry out one command; by ``spawn`` each makes a store of its own.

        Args:
            method: ``fork``, ``forkserver`` or ``spawn``.
            count: How many.
            name: The command.
            args: Its arguments.
            options: Its keyword arguments.
        """
        context = multiprocessing.get_context(method)
        desk = self if method == "fork" else None
        pipes = []
        children = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            child = context.Process(target=carry_out, args=(desk, self._opened, theirs, name, args, options))
            child.start()
            theirs.close()
            pipes.append(ours)
            children.append(child)
        replies = [pipe.recv() for pipe in pipes]
        for child in children:
            child.join()
        return replies


def carry_out(
    desk: Desk | None, opened: tuple[str, str], pipe: Connection, name: str, args: Any, options: dict[str, Any]
) -> None:
    """Carry out one command in a ``multiprocessing`` child.

    Args:
        desk: The parent's, in a forked child.
        opened: URL and namespace for a store of its own.
        pipe: Where the outcome goes.
        name: The command.
        args: Its arguments.
        options: Its keyword arguments.
    """
    if desk is None:
        desk = Desk()
        desk.open(*opened)
    pipe.send(attempt(getattr(desk, name), *args, **options))
