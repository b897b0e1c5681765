"""Saves that Redis could not take: kept in the process and tried again, since the SDK swallows the error."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import NotDurable, StoreUnavailable, TokenStoreError
from zoho_token_store.lifecycle import hook_exits
from zoho_token_store.saver import Save
from zoho_token_store.stats import Stats

log = logging.getLogger("zoho_token_store")

ROUND = 1.0
"""Seconds between rounds in the background."""


class KeptSaves:
    """Tries saves again: in the background, and before each look-up.

    Those that are stored and only lack replicas hold up no look-up: these are waited for in the background alone.

    Args:
        store: Tries one.
        on_keep: Told of each that is kept.
        budget: Longest time that a look-up waits for another thread's attempt, seconds.
        stats: Where it is counted.
        clock: This machine's clocks.
    """

    def __init__(
        self,
        store: Callable[[Save], None],
        on_keep: Callable[[Save], None],
        budget: float,
        stats: Stats,
        clock: SystemClock,
    ) -> None:
        self._store = store
        self._on_keep = on_keep
        self._budget = budget
        self._stats = stats
        self._clock = clock
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start empty: what the parent keeps, the parent stores."""
        self._storing = threading.Lock()
        self._saves: deque[Save] = deque()
        self._waiting = threading.Lock()
        self._short: deque[Save] = deque()  # stored, and on too few replicas
        self._refusal: tuple[float, StoreUnavailable] | None = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def __len__(self) -> int:
        return len(self._saves)

    def keep(self, save: Save) -> None:
        """Keep a save, and see to it that it is tried again."""
        hook_exits()
        if save.is_short:
            self._short.append(save)
            self._stats.count("saves_not_durable")
            log.error("a save is stored on too few replicas; they are waited for (%d such saves)", len(self._short))
        else:
            self._stats.count("saves_kept")
            self._saves.append(save)
            self._on_keep(save)
            log.error("a save could not be stored; it is kept in this process and tried again (%d kept)", len(self))
        with self._storing:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="zoho-token-store-kept-saves", daemon=True)
                self._thread.start()

    def settle(self) -> None:
        """Store what is kept before a look-up, so that it sees this process's own saves.

        Of many threads one tries, and what it is told holds for the others for a second: they would only find out the
        same, one after another.

        Raises:
            StoreUnavailable: Redis cannot be reached. What it refuses for good holds up no look-up.
        """
        if not self._storing.acquire(timeout=self._budget):
            raise StoreUnavailable("a save of this process is still being stored")
        try:
            if self._refusal and self._clock.monotonic() - self._refusal[0] < ROUND:
                raise self._refusal[1]
            self._store_all()
        except StoreUnavailable as error:
            if error.passing:
                raise
        finally:
            self._storing.release()

    def close(self) -> None:
        """Try a last time, and end the background thread."""
        self._closed.set()
        if self._saves:
            with self._storing:
                with suppress(TokenStoreError):
                    self._store_all()
                if self._saves:
                    log.critical(
                        "%d saves are lost: Redis did not take them until the store or the process ended", len(self)
                    )
                    self._saves.clear()
        if self._short:
            self._wait_for_replicas()
            with self._waiting:
                if self._short:
                    log.critical("%d saves are on too few replicas, and a failover now may lose them", len(self._short))
                    self._short.clear()

    def _store_all(self) -> None:
        """Try each save once, oldest first; one that cannot be stored stays.

        The one in hand is among the others meanwhile: who ends the process must see it.
        """
        for _ in range(len(self._saves)):
            save = self._saves[0]
            try:
                self._store(save)
            except NotDurable:
                self._short.append(save)
                log.warning("a kept save is stored, on too few replicas")
            except StoreUnavailable as error:
                if error.passing:
                    self._refusal = self._clock.monotonic(), error
                    raise
                self._saves.append(save)
            except TokenStoreError as error:
                self._stats.count("saves_dropped")
                log.error("a kept save was refused: %s", error)
            except Exception:
                self._saves.append(save)
                log.exception("a kept save is still kept after an error")
            else:
                log.warning("a kept save is stored")
            self._saves.popleft()
        self._refusal = None

    def _wait_for_replicas(self) -> None:
        """Try again what is on too few replicas, until one stays so: the others would only find out the same."""
        with self._waiting:
            while self._short:
                try:
                    self._store(self._short[0])
                except StoreUnavailable:
                    return
                except TokenStoreError as error:
                    self._stats.count("saves_dropped")
                    log.error("a save that was on too few replicas is refused by now: %s", error)
                else:
                    log.warning("a save is on enough replicas now")
                self._short.popleft()

    def _run(self) -> None:
        while not self._closed.wait(ROUND):
            try:
                with self._storing:
                    self._store_all()
                self._wait_for_replicas()
                with self._storing:
                    if not self._saves and not self._short:
                        self._thread = None
                        return
            except StoreUnavailable:
                continue
            except Exception:
                log.exception("the background thread for kept saves goes on after an error")
