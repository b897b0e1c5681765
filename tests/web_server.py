"""A small web server that answers as a test wants, remembers what it was sent, and may be a proxy for others."""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

Reply = Callable[[BaseHTTPRequestHandler], None]
"""Answers one request."""

PASSED_ON = ("Authorization", "Content-Type")
"""Headers that the proxy sends on."""


class WebServer(ThreadingHTTPServer):
    """Answers all requests in one way, keeps connections open and counts them, and remembers what it was sent.

    Args:
        reply: Answers one request.
        context: For TLS.

    Attributes:
        seen: Method, path, headers and body of each request.
        accepted: How many connections there were.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, reply: Reply, context: ssl.SSLContext | None = None) -> None:
        self.accepted = 0
        self.seen: list[tuple[str, str, Any, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                outer.seen.append((self.command, self.path, self.headers, body))
                reply(self)

            do_GET = do_CONNECT = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.context = context

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        self.accepted += 1
        return (self.context.wrap_socket(connection, server_side=True) if self.context else connection), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that leave are what these tests are about

    @property
    def url(self) -> str:
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.server_port}"

    @property
    def forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(body, keep_blank_values=True)) for _, _, _, body in self.seen]


def answer(status: int, body: object, **headers: str) -> Reply:
    """Return a way to answer: JSON of an object, or bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def forward(handler: BaseHTTPRequestHandler) -> None:
    """Be a forward proxy: pass on a request with a whole URL, or tunnel."""
    if handler.command == "CONNECT":
        host, port = handler.path.split(":")
        with socket.create_connection((host, int(port))) as target:
            handler.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {handler.connection: target, target: handler.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        handler.close_connection = True
                        return
                    ends[end].sendall(data)
    to = urlsplit(handler.path)
    connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=10)
    try:
        body = handler.server.seen[-1][3]  # type: ignore[attr-defined]
        headers = {name: value for name in PASSED_ON if (value := handler.headers[name])}
        connection.request(handler.command, urlunsplit(("", "", *to[2:])), body, headers)
        got = connection.getresponse()
        answer(got.status, got.read())(handler)
    finally:
        connection.close()


@contextmanager
def serving(reply: Reply, context: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """Run a server until the context ends."""
    server = WebServer(reply, context)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
