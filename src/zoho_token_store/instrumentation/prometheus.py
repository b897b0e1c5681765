"""Details and counters as Prometheus metrics; needs the extra ``prometheus``."""

from __future__ import annotations

import os
import threading
from typing import NamedTuple
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from zoho_token_store.details import Details
from zoho_token_store.instrumentation.metrics import BOUNDS, PREFIX, TIMERS, Timed, timer_name
from zoho_token_store.stats import NAMES


class _Metrics(NamedTuple):
    counters: dict[str, Counter]
    timers: dict[str, Histogram]
    seen: set[str]


class PrometheusHook:
    """Keeps a counter ``zoho_token_store_<name>_total`` for each name in ``stats()``, and histograms of durations.

    One may serve several stores, and several may share a registry: metrics are labelled with the namespace. They work
    in multiprocess mode, as under gunicorn: there is no gauge among them.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        with _lock:
            self._metrics = _made.get(registry) or _made.setdefault(registry, _make(registry))

    def __call__(self, details: Details) -> None:
        """Observe a duration."""
        if isinstance(details, Timed):
            with _lock:
                timer = self._metrics.timers[timer_name(details)]
                timer.labels(details.namespace, details.outcome).observe(details.seconds)

    def count(self, namespace: str, name: str, by: int) -> None:
        """Add to a counter; the first time in a namespace the others are made, too, so that all begin at 0."""
        with _lock:
            if namespace not in self._metrics.seen:
                self._metrics.seen.add(namespace)
                for counter in self._metrics.counters.values():
                    counter.labels(namespace)
            self._metrics.counters[name].labels(namespace).inc(by)


def _make(registry: CollectorRegistry) -> _Metrics:
    counters = {
        name: Counter(f"{PREFIX}_{name}", f"{text[0].upper()}{text[1:]}.", ["namespace"], registry=registry)
        for name, text in NAMES.items()
    }
    timers = {
        timer.name: Histogram(
            f"{PREFIX}_{timer.name}_seconds",
            f"Duration of {timer.description}.",
            ["namespace", "outcome"],
            buckets=BOUNDS,
            registry=registry,
        )
        for timer in TIMERS
    }
    return _Metrics(counters, timers, set())


_made: WeakKeyDictionary[CollectorRegistry, _Metrics] = WeakKeyDictionary()

# Re-entrant: a store that the garbage collector finds in the middle of this counts what it ends with.
_lock = threading.RLock()
"""Held over each fork, so that no child inherits a lock of the client library that another thread of ours has."""

os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
