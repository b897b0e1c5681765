"""The proxy that loses requests and replies."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from proxy import FaultyProxy, RequestReader
from servers import Server


@pytest.fixture(params=["unix", "tcp"])
def proxy(request: pytest.FixtureRequest, real_server: Server) -> Iterator[FaultyProxy]:
    """Put a proxy before the server, on either kind of socket."""
    with FaultyProxy(real_server.socket_path, tcp=request.param == "tcp") as proxy:
        yield proxy


def test_commands_pass_and_are_counted(proxy: FaultyProxy) -> None:
    """Without a fault nothing differs but the counters, for pipelines and large values too."""
    client = proxy.client(3)
    large = b"x" * 300_000
    client.set("a", large)
    with client.pipeline(transaction=False) as pipeline:
        pipeline.get("a").incr("n").incr("n")
        assert pipeline.execute() == [large, 1, 2]
    assert (proxy.commands["SET"], proxy.commands["GET"], proxy.commands["INCRBY"]) == (1, 1, 2)
    assert proxy.accepted == len(proxy.connections) == 1
    proxy.reset_counts()
    assert not proxy.commands


def test_lost_reply(proxy: FaultyProxy, real_server: Server) -> None:
    """The server has done it, the client does not know; the next request goes through on a new connection."""
    client = proxy.client()
    proxy.drop_next_reply("incrby")  # what redis-py sends for incr
    client.set("b", 1)
    with pytest.raises(redis.ConnectionError):
        client.incr("n")
    assert real_server.client().get("n") == b"1"
    assert client.incr("n") == 2
    assert proxy.armed == 0


def test_lost_request(proxy: FaultyProxy, real_server: Server) -> None:
    """The server has not seen it. A fault for any command spares those that open a connection."""
    client = proxy.client(3)
    proxy.drop_next_request()
    with pytest.raises(redis.ConnectionError):
        client.incr("n")
    assert real_server.client().get("n") is None
    assert client.incr("n") == 1
    assert proxy.commands["INCRBY"] == 2


def test_only_the_request_meant_is_lost_from_a_pipeline(proxy: FaultyProxy, real_server: Server) -> None:
    """What follows the lost one on the same connection is lost with it, as on a broken connection."""
    client = proxy.client()
    client.ping()
    proxy.drop_next_request("GET")
    pipeline = client.pipeline(transaction=False).incr("n").get("n").incr("n")
    with pytest.raises(redis.ConnectionError):
        pipeline.execute()
    assert real_server.client().get("n") in (None, b"1")  # the first may still be on its way


def test_faults_wait_in_line(proxy: FaultyProxy) -> None:
    """Two faults hit two requests."""
    client = proxy.client()
    proxy.drop_next_reply("GET")
    proxy.drop_next_request("GET")
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.get("a")
    assert client.get("a") is None


def test_black_hole(proxy: FaultyProxy) -> None:
    """Requests are taken and never answered; afterwards the world is whole again."""
    client = proxy.client(socket_timeout=1.0)
    client.ping()
    proxy.black_hole = True
    with pytest.raises(redis.TimeoutError):
        client.get("a")
    proxy.disarm()
    assert client.get("a") is None
    assert proxy.commands["GET"] == 2


def test_refuse_and_cut(proxy: FaultyProxy) -> None:
    """Open connections are cut, new ones refused, until they are let in again."""
    client = proxy.client()
    client.ping()
    proxy.refuse = True
    proxy.cut()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    assert not proxy.connections
    proxy.refuse = False
    assert client.ping()


def test_delay(proxy: FaultyProxy) -> None:
    """Each request is held back."""
    client = proxy.client()
    client.ping()
    proxy.delay = 0.03
    started = time.monotonic()
    client.ping()
    assert time.monotonic() - started >= 0.03


def test_one_connection_alone(proxy: FaultyProxy) -> None:
    """A connection's own switches touch no other."""
    unlucky, lucky = proxy.client(socket_timeout=1.0), proxy.client()
    unlucky.ping()
    proxy.connections[0].drop_next_reply()
    lucky.set("a", 1)
    with pytest.raises(redis.ConnectionError):
        unlucky.get("a")
    unlucky.ping()
    proxy.connections[-1].black_hole = True
    assert lucky.get("a") == b"1"
    with pytest.raises(redis.TimeoutError):
        unlucky.get("a")


def test_a_server_that_is_down(real_server: Server) -> None:
    """The proxy is as dead as what it stands for, and comes back with it."""
    with FaultyProxy(real_server.socket_path) as proxy:
        client = proxy.client()
        real_server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        real_server.start()
        assert client.ping()


def test_blocking_read_through_the_proxy(proxy: FaultyProxy, real_server: Server) -> None:
    """A request that is answered late holds up nobody else."""
    real_server.client().xadd("s", {"a": "1"})
    assert proxy.client().xread({"s": "$"}, block=10) in ([], {}, None)


def test_requests_are_cut_out_of_any_chunks() -> None:
    """Requests are found however the stream is split; inline commands too."""
    stream = b"*2\r\n$3\r\nget\r\n$5\r\na\r\nb*\r\nPING\r\n*1\r\n$4\r\nPING\r\n"
    reader = RequestReader()
    found = [request for byte in stream for request in reader.feed(bytes([byte]))]
    assert [command for command, _ in found] == ["GET", "PING", "PING"]
    assert b"".join(request for _, request in found) == stream
    assert list(RequestReader().feed(stream)) == found
