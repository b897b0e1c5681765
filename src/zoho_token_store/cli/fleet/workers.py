"""What workers count for themselves and tell Prometheus: look-ups, hits of near caches, waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import click
import requests

from zoho_token_store.cli.target import Away
from zoho_token_store.errors import StoreUnavailable
from zoho_token_store.instrumentation.metrics import PREFIX
from zoho_token_store.stats import NAMES

TIMEOUT = 5.0
"""Longest time that a page may take to begin, or to go on, seconds."""


def ask_workers(urls: Sequence[str], namespace: str) -> dict[str, Any]:
    """Return the counters of all workers together, and what follows from them.

    Args:
        urls: Pages that Prometheus reads, each of one process, or of all processes of a gunicorn.
        namespace: Which store's.

    Raises:
        Away: A page cannot be had.
        click.ClickException: It is no such page, or says nothing of the namespace.
    """
    counts: Counter[str] = Counter(dict.fromkeys(NAMES, 0))
    for url in urls:
        found = read_page(_page(url), namespace)
        if not found:
            raise click.ClickException(f"metrics: a page says nothing of the namespace {namespace!r}")
        counts.update(found)
    look_ups = counts["finds"] + counts["near_hits"]
    return {"look_ups": look_ups, "hit_rate": counts["near_hits"] / look_ups if look_ups else None, **counts}


def read_page(text: str, namespace: str) -> dict[str, int]:
    """Return the counters of a namespace that a page has.

    Raises:
        click.ClickException: It is no page of metrics.
    """
    found: Counter[str] = Counter()
    try:
        for sample in _samples(text):
            name = sample.name.removeprefix(f"{PREFIX}_").removesuffix("_total")
            if name in NAMES and sample.labels.get("namespace") == namespace and sample.name.endswith("_total"):
                found[name] += int(sample.value)
    except (ValueError, LookupError, AttributeError, OverflowError):  # whatever the parser comes upon
        raise click.ClickException("metrics: a page is not what Prometheus reads") from None
    return found


def _samples(text: str) -> Iterable[Any]:
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        raise click.ClickException("--metrics needs prometheus-client: the extra prometheus") from None
    return (sample for family in text_string_to_metric_families(text) for sample in family.samples)


def _page(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise click.UsageError("--metrics takes the URL of a page of metrics, http:// or https://")
    try:
        response = requests.get(url, timeout=TIMEOUT)
        response.raise_for_status()
        return response.text
    except (requests.RequestException, ValueError) as error:  # not repeated: a URL may hold a password
        raise Away(StoreUnavailable(f"a page of metrics cannot be had ({type(error).__name__})")) from None
