"""Details, counters and operations as OpenTelemetry metrics and spans; needs the extra ``opentelemetry``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import Status, StatusCode, TracerProvider, get_tracer

from zoho_token_store.details import Details
from zoho_token_store.hooks import Operation
from zoho_token_store.instrumentation.metrics import BOUNDS, PREFIX, TIMERS, Timed, timer_name
from zoho_token_store.stats import NAMES

NAMESPACE = f"{PREFIX}.namespace"
OUTCOME = f"{PREFIX}.outcome"
RECORD_ID = f"{PREFIX}.record_id"
ERROR_TYPE = "error.type"


class OpenTelemetryHook:
    """Keeps a counter ``zoho_token_store.<name>`` for each name in ``stats()``, histograms of durations, and spans.

    There is a span around each refresh by the store itself, each wait for another worker and each save.

    Args:
        meter_provider: Makes the metrics; None for the global one, which may be set later.
        tracer_provider: Makes the spans; None for the global one, which may be set later.
    """

    def __init__(
        self, meter_provider: MeterProvider | None = None, tracer_provider: TracerProvider | None = None
    ) -> None:
        meter = get_meter(PREFIX, meter_provider=meter_provider)
        self._tracer = get_tracer(PREFIX, tracer_provider=tracer_provider)
        self._counters = {
            name: meter.create_counter(f"{PREFIX}.{name}", description=text) for name, text in NAMES.items()
        }
        self._timers = {
            timer.name: meter.create_histogram(
                f"{PREFIX}.{timer.name}.duration",
                unit="s",
                description=f"Duration of {timer.description}",
                explicit_bucket_boundaries_advisory=BOUNDS,
            )
            for timer in TIMERS
        }

    def __call__(self, details: Details) -> None:
        """Record a duration."""
        if isinstance(details, Timed):
            attributes = {NAMESPACE: details.namespace, OUTCOME: details.outcome}
            self._timers[timer_name(details)].record(details.seconds, attributes)

    def count(self, namespace: str, name: str, by: int) -> None:
        """Add to a counter."""
        self._counters[name].add(by, {NAMESPACE: namespace})

    def span(self, operation: Operation) -> AbstractContextManager[None]:
        """Return a span, the current one while the operation goes on: what is traced within becomes its child."""
        return self._span(operation)

    @contextmanager
    def _span(self, operation: Operation) -> Iterator[None]:
        attributes = {NAMESPACE: operation.namespace}
        if operation.record_id is not None:
            attributes[RECORD_ID] = operation.record_id
        with self._tracer.start_as_current_span(
            f"{PREFIX}.{operation.name}", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                # Its kind and nothing else: messages and stacks are for the log.
                span.set_attribute(ERROR_TYPE, type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise
