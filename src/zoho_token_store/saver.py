"""Saves: written now, or kept in the process and tried again, since the SDK swallows the error."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from zoho_token_store import lifecycle
from zoho_token_store.change import Change
from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import StoreUnavailable, TokenStoreError
from zoho_token_store.keyspace import pointer
from zoho_token_store.lease import HeldLeases, Lease, Owners
from zoho_token_store.match import TokenData
from zoho_token_store.merge import Wish
from zoho_token_store.options import Options
from zoho_token_store.plan import plan_save
from zoho_token_store.record import Access, TokenRecord
from zoho_token_store.repository import Repository
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.stats import Stats
from zoho_token_store.transaction import Transactions

log = logging.getLogger("zoho_token_store")

FAR_MS = 10 * 365 * 86_400_000
"""An expiry further away than this is taken as this far."""


@dataclass
class Save:
    """One save, until it is stored.

    Attributes:
        wish: What is to be saved; its access token is set when Redis's time is known.
        on_stored: Called with the record that is stored now, and with whether the save was stored by this attempt.
    """

    wish: Wish
    on_stored: Callable[[TokenRecord | None, str], None]


class Saver:
    """Stores tokens.

    Args:
        repository: The records.
        transactions: Writes plans.
        options: Life of an access token whose expiry is not known.
        owners: Names of threads and operations.
        held: The leases of this process.
        stats: Where it is counted.
        clock: This machine's clocks.
    """

    def __init__(
        self,
        repository: Repository,
        transactions: Transactions,
        options: Options,
        owners: Owners,
        held: HeldLeases,
        stats: Stats,
        clock: SystemClock,
    ) -> None:
        self._repository = repository
        self._transactions = transactions
        self._options = options
        self._owners = owners
        self._held = held
        self._stats = stats
        self._clock = clock

    def make_save(
        self,
        data: TokenData,
        baseline: TokenRecord | None,
        lease: Lease | None,
        on_stored: Callable[[TokenRecord | None, str], None],
    ) -> Save:
        """Return a save of what a caller's token says.

        Args:
            data: What it says.
            baseline: The record as it was when the token was handed out.
            lease: The lease that came with it. Without one, a lease on one of its credentials that this thread was
                given is taken.
            on_stored: See :class:`Save`.
        """
        lease = lease or self._claimed(data)
        wish = Wish(data, None, self._owners.nonce(), secrets.token_urlsafe(12), baseline, lease)
        wish.fence = lease.fence if lease else 0
        return Save(wish, on_stored)

    def store(self, save: Save) -> None:
        """Try to store a save. It may be called again after :class:`StoreUnavailable`: nothing is written twice.

        Raises:
            TokenStoreError: See :func:`plan_save`; any but StoreUnavailable is final.
        """
        wish = save.wish
        if not self._repository.server_clock.known:
            self._repository.load(Snapshot(), (), ())
        wish.access = wish.access or self._access(wish.data)
        snapshot = Snapshot([wish.baseline] if wish.baseline else [])
        tried: list[Change] = []

        def plan(snapshot: Snapshot, now_ms: int) -> Change | None:
            change = plan_save(wish, snapshot, now_ms)
            tried[:] = [change] if change else []
            return change

        try:
            change = self._transactions.run(plan, snapshot, guess=bool(wish.baseline or wish.lease))
        except StoreUnavailable:
            if tried:
                wish.fence = tried[0].fence
            raise
        if wish.lease:
            self._held.remove(wish.lease)
            self._owners.claims().pop(wish.lease.name, None)
        after = change.after if change else None
        if change and "late_saves" in change.notes:
            log.warning("late save of record %s: another worker has saved since; merged", after and after.id)
        if change and "name_conflicts" in change.notes:
            log.warning("record %s was saved without its user name: another record has it", after and after.id)
        save.on_stored(after, after.id if after else sorted(wish.touched)[-1])

    def _claimed(self, data: TokenData) -> Lease | None:
        """Return the lease that this thread was given for one of these credentials, when it was told None."""
        claims = self._owners.claims()
        if not claims:
            return None
        names = [data.id] if data.id else []
        names += [pointer("grant", data.grant_token)] if data.grant_token else []
        names += [pointer("refresh", data.refresh_token)] if data.refresh_token else []
        return next((claims[name] for name in names if name in claims), None)

    def _access(self, data: TokenData) -> Access | None:
        """Return the access token with its expiry by Redis's clock."""
        if data.access_token is None:
            return None
        here_ms = int(self._clock.wall() * 1000)
        try:
            expires_ms = int(float(data.expires_in or ""))
        except (ValueError, OverflowError):
            return Access(data.access_token, 0, int(self._options.default_access_ttl * 1000))
        expires_ms = min(max(expires_ms, here_ms), here_ms + FAR_MS)
        server_ms = self._repository.server_clock.to_server_ms(expires_ms)
        return Access(data.access_token, server_ms, expires_ms - here_ms)


class KeptSaves:
    """Saves that Redis could not take: tried again in the background, and before each look-up.

    Args:
        store: Tries one.
        stats: Where it is counted.
        clock: Sleeps between rounds.
    """

    ROUND = 1.0
    """Seconds between rounds in the background."""

    def __init__(self, store: Callable[[Save], None], stats: Stats, clock: SystemClock) -> None:
        self._store = store
        self._stats = stats
        self._clock = clock
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start empty: what the parent keeps, the parent stores."""
        self._lock = threading.Lock()
        self._saves: deque[Save] = deque()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def __len__(self) -> int:
        return len(self._saves)

    def keep(self, save: Save) -> None:
        """Keep a save, and see to it that it is tried again."""
        lifecycle.hook_exits()
        self._stats.count("saves_kept")
        self._saves.append(save)
        log.error("a save could not be stored; it is kept in this process and tried again (%d kept)", len(self._saves))
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="zoho-token-store-saves", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Try all that is kept, oldest first.

        Raises:
            StoreUnavailable: Redis still does not take it; the rest stays.
        """
        with self._lock:
            while self._saves:
                try:
                    self._store(self._saves[0])
                except StoreUnavailable:
                    raise
                except TokenStoreError as error:
                    self._stats.count("saves_dropped")
                    log.error("a kept save was refused: %s", error)
                else:
                    log.warning("a kept save is stored")
                self._saves.popleft()

    def close(self) -> None:
        """Try a last time, and end the background thread."""
        self._closed.set()
        try:
            self.flush()
        except TokenStoreError:
            log.critical("%d saves are lost: Redis was away until the process or the store ended", len(self._saves))

    def _run(self) -> None:
        while not self._closed.wait(self.ROUND):
            try:
                self.flush()
            except StoreUnavailable:
                continue
            except Exception:
                log.exception("the background thread for kept saves goes on after an error")
            with self._lock:
                if not self._saves:
                    self._thread = None
                    return
