"""The tables of ``docs/operations.md``: every event and every metric, as the code has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from zoho_token_store.details import ALL, DEGRADED, Details
from zoho_token_store.instrumentation.metrics import PREFIX, TIMERS
from zoho_token_store.stats import NAMES


def reference() -> str:
    """Return the tables as Markdown."""
    return "\n\n".join((_table(_EVENT_HEAD, map(_event, ALL)), _table(_METRIC_HEAD, (*_timers(), *_counters()))))


_EVENT_HEAD = ("event", "details", "fields beside `namespace`", "what it means")
_METRIC_HEAD = ("Prometheus", "OpenTelemetry", "labels", "what it is")


def _event(kind: type[Details]) -> tuple[str, ...]:
    names = [f"`{field.name}`" for field in fields(kind) if field.name != "namespace"]
    told = (kind.__doc__ or "").partition("\n")[0].rstrip(".")
    return kind.event, f"`{kind.__name__}`", ", ".join(names), told[0].lower() + told[1:]


def _timers() -> Iterable[tuple[str, ...]]:
    for timer in TIMERS:
        yield (
            f"`{PREFIX}_{timer.name}_seconds`",
            f"`{PREFIX}.{timer.name}.duration`",
            "`namespace`, `outcome`",
            f"histogram: {timer.description}",
        )


def _counters() -> Iterable[tuple[str, ...]]:
    for name, text in NAMES.items():
        told = "; told as degraded" if name in DEGRADED else ""
        yield f"`{PREFIX}_{name}_total`", f"`{PREFIX}.{name}`", "`namespace`", text + told


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("|{}|".format("|".join(f" {cell} " if cell != "---" else cell for cell in line)) for line in lines)
