"""A proxy in front of a server that loses requests and replies on demand, and counts the commands that it sees.

    with FaultyProxy(server.socket_path) as proxy:
        client = proxy.client()
        proxy.drop_next_reply("EVALSHA")   # the server runs it, the client never hears of it

Switches of the proxy hold for all connections; each of `FaultyProxy.connections` has the same ones for itself. A
one-shot fault waits for the first request it fits. Without a command's name it fits any but those by which redis-py
opens a connection.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import redis

from servers import Protocol, client_for

OPENING = frozenset({"AUTH", "CLIENT", "HELLO", "PING", "SELECT"})
"""Commands that redis-py sends of its own accord; a fault must be asked for by name to hit one."""

Address = str | tuple[str, int]
"""The path of a Unix socket, or host and port."""

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)


class Switches:
    """What is to go wrong.

    Attributes:
        delay: Seconds that each request is held back before it is forwarded.
        black_hole: Whether requests are read, counted and lost, so that the client waits in vain.
    """

    def __init__(self) -> None:
        self.delay = 0.0
        self.black_hole = False
        self._armed: list[tuple[Literal["request", "reply"], str | None]] = []
        self._lock = threading.Lock()

    def drop_next_request(self, command: str | None = None) -> None:
        """Close the connection instead of forwarding the next request: the server never sees it."""
        self._arm("request", command)

    def drop_next_reply(self, command: str | None = None) -> None:
        """Forward the next request, and close the connection when the server has answered it."""
        self._arm("reply", command)

    @property
    def armed(self) -> int:
        """How many one-shot faults still wait for a request."""
        return len(self._armed)

    def disarm(self) -> None:
        """Take back all faults, and let requests through."""
        with self._lock:
            self._armed.clear()
        self.delay, self.black_hole = 0.0, False

    def take(self, command: str) -> Literal["request", "reply"] | None:
        """Use up the first one-shot fault that fits a command."""
        with self._lock:
            for index, (fault, wanted) in enumerate(self._armed):
                if wanted == command or (wanted is None and command not in OPENING):
                    del self._armed[index]
                    return fault
        return None

    def _arm(self, fault: Literal["request", "reply"], command: str | None) -> None:
        with self._lock:
            self._armed.append((fault, command.upper() if command else None))


class FaultyProxy(Switches):
    """Listens in a server's place and forwards request by request.

    Args:
        target: The server's address.
        tcp: Whether to listen on a free port of 127.0.0.1 rather than on a Unix socket.

    Attributes:
        commands: How often each command was requested, by its name in capitals; lost ones too.
        connections: Those that are open now, oldest first.
        accepted: How many connections there were.
        refuse: Whether new connections are reset at once.
    """

    def __init__(self, target: Address, *, tcp: bool = False) -> None:
        super().__init__()
        self.commands: Counter[str] = Counter()
        self.connections: list[ProxiedConnection] = []
        self.accepted = 0
        self.refuse = False
        self._target = target
        self._directory = tempfile.mkdtemp(prefix="ztp-", dir="/tmp")
        self._listener = _listen(None if tcp else f"{self._directory}/p")
        self.address: Address = self._listener.getsockname()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The proxy's address as a URL for redis-py."""
        return f"unix://{self.address}" if isinstance(self.address, str) else "redis://{}:{}".format(*self.address)

    def client(self, protocol: Protocol = 2, **options: Any) -> redis.Redis:
        """Return a client that talks through the proxy; it does not retry, unless told to."""
        return client_for(self.url, protocol, **options)

    def reset_counts(self) -> None:
        """Count from zero."""
        self.commands.clear()
        self.accepted = 0

    def cut(self) -> None:
        """Close every open connection."""
        for connection in list(self.connections):
            connection.close()

    def close(self) -> None:
        """Stop listening and close every connection."""
        self._closed.set()
        with contextlib.suppress(OSError), _connect(self.address):
            pass  # wakes the listening thread, which a mere close of its socket does not
        self._thread.join()
        self._listener.close()
        self.cut()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closed.is_set():
                client.close()
                return
            self.accepted += 1
            if self.refuse:
                _reset(client)
                continue
            try:
                server = _connect(self._target)
            except OSError:  # the server is down, and so are we
                _reset(client)
                continue
            ProxiedConnection(self, client, server).start()


class ProxiedConnection(Switches):
    """One client's connection through a proxy, with switches of its own."""

    def __init__(self, proxy: FaultyProxy, client: socket.socket, server: socket.socket) -> None:
        super().__init__()
        self._proxy = proxy
        self._client = client
        self._server = server
        self._closed = threading.Event()
        self._swallow = False

    def start(self) -> None:
        """Forward; whoever has got a reply finds the connection among the proxy's."""
        self._proxy.connections.append(self)
        for pump in (self._pump_requests, self._pump_replies):
            threading.Thread(target=pump, name="proxy", daemon=True).start()

    def close(self) -> None:
        """Close both ends."""
        self._closed.set()
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it, which then closes it
        with contextlib.suppress(ValueError):
            self._proxy.connections.remove(self)

    def _pump_requests(self) -> None:
        reader = RequestReader()
        with contextlib.suppress(OSError), self._client:
            while data := self._client.recv(_CHUNK):
                for command, request in reader.feed(data):
                    if not self._forward(command, request):
                        return self.close()
        return self.close()

    def _forward(self, command: str, request: bytes) -> bool:
        """Do with one request what the switches say; whether the connection goes on."""
        self._proxy.commands[command] += 1
        delay = max(self.delay, self._proxy.delay)
        if delay and self._closed.wait(delay):
            return False
        if self.black_hole or self._proxy.black_hole:
            return True
        fault = self.take(command) or self._proxy.take(command)
        if fault == "request":
            return False
        if fault == "reply":
            self._swallow = True  # before the request goes out, or its reply might be faster
        self._server.sendall(request)
        return True

    def _pump_replies(self) -> None:
        with contextlib.suppress(OSError), self._server:
            while data := self._server.recv(_CHUNK):
                if self._swallow:
                    break  # it has answered, so it has done what was asked
                self._client.sendall(data)
        self.close()


class RequestReader:
    """Cuts a stream of bytes into requests."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """Take more of the stream; yield each complete request's command in capitals and its bytes."""
        self._buffer += data
        while (parsed := _parse(self._buffer)) is not None:
            command, end = parsed
            request, self._buffer = self._buffer[:end], self._buffer[end:]
            yield command, request


def _parse(buffer: bytes) -> tuple[str, int] | None:
    """Return the first request's command and where it ends, or None if it is not complete."""
    line_end = buffer.find(b"\r\n")
    if line_end < 0:
        return None
    position = line_end + 2
    if not buffer.startswith(b"*"):  # an inline command
        words = buffer[:line_end].split()
        return (words[0].decode("latin-1").upper() if words else ""), position
    command = ""
    for index in range(int(buffer[1:line_end])):
        line_end = buffer.find(b"\r\n", position)
        if line_end < 0:
            return None
        start = line_end + 2
        position = start + int(buffer[position + 1 : line_end]) + 2
        if len(buffer) < position:
            return None
        if index == 0:
            command = buffer[start : position - 2].decode("latin-1").upper()
    return command, position


def _listen(path: str | None) -> socket.socket:
    if path is None:
        return socket.create_server(("127.0.0.1", 0))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    return listener


def _connect(address: Address) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address, timeout=None)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(os.fspath(address))
    except OSError:
        connection.close()
        raise
    return connection


def _reset(connection: socket.socket) -> None:
    """Close a connection so that the other end gets an error rather than an end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.close()
