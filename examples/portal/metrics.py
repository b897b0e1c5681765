"""What the portal's store tells Prometheus: the metrics of all processes on this machine, added up.

``PROMETHEUS_MULTIPROC_DIR`` names the folder where each process keeps its own; it has to be emptied before a start.
"""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from zoho_token_store.instrumentation.prometheus import PrometheusHook


def hooks() -> list[PrometheusHook]:
    """Return the hooks of the store. They may be made before a fork."""
    return [PrometheusHook()]


def page() -> tuple[bytes, dict[str, str]]:
    """Return what Prometheus scrapes: body and headers."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry), {"Content-Type": CONTENT_TYPE_LATEST}
