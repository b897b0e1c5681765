"""Switches that make the stand-in misbehave, and the plan that they give for one request."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

Area = Literal["accounts", "crm"]
FailureKind = Literal["status", "garbage", "reset", "half"]


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """Hold the standing switches.

    Args:
        latency: delay of each accounts answer, seconds; the work is done before it.
        crm_latency: the same for CRM answers.
        hang: let accounts requests wait, with the work not done, until this is off or the caller has gone.
        crm_hang: the same for CRM requests.
        throttle_language: ``"en"``, or ``"zh"`` for the body that accounts in Chinese get.
        throttle_status: HTTP status of a throttled answer; Zoho has been seen to give 400 and 200.
        refused_status: HTTP status of ``invalid_code`` and the like; Zoho gives 200 for most.
        omit_api_domain: leave ``api_domain`` out of token answers.
        legacy_expiry: answer ``expires_in`` in milliseconds beside ``expires_in_sec``, as Zoho once did.
        rotate_refresh_tokens: give a new refresh token at each refresh and refuse the old one.
        rotation_overlaps: then let the old one go on working beside the new one.

    Raises:
        ValueError: a switch with a value that it cannot have.
    """

    latency: float = 0.0
    crm_latency: float = 0.0
    hang: bool = False
    crm_hang: bool = False
    throttle_language: Literal["en", "zh"] = "en"
    throttle_status: int = 400
    refused_status: int = 200
    omit_api_domain: bool = False
    legacy_expiry: bool = False
    rotate_refresh_tokens: bool = False
    rotation_overlaps: bool = False

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(item.default, bool):
                good, allowed = isinstance(value, bool), "true or false"
            elif item.name == "throttle_language":
                good, allowed = value in ("en", "zh"), "'en' or 'zh'"
            elif isinstance(item.default, float):
                good, allowed = isinstance(value, (int, float)) and value >= 0, "seconds, 0 or more"
            else:
                good, allowed = isinstance(value, int) and 200 <= value <= 599, "an HTTP status"
            if not good:
                raise ValueError(f"fault {item.name} must be {allowed}, not {value!r}")


@dataclass(frozen=True, slots=True)
class Failure:
    """Describe one planned failure.

    ``status`` and ``garbage`` answer in place of the work, which is not done. ``reset`` and ``half`` do the work, a
    code is spent and a token issued, and then lose the answer.
    """

    kind: FailureKind
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Describe what shall go wrong with one request."""

    latency: float
    failure: Failure | None


class Faults:
    """Hold the switches of one stand-in. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings = FaultSettings()
        self._queued: dict[Area, list[tuple[int | None, Failure]]] = {"accounts": [], "crm": []}

    @property
    def settings(self) -> FaultSettings:
        """Return the standing switches."""
        return self._settings

    def set(self, **switches: Any) -> FaultSettings:
        """Change standing switches; the rest stay as they are.

        Args:
            **switches: fields of `FaultSettings`.

        Raises:
            ValueError: an unknown switch, or a value that it cannot have.
        """
        known = {item.name for item in fields(FaultSettings)}
        if unknown := sorted(set(switches) - known):
            raise ValueError(f"unknown fault {unknown[0]!r}; known: {', '.join(sorted(known))}")
        with self._lock:
            self._settings = replace(self._settings, **switches)
            return self._settings

    def fail_next(
        self,
        times: int | None = 1,
        *,
        kind: FailureKind = "status",
        area: Area = "accounts",
        status: int | None = None,
        body: str | None = None,
    ) -> None:
        """Let the next requests fail, after those that are planned already.

        Args:
            times: how many; None for all until `clear`.
            kind: see `Failure`.
            area: ``"accounts"`` or ``"crm"``.
            status: HTTP status for ``status`` (500 by default) and ``garbage`` (200).
            body: body of the answer, instead of a short one that fits the kind.

        Raises:
            ValueError: an argument that is none of these.
        """
        if kind not in get_args(FailureKind) or area not in get_args(Area):
            raise ValueError(f"kind must be one of {get_args(FailureKind)} and area one of {get_args(Area)}")
        if times is not None and (not isinstance(times, int) or times < 1):
            raise ValueError(f"times must be 1 or more, or None for all, not {times!r}")
        garbage = kind == "garbage"
        status = (200 if garbage else 500) if status is None else status
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"status must be an HTTP status, not {status!r}")
        if body is None:
            body = "<html><body>Zoho is having a moment</body></html>" if garbage else '{"error": "internal_error"}'
        with self._lock:
            self._queued[area].append((times, Failure(kind, status, body)))

    def clear(self) -> None:
        """Put all switches back and drop planned failures; hanging requests go on."""
        with self._lock:
            self._settings = FaultSettings()
            self._queued = {"accounts": [], "crm": []}

    def hanging(self, area: Area) -> bool:
        """Tell whether requests of that area have to wait."""
        return self._settings.hang if area == "accounts" else self._settings.crm_hang

    def plan(self, area: Area) -> Plan:
        """Use up one planned failure, if there is any, and say what shall go wrong with this request."""
        with self._lock:
            latency = self._settings.latency if area == "accounts" else self._settings.crm_latency
            queue = self._queued[area]
            if not queue:
                return Plan(latency, None)
            times, failure = queue[0]
            if times == 1:
                queue.pop(0)
            elif times is not None:
                queue[0] = (times - 1, failure)
            return Plan(latency, failure)

    def as_dict(self) -> dict[str, Any]:
        """Return switches and the number of planned failures per area (-1: no end), for JSON."""
        with self._lock:
            planned = {
                area: -1 if any(times is None for times, _ in queue) else sum(times or 0 for times, _ in queue)
                for area, queue in self._queued.items()
            }
            return {**asdict(self._settings), "planned": planned}
