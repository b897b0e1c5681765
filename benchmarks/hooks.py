"""What hooks cost: a look-up through Redis by a store that has one, over the same by a store that has none."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator
from functools import partial

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from benchmarks.figure import Figure
from benchmarks.interleave import Batch, interleave, ratios
from benchmarks.server import open_server
from benchmarks.tokens import full_token
from zoho_token_store.instrumentation import Hook, LoggingHook
from zoho_token_store.instrumentation.opentelemetry import OpenTelemetryHook
from zoho_token_store.instrumentation.prometheus import PrometheusHook

NAMES = ("hooks",)
REACH = 1.35


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure this figure.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer rounds.
    """
    rounds, calls = (10, 20) if quick else (150, 50)
    telemetry = OpenTelemetryHook(MeterProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False))
    hooks: dict[str, list[Hook]] = {
        "none": [],
        "none again": [],
        "function": [lambda details: None],
        "LoggingHook": [LoggingHook()],
        "PrometheusHook": [PrometheusHook(CollectorRegistry())],
        "OpenTelemetryHook": [telemetry],
    }
    with open_server() as server:
        stores = {name: server.store("hooks", hooks=made) for name, made in hooks.items()}
        token = full_token(0)
        stores["none"].save_token(token)
        finds = {name: partial(store.find_token_by_id, token.get_id()) for name, store in stores.items()}
        batches: dict[str, Batch] = {name: partial(_repeat, find) for name, find in finds.items()}
        took = interleave(batches, rounds, calls)
        for store in stores.values():
            store.close()
    spreads = {name: ratios(took[name], took["none"]) for name in took}
    spread = spreads["PrometheusHook"]
    others = [f"{spreads[name].median:.2f} with {text}" for name, text in TEXTS.items()]
    yield Figure(
        "hooks",
        "`find_token_by_id` through Redis with `PrometheusHook`, p50, over the same without hooks",
        f"at most {REACH:g}",
        spread,
        spread.median <= REACH,
        note=", ".join(others),
        details={f"{name}_us": statistics.median(took[name]) for name in took},
    )


TEXTS = {
    "function": "a function",
    "LoggingHook": "`LoggingHook`",
    "OpenTelemetryHook": "`OpenTelemetryHook`",
    "none again": "none, again",
}


def _repeat(find: partial[object], calls: int) -> list[partial[object]]:
    return [find] * calls
