"""Hooks: who wants to know what a store does. What goes wrong in one is logged once, and never reaches a caller."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from zoho_token_store.details import DEGRADED, DegradedDetails, Details

log = logging.getLogger("zoho_token_store")


@runtime_checkable
class Hook(Protocol):
    """Anything that can be called with details; it looks at their type, and returns soon.

    It is called in the thread where the thing has happened, after it has; it must not call the store.
    """

    def __call__(self, details: Details, /) -> None:
        """Take note of something that has happened."""


@runtime_checkable
class CountingHook(Hook, Protocol):
    """A hook that keeps every counter of ``stats()``, too."""

    def count(self, namespace: str, name: str, by: int) -> None:
        """Add to a counter, one of :data:`zoho_token_store.stats.NAMES`."""


@dataclass(frozen=True)
class Operation:
    """Something that takes a while and is about to begin.

    Attributes:
        namespace: Of the store.
        name: ``refresh`` (with ``refresh="managed"``), ``wait`` or ``save``.
        record_id: Of the record; None if there is none yet.
    """

    namespace: str
    name: str
    record_id: str | None


@runtime_checkable
class SpanHook(Hook, Protocol):
    """A hook that is around operations, too."""

    def span(self, operation: Operation) -> AbstractContextManager[object]:
        """Return a context in which the operation takes place, with whatever it raises."""


class Hooks:
    """The hooks of one store.

    Args:
        namespace: Of the store.
        hooks: In the order in which they are told.

    Attributes:
        any: Whether there are any.
    """

    def __init__(self, namespace: str = "", hooks: Sequence[Hook] = ()) -> None:
        self.namespace = namespace
        self.any = bool(hooks)
        self._hooks = tuple(hooks)
        self._counting = tuple(hook for hook in hooks if isinstance(hook, CountingHook))
        self._around = tuple(hook for hook in hooks if isinstance(hook, SpanHook))
        self._failed: set[int] = set()

    def tell(self, details: Details) -> None:
        """Tell every hook."""
        for hook in self._hooks:
            self.guard(hook, hook, details)

    def count(self, name: str, by: int) -> None:
        """Tell of a counter that was added to; if it speaks of trouble, by details too."""
        for hook in self._counting:
            self.guard(hook, hook.count, self.namespace, name, by)
        if name in DEGRADED:
            self.tell(DegradedDetails(self.namespace, name, by))

    def around(self, name: str, record_id: str | None) -> AbstractContextManager[None]:
        """Return a context for an operation (:class:`Operation`)."""
        if not self._around:
            return nullcontext()
        return _Around(self, self._around, Operation(self.namespace, name, record_id))

    def guard(self, hook: Hook, call: Callable[..., Any], *args: object) -> Any:
        """Call a part of a hook; return None if it fails."""
        try:
            return call(*args)
        except Exception:
            if id(hook) not in self._failed:
                self._failed.add(id(hook))
                name = getattr(hook, "__qualname__", type(hook).__qualname__)
                log.exception("the hook %s has failed; this is said once", name)
            return None


class _Around(AbstractContextManager[None]):
    """Each hook's span, one within the other; what the operation raises goes on, whatever a hook makes of it."""

    def __init__(self, hooks: Hooks, around: Sequence[SpanHook], operation: Operation) -> None:
        self._hooks = hooks
        self._around = around
        self._operation = operation
        self._entered: list[tuple[SpanHook, AbstractContextManager[object]]] = []

    def __enter__(self) -> None:
        for hook in self._around:
            span = self._hooks.guard(hook, self._enter, hook)
            if span is not None:
                self._entered.append((hook, span))

    def _enter(self, hook: SpanHook) -> AbstractContextManager[object]:
        span = hook.span(self._operation)
        span.__enter__()
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook, span in reversed(self._entered):
            self._hooks.guard(hook, span.__exit__, kind, error, trace)
