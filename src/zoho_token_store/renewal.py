"""Leases that are kept alive for as long as they are needed: one thread renews all those of a process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zoho_token_store.errors import TokenStoreError
from zoho_token_store.lease import Lease

log = logging.getLogger("zoho_token_store")


class Renewals:
    """Renews leases in the background, so that they can be short: a dead process loses them soon, a slow one does not.

    Args:
        renew: Renews one lease; returns whether it is still the caller's.
        ttl: How long a lease lasts, seconds; it is renewed three times as often.
    """

    def __init__(self, renew: Callable[[Lease], bool], ttl: float) -> None:
        self._renew = renew
        self._every = ttl / 3
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start empty: what the parent holds, the parent renews."""
        self._lock = threading.Lock()
        self._leases: dict[Lease, None] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def keep(self, lease: Lease) -> Iterator[None]:
        """Renew a lease until the context ends."""
        with self._lock:
            self._leases[lease] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="zoho-token-store-leases", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            self._leases.pop(lease, None)

    def _run(self) -> None:
        pause = threading.Event()  # never set; an Event's wait is what gevent replaces too
        while True:
            pause.wait(self._every)
            with self._lock:
                leases = list(self._leases)
                if not leases:
                    self._thread = None
                    return
            for lease in leases:
                self._try(lease)

    def _try(self, lease: Lease) -> None:
        try:
            held = self._renew(lease)
        except TokenStoreError as error:
            log.warning("the lease on %s could not be renewed: %s", lease.name, error)
            return
        except Exception:
            log.exception("the thread that renews leases goes on after an error")
            return
        if not held and lease in self._leases:
            self._leases.pop(lease, None)
            log.warning("the lease on %s was lost while its refresh went on", lease.name)
