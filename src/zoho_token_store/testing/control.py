"""JSON endpoints under ``/_control/`` by which other processes steer the stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from .model import Refused
from .standin import StandIn
from .wire import Answer, Request, json_answer

Command = Callable[[StandIn, dict[str, Any]], Any]


def _state(zoho: StandIn, _: dict[str, Any]) -> Any:
    return {
        **zoho.ledger.as_dict(),
        "max_in_flight": zoho.ledger.max_in_flight(),
        "faults": zoho.faults.as_dict(),
        "limits": asdict(zoho.accounts.limits),
    }


def _register_client(zoho: StandIn, options: dict[str, Any]) -> Any:
    client = zoho.register_client(**options)
    return {"client_id": client.client_id, "redirect_uris": client.redirect_uris}


def _done(action: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **options: Any) -> Any:
        action(*args, **options)
        return {}

    return run


QUERIES: dict[str, Command] = {
    "health": lambda zoho, _: {"status": "ok"},
    "state": _state,
    "counters": lambda zoho, _: asdict(zoho.counters),
    "requests": lambda zoho, _: [asdict(seen) for seen in zoho.requests],
}
COMMANDS: dict[str, Command] = {
    "faults": lambda zoho, options: asdict(zoho.faults.set(**options)),
    "fail": lambda zoho, options: _done(zoho.faults.fail_next)(**options),
    "clear-faults": lambda zoho, options: _done(zoho.faults.clear)(**options),
    "reset": lambda zoho, options: _done(zoho.reset)(**options),
    "advance": lambda zoho, options: _done(zoho.advance)(**options),
    "client": _register_client,
    "user": lambda zoho, options: asdict(zoho.register_user(**options)),
    "grant-code": lambda zoho, options: {"value": zoho.issue_grant_code(**options)},
    "refresh-token": lambda zoho, options: {"value": zoho.issue_refresh_token(**options)},
    "access-token": lambda zoho, options: {"value": zoho.issue_access_token(**options)},
    "expire": lambda zoho, options: {"value": zoho.expire_access_tokens(**options)},
}


def answer_control(zoho: StandIn, request: Request) -> Answer:
    """Answer a control request: GET reads, POST takes a JSON object of the method's keyword arguments.

    Bad arguments give HTTP 400 with ``{"error": …}``, an unknown name 404.
    """
    name = request.path.removeprefix("/_control/")
    command = {"GET": QUERIES, "POST": COMMANDS}.get(request.method, {}).get(name)
    if command is None:
        return json_answer(404, {"error": f"no {request.method} control of that name"})
    try:
        options = json.loads(request.body) if request.body else {}
        if not isinstance(options, dict):
            raise ValueError("the body must be a JSON object")
        return json_answer(200, command(zoho, options))
    except (ValueError, TypeError, Refused) as error:
        return json_answer(400, {"error": str(error)})
