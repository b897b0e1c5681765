"""The listening socket of the stand-in, and the connections that it must be able to close."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Listener(ThreadingHTTPServer):
    """Serve each connection in a daemon thread and remember it, so that stopping can close it."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512  # a fleet that boots together connects together

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without http.server's reverse look-up of the host name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, then serve it."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Close what is still open; the threads behind it end by themselves."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # closed meanwhile by its own thread
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong, except that callers go away."""
        if not isinstance(sys.exc_info()[1], OSError):
            logging.getLogger("zoho_token_store.testing").exception("the stand-in failed")
