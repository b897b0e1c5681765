"""The hooks for Prometheus and OpenTelemetry, the dashboard and the documents: one set of names."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry

import zoho_token_store
from contract.tokens import make_token, refreshed
from servers import Backend
from zoho_token_store import RedisTokenStore, TokenDeleted, instrumentation
from zoho_token_store.details import ALL, Details, FencedDetails, FoundDetails, RefreshedDetails
from zoho_token_store.hooks import CountingHook, Operation, SpanHook
from zoho_token_store.instrumentation import LoggingHook
from zoho_token_store.instrumentation.metrics import PREFIX, TIMERS, Timed, timer_name
from zoho_token_store.instrumentation.opentelemetry import OpenTelemetryHook
from zoho_token_store.instrumentation.prometheus import PrometheusHook
from zoho_token_store.instrumentation.reference import reference
from zoho_token_store.stats import NAMES

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "examples" / "grafana" / "zoho-token-store.json").read_text("utf-8"))
PUBLIC = [
    "CountingHook",
    "DegradedDetails",
    "DeletedDetails",
    "Details",
    "FencedDetails",
    "FoundDetails",
    "Hook",
    "LoggingHook",
    "Operation",
    "RefreshFailedDetails",
    "RefreshedDetails",
    "SavedDetails",
    "SpanHook",
    "WaitedDetails",
]


def one_of_each() -> list[Details]:
    """Return details of every kind."""
    values: dict[str, Any] = {"namespace": "crm", "record_id": "id", "outcome": "fresh", "seconds": 0.25, "times": 2}
    return [kind(**{field.name: values[field.name] for field in fields(kind)}) for kind in ALL]


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return a registry that a hook has been told everything for."""
    registry = CollectorRegistry()
    hook = PrometheusHook(registry)
    for details in one_of_each():
        hook(details)
    for name in NAMES:
        hook.count("crm", name, 1)
    return registry


@pytest.fixture
def exported(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Return the labels of each series that the hook exports."""
    found: dict[str, set[str]] = {}
    for family in registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_the_public_names_are_pinned() -> None:
    """Exactly these, and none of them needs an extra."""
    assert sorted(PUBLIC) == sorted(instrumentation.__all__)
    assert all(hasattr(instrumentation, name) for name in PUBLIC)


@pytest.mark.parametrize("library", ["prometheus_client", "opentelemetry"])
def test_a_store_needs_no_extra(library: str) -> None:
    """Store, details and the hook that logs work where what another hook needs is not installed."""
    program = f"import sys; sys.modules[{library!r}] = None; from zoho_token_store.instrumentation import LoggingHook"
    assert importlib.util.find_spec(library)
    subprocess.run([sys.executable, "-c", f"{program}; LoggingHook()"], check=True)


class TestPrometheus:
    """The hook for Prometheus."""

    def test_each_counter_and_timer_is_exported(self, exported: dict[str, set[str]]) -> None:
        """Under these names, with these labels, and with no record id among them: there would be millions."""
        for name in NAMES:
            assert exported[f"{PREFIX}_{name}_total"] == {"namespace"}
        for timer in TIMERS:
            assert exported[f"{PREFIX}_{timer.name}_seconds_count"] == {"namespace", "outcome"}
            assert exported[f"{PREFIX}_{timer.name}_seconds_bucket"] == {"namespace", "outcome", "le"}

    def test_durations_go_where_they_belong(self, registry: CollectorRegistry) -> None:
        """Each kind of timed details is observed once, under its outcome."""
        for details in one_of_each():
            if isinstance(details, Timed):
                name = f"{PREFIX}_{timer_name(details)}_seconds_sum"
                labels = {"namespace": "crm", "outcome": details.outcome}
                assert registry.get_sample_value(name, labels) == 0.25

    def test_all_counters_begin_at_0(self) -> None:
        """With the first count in a namespace the others are there, so that a first increase is seen as one."""
        registry = CollectorRegistry()
        PrometheusHook(registry).count("crm", "finds", 3)
        values = {name: registry.get_sample_value(f"{PREFIX}_{name}_total", {"namespace": "crm"}) for name in NAMES}
        assert values == {**dict.fromkeys(NAMES, 0), "finds": 3}

    def test_hooks_may_share_a_registry(self) -> None:
        """Two hooks, as of two stores, keep the same metrics, each namespace its own."""
        registry = CollectorRegistry()
        PrometheusHook(registry).count("one", "finds", 1)
        PrometheusHook(registry).count("two", "finds", 1)
        PrometheusHook(registry).count("two", "finds", 1)
        counted = [registry.get_sample_value(f"{PREFIX}_finds_total", {"namespace": name}) for name in ("one", "two")]
        assert counted == [1, 2]

    def test_a_store(self, fake: Backend, namespace: str) -> None:
        """What a store does is what is exported."""
        registry = CollectorRegistry()
        with RedisTokenStore(fake.client(), namespace, hooks=[PrometheusHook(registry)]) as store:
            token = make_token("ada", refresh="rt", access="at")
            store.save_token(token)
            store.find_token_by_id(token.get_id())
            stats = store.stats()
        for name, count in stats.items():
            assert registry.get_sample_value(f"{PREFIX}_{name}_total", {"namespace": namespace}) == count
        labels = {"namespace": namespace, "outcome": "fresh"}
        assert registry.get_sample_value(f"{PREFIX}_find_seconds_count", labels) == 1


class TestOpenTelemetry:
    """The hook for OpenTelemetry."""

    @pytest.fixture
    def reader(self) -> InMemoryMetricReader:
        """Return where metrics are read."""
        return InMemoryMetricReader()

    @pytest.fixture
    def spans(self) -> InMemorySpanExporter:
        """Return where spans go."""
        return InMemorySpanExporter()

    @pytest.fixture
    def tracers(self, spans: InMemorySpanExporter) -> Iterator[TracerProvider]:
        """Give what makes spans."""
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(spans))
        yield provider
        provider.shutdown()

    @pytest.fixture
    def hook(self, reader: InMemoryMetricReader, tracers: TracerProvider) -> Iterator[OpenTelemetryHook]:
        """Give a hook that exports to memory."""
        meters = MeterProvider([reader])
        yield OpenTelemetryHook(meters, tracers)
        meters.shutdown()

    def points(self, reader: InMemoryMetricReader) -> dict[str, list[Any]]:
        """Return the data points of each metric."""
        data = reader.get_metrics_data()
        assert data is not None
        [scope] = data.resource_metrics[0].scope_metrics
        return {metric.name: list(metric.data.data_points) for metric in scope.metrics}

    def test_counters_and_durations(self, hook: OpenTelemetryHook, reader: InMemoryMetricReader) -> None:
        """Each has its metric, with namespace and outcome as attributes."""
        for details in one_of_each():
            hook(details)
        for name in NAMES:
            hook.count("crm", name, 2)
        points = self.points(reader)
        names = {f"{PREFIX}.{name}" for name in NAMES} | {f"{PREFIX}.{timer.name}.duration" for timer in TIMERS}
        assert points.keys() == names
        assert {points[f"{PREFIX}.{name}"][0].value for name in NAMES} == {2}
        outcomes = {dict(point.attributes)[f"{PREFIX}.outcome"] for point in points[f"{PREFIX}.refresh.duration"]}
        assert outcomes == {"refreshed", "fresh"}
        assert points[f"{PREFIX}.find.duration"][0].sum == 0.25

    def test_spans_of_a_store(
        self,
        fake: Backend,
        namespace: str,
        hook: OpenTelemetryHook,
        tracers: TracerProvider,
        spans: InMemorySpanExporter,
    ) -> None:
        """Each save is a span within the caller's; one that fails has the error's name, and nothing of its message."""
        tracer = tracers.get_tracer("application")
        with RedisTokenStore(fake.client(), namespace, hooks=[hook]) as store, tracer.start_as_current_span("request"):
            token = make_token("ada", refresh="rt", access="at")
            store.save_token(token)
            store.save_token(refreshed(token, "at2"))
            store.delete_token(token.get_id())
            with pytest.raises(TokenDeleted):
                store.save_token(token)
        first, second, refused, request = spans.get_finished_spans()
        assert {span.name for span in (first, second, refused)} == {f"{PREFIX}.save"}
        assert {span.parent and span.parent.span_id for span in (first, second, refused)} == {request.context.span_id}
        assert dict(first.attributes or {}) == {f"{PREFIX}.namespace": namespace}
        assert (second.attributes or {})[f"{PREFIX}.record_id"] == token.get_id()
        assert [span.status.status_code for span in (first, refused)] == [StatusCode.UNSET, StatusCode.ERROR]
        assert (refused.attributes or {})["error.type"] == "TokenDeleted"
        assert (refused.events, refused.status.description) == ((), None)

    def test_what_happens_within_is_a_child(
        self, hook: OpenTelemetryHook, tracers: TracerProvider, spans: InMemorySpanExporter
    ) -> None:
        """A request to Zoho that is traced belongs to the refresh that makes it."""
        with hook.span(Operation("crm", "refresh", None)), tracers.get_tracer("http").start_as_current_span("POST"):
            pass
        post, refresh = spans.get_finished_spans()
        assert post.parent is not None
        assert post.parent.span_id == refresh.context.span_id

    def test_the_global_providers_may_come_later(self) -> None:
        """Without providers the hook does nothing, and fails at nothing."""
        hook = OpenTelemetryHook()
        hook(FoundDetails("crm", "id", "fresh", 0.1))
        hook.count("crm", "finds", 1)
        with hook.span(Operation("crm", "save", None)):
            pass


def test_hooks_are_what_they_seem() -> None:
    """The hooks for metrics count, the one for traces has spans, the one that logs does neither."""
    prometheus, logs, telemetry = PrometheusHook(CollectorRegistry()), LoggingHook(), OpenTelemetryHook()
    assert [isinstance(hook, CountingHook) for hook in (prometheus, logs, telemetry)] == [True, False, True]
    assert [isinstance(hook, SpanHook) for hook in (prometheus, logs, telemetry)] == [False, False, True]


def test_what_has_a_duration_has_a_timer() -> None:
    """Each kind with seconds is observed by exactly one timer."""
    timed = {kind for kind in ALL if any(field.name == "seconds" for field in fields(kind))}
    assert timed == {kind for timer in TIMERS for kind in timer.kinds}
    assert sum(len(timer.kinds) for timer in TIMERS) == len(timed)
    assert {RefreshedDetails.outcome, FencedDetails.outcome} == {"refreshed", "fenced"}


def test_the_documents_say_what_is_exported() -> None:
    """The tables of operations.md are those that ``python -m zoho_token_store.instrumentation`` prints."""
    assert reference() in (ROOT / "docs" / "operations.md").read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "zoho_token_store.instrumentation"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == reference()


class TestDashboard:
    """``examples/grafana``: it asks for what is there."""

    def expressions(self) -> list[str]:
        """Return every PromQL expression of the dashboard."""
        panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
        return [*panels, *(each["definition"] for each in DASHBOARD["templating"]["list"] if "definition" in each)]

    def test_every_metric_and_label_is_exported(self, exported: dict[str, set[str]]) -> None:
        """Each name is that of a series, and each label in its braces or behind ``by`` one that this series has."""
        assert len(self.expressions()) >= 10
        for expression in self.expressions():
            names = re.findall(rf"{PREFIX}_\w+", expression)
            assert names, expression
            assert [name for name in names if name not in exported] == [], expression
            labels = set.union(*(exported[name] for name in names))
            matched = re.findall(r"[{,]\s*(\w+)\s*=~?", expression)
            grouped = [each.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for each in group.split(",")]
            asked = re.findall(r"label_values\([^,]+(?:\{[^}]*\})?,\s*(\w+)\)", expression)
            assert set(matched + grouped + asked) <= labels, expression

    def test_every_metric_is_in_a_panel(self) -> None:
        """As the document says."""
        asked = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ()))
        told = re.findall(rf"^\| `({PREFIX}_\w+)` \|", reference(), re.MULTILINE)
        assert len(told) > 20
        assert [name for name in told if name not in asked] == []

    def test_every_outcome_that_it_asks_for_may_come(self) -> None:
        """Values of the label ``outcome`` are words of the details or names of errors."""
        known = {"fresh", "leased", "missing", "stored", "refreshed", "fenced", *vars(zoho_token_store), "LeaseLost"}
        asked = {
            value
            for expression in self.expressions()
            for values in re.findall(r'outcome[!=]~?"([^"]*)"', expression)
            for value in values.split("|")
        }
        assert asked <= known

    def test_every_panel_can_be_drawn(self) -> None:
        """Each has a title, a description, a place of its own, a data source and an id of its own."""
        panels = DASHBOARD["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
        assert len(places) == len(panels)
        for panel in panels:
            assert panel["title"]
            if panel["type"] != "row":
                assert panel["description"]
                assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
                assert panel["targets"]
