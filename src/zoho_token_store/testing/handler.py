"""HTTP around the endpoints: parse, let the switches act, answer, count."""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .control import answer_control
from .endpoints import Outcome
from .faults import Area, Failure
from .ledger import Entry
from .standin import StandIn
from .wire import Answer, Request, json_answer

LARGEST_BODY = 1_000_000  # bytes
SLICE = 0.02  # seconds between two looks at a caller who waits


class Handler(BaseHTTPRequestHandler):
    """Serve one connection."""

    zoho: StandIn  # set on a subclass by the server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536  # head and body leave in one packet
    timeout = 60.0  # seconds that an idle connection is kept

    def do_GET(self) -> None:
        """Serve a GET."""
        self._serve()

    def do_POST(self) -> None:
        """Serve a POST."""
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: request lines hold codes."""

    def _serve(self) -> None:
        request = self._read()
        if request is None:
            return
        route = (request.method, request.path)
        endpoints = self.zoho.endpoints
        if request.path.startswith("/_control/"):
            self._send(answer_control(self.zoho, request))
        elif route == ("POST", "/oauth/v2/token"):
            entry = self.zoho.ledger.open("token", endpoints.subject(request))
            self._serve_faulty(request, "accounts", entry, endpoints.token)
        elif route == ("POST", "/oauth/v2/token/revoke"):
            self._serve_faulty(request, "accounts", self.zoho.ledger.open("revoke"), endpoints.revoke)
        elif route == ("GET", "/oauth/v2/auth"):
            entry = self.zoho.ledger.open("auth")
            outcome = endpoints.consent(request)
            entry.close(outcome.counter, outcome.word)
            self._send(outcome.answer)
        elif request.method == "GET" and request.path.startswith("/crm/"):
            self._serve_faulty(request, "crm", self.zoho.ledger.open(request.path[:100]), endpoints.crm)
        else:
            self._send(json_answer(404, {"error": "not in the stand-in"}))

    def _read(self) -> Request | None:
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= LARGEST_BODY:
            self.close_connection = True
            self._send(json_answer(413, {"error": "body too large, or of no known length"}))
            return None
        body = self.rfile.read(length)
        parts = urlsplit(self.path)
        params = dict(parse_qsl(parts.query, keep_blank_values=True))
        if "form-urlencoded" in self.headers.get("Content-Type", ""):
            params.update(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        base_url = self.zoho.public_url or f"http://{self.headers.get('Host', 'localhost')}"
        return Request(self.command, parts.path, params, self.headers.get("Authorization", ""), base_url, body)

    def _serve_faulty(self, request: Request, area: Area, entry: Entry, work: Callable[[Request], Outcome]) -> None:
        """Answer, with what the switches plan for it.

        The entry is closed before the first byte of the answer leaves: a caller who has its answer may ask again at
        once, and that must not look like two requests in flight.
        """
        try:
            if not self._wait(lambda: self.zoho.faults.hanging(area)):
                self.close_connection = True
                return
            plan = self.zoho.faults.plan(area)
            outcome = self._planned(plan.failure) or work(request)
            gone = not self._delay(plan.latency)
            lost = gone or (plan.failure is not None and plan.failure.kind in ("reset", "half"))
            entry.close(outcome.counter, outcome.word, heard=not lost)
            self._deliver(outcome.answer, plan.failure, gone)
        finally:
            entry.close("abandoned", "abandoned", heard=False)

    @staticmethod
    def _planned(failure: Failure | None) -> Outcome | None:
        if failure is None or failure.kind in ("reset", "half"):
            return None
        kind = "text/html;charset=UTF-8" if failure.kind == "garbage" else "application/json;charset=UTF-8"
        return Outcome(Answer(failure.status, failure.body.encode(), kind), "errors", f"HTTP {failure.status}")

    def _deliver(self, answer: Answer, failure: Failure | None, gone: bool) -> None:
        if gone:
            self.close_connection = True
        elif failure is not None and failure.kind == "half":
            self._send(answer, cut=True)
        elif failure is not None and failure.kind == "reset":
            self._send(answer, cut=True)
            self._reset()
        else:
            self._send(answer)

    def _send(self, answer: Answer, cut: bool = False) -> None:
        self.close_connection = self.close_connection or cut
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        self.wfile.flush()

    def _reset(self) -> None:
        # Zero linger makes close() send RST. The descriptor is taken from the socket object, because the server
        # would otherwise say goodbye with a FIN first.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(self.connection.detach())

    def _wait(self, hanging: Callable[[], bool]) -> bool:
        while hanging():
            if not self._wait_once(SLICE):
                return False
        return True

    def _delay(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not self._wait_once(min(left, SLICE)):
                return False
        return True

    def _wait_once(self, seconds: float) -> bool:
        """Wait; False when the caller has gone or the stand-in was stopped."""
        if self.zoho.stopped.wait(seconds):
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ)
            try:
                return not selector.select(0) or bool(self.connection.recv(1, socket.MSG_PEEK))
            except OSError:
                return False
