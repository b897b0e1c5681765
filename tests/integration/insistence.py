"""A thread that goes on saving an old object of a token and looking its user up, whatever it is told."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from zoho_token_store import TokenDeleted


class Insisted(NamedTuple):
    """What has come of it; times are of the monotonic clock, which the processes of a machine share.

    Attributes:
        saves: How many saves were stored.
        saved: When the last of them began.
        refused: How many saves were refused, since the token was deleted.
        looks: How many looks have brought the token.
        served: When the last of them began.
        errors: How often there was any other error, by its class.
    """

    saves: int
    saved: float
    refused: int
    looks: int
    served: float
    errors: dict[str, int]


class Insistence:
    """Saves and looks in turn, in a thread of its own, until `stop`.

    Args:
        save: Saves the object, with another access token each time.
        look: Returns what the user is known by; None for nothing.
        pause: Seconds between two rounds.
    """

    def __init__(self, save: Callable[[], None], look: Callable[[], Any], pause: float) -> None:
        self._save = save
        self._look = look
        self._pause = pause
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._last = {"saved": 0.0, "served": 0.0}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def has_begun(self) -> bool:
        """Whether a save and a look have gone well."""
        return all(self._last.values())

    def stop(self) -> Insisted:
        """End the thread, and return what has come of it."""
        self._stopped.set()
        self._thread.join()
        counts, last = self._counts, self._last
        return Insisted(
            counts["saved"], last["saved"], counts["refused"], counts["served"], last["served"], dict(self._errors)
        )

    def _run(self) -> None:
        ends = False
        while not ends:
            ends = self._stopped.is_set()  # before the last round, so that it meets what is there at the end
            self._try("saved", lambda: self._save() or True)
            self._try("served", self._look)
            time.sleep(self._pause)

    def _try(self, kind: str, work: Callable[[], Any]) -> None:
        began = time.monotonic()
        try:
            if work():
                self._counts[kind] += 1
                self._last[kind] = began
        except TokenDeleted:
            self._counts["refused"] += 1
        except Exception as error:
            self._errors[type(error).__name__] += 1
