"""What happens to stores when their process forks or ends in good order."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import weakref
from types import FrameType
from typing import Protocol

GRACE = 2.0
"""Longest time that SIGTERM is held up, seconds."""


class Watched(Protocol):
    """A store, as far as this module is concerned."""

    def end(self) -> None:
        """Give back the leases that this process holds, and try a last time to store what it has kept."""

    def reset_after_fork(self) -> None:
        """Become a store of its own in a forked child."""


_stores: weakref.WeakSet[Watched] = weakref.WeakSet()
_hooked_pid = 0


def watch(store: Watched) -> None:
    """See to it that a store survives forks, and ends in good order when its process does."""
    _stores.add(store)


def hook_exits() -> None:
    """Be told of the ways in which a process ends without running ``atexit``.

    Called when a process has something to lose: with its first lease, or its first save that could not be stored. It
    has to come after the fork, since a child forgets what its parent registered.

    * SIGTERM, if nobody else handles it. gunicorn and others have handlers of their own, and exit in good order.
    * Children of :mod:`multiprocessing`, which leave by ``os._exit``.
    * Celery's pool processes, which do so too.
    """
    global _hooked_pid
    if _hooked_pid == os.getpid():
        return
    _hooked_pid = os.getpid()
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)
    if "multiprocessing.util" in sys.modules:
        sys.modules["multiprocessing.util"].Finalize(None, _end_all, exitpriority=0)
    if "celery.signals" in sys.modules:
        sys.modules["celery.signals"].worker_process_shutdown.connect(
            _on_celery_exit, weak=False, dispatch_uid=__name__
        )


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    # In a thread of its own: the main thread may have been stopped while it held a lock that releasing needs.
    ending = threading.Thread(target=_end_all, daemon=True)
    ending.start()
    ending.join(GRACE)
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def _on_celery_exit(**_: object) -> None:
    _end_all()


def _end_all() -> None:
    for store in list(_stores):
        store.end()


def _reset_all() -> None:
    for store in list(_stores):
        store.reset_after_fork()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_reset_all)
