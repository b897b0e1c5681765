"""Details and counters as Prometheus metrics; needs the extra ``prometheus``."""

from __future__ import annotations

import os
import threading
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from zoho_token_store.details import Details
from zoho_token_store.instrumentation.metrics import BOUNDS, PREFIX, TIMERS, Timed, timer_name
from zoho_token_store.stats import NAMES


class _Metrics:
    """The metrics in one registry; those of each namespace and outcome are kept at hand, since a look-up costs more."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters = {
            name: Counter(f"{PREFIX}_{name}", f"{text[0].upper()}{text[1:]}.", ["namespace"], registry=registry)
            for name, text in NAMES.items()
        }
        self._timers = {
            timer.name: Histogram(
                f"{PREFIX}_{timer.name}_seconds",
                f"Duration of {timer.description}.",
                ["namespace", "outcome"],
                buckets=BOUNDS,
                registry=registry,
            )
            for timer in TIMERS
        }
        self._counted: dict[str, dict[str, Counter]] = {}
        self._timed: dict[tuple[str, str, str], Histogram] = {}

    def counters(self, namespace: str) -> dict[str, Counter]:
        """Return the counters of a namespace, all of them from the first time on, so that each begins at 0."""
        found = self._counted.get(namespace)
        if found is None:
            found = {name: counter.labels(namespace) for name, counter in self._counters.items()}
            self._counted[namespace] = found
        return found

    def timer(self, name: str, namespace: str, outcome: str) -> Histogram:
        """Return one timer."""
        key = name, namespace, outcome
        found = self._timed.get(key)
        if found is None:
            found = self._timed[key] = self._timers[name].labels(namespace, outcome)
        return found


class PrometheusHook:
    """Keeps a counter ``zoho_token_store_<name>_total`` for each name in ``stats()``, and histograms of durations.

    One may serve several stores, and several may share a registry: metrics are labelled with the namespace. They work
    in multiprocess mode, as under gunicorn: there is no gauge among them.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        with _lock:
            self._metrics = _made.get(registry) or _made.setdefault(registry, _Metrics(registry))

    def __call__(self, details: Details) -> None:
        """Observe a duration."""
        if isinstance(details, Timed):
            with _lock:
                timer = self._metrics.timer(timer_name(details), details.namespace, details.outcome)
                timer.observe(details.seconds)

    def count(self, namespace: str, name: str, by: int) -> None:
        """Add to a counter."""
        with _lock:
            self._metrics.counters(namespace)[name].inc(by)


_made: WeakKeyDictionary[CollectorRegistry, _Metrics] = WeakKeyDictionary()

# Re-entrant: a store that the garbage collector finds in the middle of this counts what it ends with.
_lock = threading.RLock()
"""Held over each fork, so that no child inherits a lock of the client library that another thread of ours has."""

os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
