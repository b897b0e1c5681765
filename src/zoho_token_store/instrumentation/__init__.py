"""What a store tells of its work, and who may be told: the option ``hooks``.

A hook is anything that can be called with details::

    def alert(details):
        if isinstance(details, RefreshFailedDetails) and details.outcome == "RefreshRejected":
            page_somebody(details.record_id)

    store = RedisTokenStore(client, "crm", hooks=[LoggingHook(), alert])

``PrometheusHook`` is in :mod:`zoho_token_store.instrumentation.prometheus` and ``OpenTelemetryHook`` in
:mod:`zoho_token_store.instrumentation.opentelemetry`: what they are made of comes with extras of their names.
"""

from zoho_token_store.details import (
    DegradedDetails,
    DeletedDetails,
    Details,
    FencedDetails,
    FoundDetails,
    RefreshedDetails,
    RefreshFailedDetails,
    SavedDetails,
    WaitedDetails,
)
from zoho_token_store.hooks import CountingHook, Hook, Operation, SpanHook
from zoho_token_store.instrumentation.log import LoggingHook

__all__ = [
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
