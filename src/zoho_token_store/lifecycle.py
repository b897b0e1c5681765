"""What happens to stores when their process forks or ends in good order."""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Protocol

GRACE = 2.0
"""Longest time that SIGTERM is held up, seconds."""


class Watched(Protocol):
    """A store, as far as this module is concerned."""

    def reset_after_fork(self) -> None:
        """Become a store of its own in a forked child."""


_ends: weakref.WeakKeyDictionary[Watched, Callable[[], None]] = weakref.WeakKeyDictionary()
_hooked_pid = 0


def watch(store: Watched, end: Callable[[], None]) -> None:
    """See to it that a store survives forks, and ends in good order when its process does, or when nobody has it more.

    Args:
        store: The store.
        end: Gives back the leases that this process holds, and tries a last time to store what it has kept. It may be
            called more than once, and must not refer to the store.
    """
    _ends[store] = end
    weakref.finalize(store, end)


def hook_exits() -> None:
    """Be told of the ways in which a process ends without running ``atexit``.

    Called when a process has something to lose: with its first lease, or its first save that could not be stored. It
    has to come after the fork, since a child forgets what its parent registered.

    * SIGTERM, if nobody else handles it and this is the main thread, the only one that may say so. gunicorn and others
      have handlers of their own, and exit in good order.
    * Children of :mod:`multiprocessing`, which leave by ``os._exit``.
    * Celery's pool processes, which do so too.
    """
    global _hooked_pid
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)
    if _hooked_pid == os.getpid():
        return
    _hooked_pid = os.getpid()
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
    for end in list(_ends.values()):
        end()


def _reset_all() -> None:
    for store in list(_ends):
        store.reset_after_fork()


os.register_at_fork(after_in_child=_reset_all)
