"""The way to the server of a namespace: what answers mean, and what is learnt from errors."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from redis import exceptions

from zoho_token_store import route as route_module
from zoho_token_store.dialer import Address
from zoho_token_store.directory import ClusterNodes, Sentinels
from zoho_token_store.route import SoughtRoute, redirection

ASKED = Address("10.0.0.9", 7000)
SLOTS = [
    [0, 99, ["10.0.0.1", 7001, "id1"], ["10.0.0.4", 7004, "id4"]],
    [100, 199, ["", 7002, "id2"], ["10.0.0.5", 7005, "id5", {"hostname": "five"}]],
    [200, 300, [None, 7003, "id3"]],
]


class TestDirectories:
    """What is read from answers."""

    @pytest.mark.parametrize(
        ("slot", "place"), [(0, ("10.0.0.1", 7001)), (99, ("10.0.0.1", 7001)), (100, ("10.0.0.9", 7002)),
                            (250, ("10.0.0.9", 7003))]
    )  # fmt: skip
    def test_who_has_a_slot(self, slot: int, place: tuple[str, int]) -> None:
        """The first node of its range; one that does not know its own address is where it was asked."""
        found = ClusterNodes(slot).read(SLOTS, ASKED)
        assert found.place == place
        assert len(found.others) == 5

    def test_a_slot_that_nobody_has(self) -> None:
        """That is an error that may pass."""
        with pytest.raises(redis.ConnectionError, match="slot"):
            ClusterNodes(301).read(SLOTS, ASKED)

    def test_remapped_addresses(self) -> None:
        """A client's ``address_remap`` holds for all that nodes say."""
        found = ClusterNodes(0, lambda address: ("localhost", address[1] + 1)).read(SLOTS, ASKED)
        assert found.place == ("localhost", 7002)
        assert set(found.others) == {("localhost", port) for port in (7002, 7003, 7004, 7005, 7006)}

    def test_sentinels(self) -> None:
        """Host and port of the master, whose word for it is asked for; an unknown service is an error."""
        directory = Sentinels("tokens")
        assert directory.read(["10.0.0.1", "6379"], ASKED).place == ("10.0.0.1", 6379)
        assert Sentinels("tokens", "localhost").read(["10.0.0.1", "6379"], ASKED).place == ("localhost", 6379)
        with pytest.raises(redis.ConnectionError, match="service"):
            directory.read(None, ASKED)
        assert directory.proves("# Replication\r\nrole:master\r\nconnected_slaves:2\r\n")
        assert not directory.proves("# Replication\r\nrole:slave\r\nmaster_host:10.0.0.1\r\n")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (exceptions.MovedError("12 10.0.0.1:7001"), ("MOVED", ("10.0.0.1", 7001))),
        (exceptions.AskError("12 ::1:7001"), ("ASK", ("::1", 7001))),
        (redis.ResponseError("MOVED 12 10.0.0.1:7001"), ("MOVED", ("10.0.0.1", 7001))),
        (redis.ResponseError("ASK 12 :7001"), ("ASK", ("", 7001))),
        (redis.ResponseError("ASKING is not allowed"), ("", ("", 0))),
        (redis.ConnectionError("gone"), ("", ("", 0))),
    ],
)
def test_redirections(error: Exception, said: Any) -> None:
    """Both ways in which redis-py hands them on."""
    assert redirection(error) == said


class Watch:
    """A clock that only silent servers move.

    Attributes:
        now: What it shows, seconds.
    """

    now = 1000.0


@pytest.fixture(autouse=True)
def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have routes go by the clock that silent servers move."""
    monkeypatch.setattr(Watch, "now", 1000.0)
    monkeypatch.setattr(route_module, "monotonic", lambda: Watch.now)


class FakeConnection:
    """A connection to a made-up server.

    Args:
        servers: What each address answers to any question; an exception is raised.
        timeout: For connecting and reading, seconds; a silent server costs all of it.
        address: Where to.
    """

    def __init__(self, servers: dict[Address, Any], timeout: float, address: Address) -> None:
        self.host, self.port = address
        self.socket_timeout = timeout
        self._answer = servers[address]

    def send_command(self, *command: Any) -> None:
        """Take a command."""

    def read_response(self) -> Any:
        """Answer."""
        if self._answer is None:
            Watch.now += self.socket_timeout
            raise redis.TimeoutError("silent")
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def disconnect(self) -> None:
        """Close."""


class FakeDialer:
    """Makes connections to made-up servers, and writes down where to."""

    def __init__(self, servers: dict[Address, Any]) -> None:
        self.servers = servers
        self.dialed: list[Address] = []

    def dial(self, timeout: float, address: Address | None = None) -> FakeConnection:
        """Return a connection."""
        assert address is not None
        self.dialed.append(address)
        return FakeConnection(self.servers, timeout, address)

    def explain(self, error: Exception, at_most: float, address: Address | None = None) -> Exception:
        """Return the error: nothing here speaks TLS."""
        return error


ONE, TWO, THREE = (Address("10.0.1.1", port) for port in (1, 2, 3))
HOME, NEW = Address("10.0.0.1", 7001), Address("10.0.0.2", 7002)


def named(address: Address) -> Any:
    """Return a Sentinel's answer."""
    return [address.host, str(address.port)]


def route_of(sentinels: dict[Address, Any], home: Any = "role:master") -> tuple[SoughtRoute, FakeDialer, FakeDialer]:
    """Return a route, and what dials Sentinels and servers."""
    asking, dialer = FakeDialer(sentinels), FakeDialer({HOME: home, NEW: "role:master"})
    return SoughtRoute(Sentinels("tokens"), tuple(sentinels), asking, dialer), asking, dialer  # type: ignore[arg-type]


class TestSeeking:
    """How the server is found, and found again."""

    def test_a_silent_sentinel_costs_its_share(self) -> None:
        """One that does not answer costs a third of the time; the next is asked."""
        route, asking, _ = route_of({ONE: None, TWO: named(HOME), THREE: named(HOME)})
        assert route.open(0.3, 0.6).port == HOME.port
        assert Watch.now - 1000 == pytest.approx(0.1)
        assert asking.dialed == [ONE, TWO]

    def test_nobody_answers(self) -> None:
        """The time is bounded when all are silent, and the error may pass."""
        route, _, _ = route_of({ONE: None, TWO: None, THREE: None})
        with pytest.raises(redis.TimeoutError):
            route.open(0.3, 0.6)
        assert Watch.now - 1000 == pytest.approx(0.3)

    def test_a_refused_password_is_what_is_said(self) -> None:
        """A refusal says more than that another is silent."""
        refusal = redis.AuthenticationError("invalid username-password pair")
        route, _, _ = route_of({ONE: refusal, TWO: redis.ConnectionError("gone")})
        with pytest.raises(redis.AuthenticationError):
            route.open(0.3, 0.6)

    def test_it_is_asked_once(self) -> None:
        """What is known is not asked for again."""
        route, asking, dialer = route_of({ONE: named(HOME)})
        assert all(route.leads_to(route.open(1, 1)) for _ in range(3))
        assert len(asking.dialed) == 1
        assert dialer.dialed == [HOME] * 3

    def test_it_is_lost_while_it_is_found(self) -> None:
        """Another thread learns at once that the server has gone: whoever has found it goes there, and nowhere else."""

        class Forgetful(SoughtRoute):
            _place = property(lambda self: None, lambda self, place: None)

        asking, dialer = FakeDialer({ONE: named(HOME)}), FakeDialer({HOME: "role:master"})
        Forgetful(Sentinels("tokens"), (ONE,), asking, dialer).open(1, 1)  # type: ignore[arg-type]
        assert dialer.dialed == [HOME]

    def test_another_is_asked_after_a_failure(self) -> None:
        """A view that has turned out to be stale is only asked again in turn."""
        route, asking, _ = route_of({ONE: named(HOME), TWO: named(NEW)})
        lost = route.open(1, 1)
        route.learn(lost, redis.ConnectionError("gone"))
        assert not route.leads_to(lost)
        assert route.open(1, 1).port == NEW.port
        assert asking.dialed == [ONE, TWO]

    def test_a_replica_is_not_believed(self) -> None:
        """What a Sentinel names is asked for its role, and then another Sentinel is asked."""
        route, asking, _ = route_of({ONE: named(HOME), TWO: named(NEW)}, home="role:slave")
        with pytest.raises(redis.ConnectionError, match="not the master"):
            route.open(1, 1)
        assert route.open(1, 1).port == NEW.port
        assert asking.dialed == [ONE, TWO]

    def test_who_may_not_ask_for_the_role_believes(self) -> None:
        """A user without INFO is served."""
        route, _, _ = route_of({ONE: named(HOME)}, home=exceptions.NoPermissionError("no INFO"))
        assert route.leads_to(route.open(1, 1))

    @pytest.mark.parametrize(
        "error",
        [
            exceptions.ReadOnlyError("You can't write against a read only replica."),
            redis.ResponseError("READONLY You can't write against a read only replica."),
            exceptions.ClusterDownError("The cluster is down"),
            redis.ResponseError("UNBLOCKED force unblock from blocking operation"),
            ConnectionResetError(),
        ],
    )
    def test_what_makes_it_ask_again(self, error: Exception) -> None:
        """Answers that no master of the namespace gives, and broken connections."""
        route, _, _ = route_of({ONE: named(HOME)})
        connection = route.open(1, 1)
        route.learn(connection, error)
        assert not route.leads_to(connection)

    @pytest.mark.parametrize(
        "error", [exceptions.NoScriptError("none"), exceptions.TryAgainError("later"), redis.ResponseError("ASK 1 a:1")]
    )
    def test_what_does_not(self, error: Exception) -> None:
        """Answers of a server that has the namespace."""
        route, _, _ = route_of({ONE: named(HOME)})
        connection = route.open(1, 1)
        route.learn(connection, error)
        assert route.leads_to(connection)

    def test_moved_says_where_to(self) -> None:
        """Nobody has to be asked."""
        route, asking, _ = route_of({ONE: named(HOME)})
        connection = route.open(1, 1)
        route.learn(connection, exceptions.MovedError(f"12 {NEW.host}:{NEW.port}"))
        assert route.open(1, 1).port == NEW.port
        assert asking.dialed == [ONE]

    def test_old_news(self) -> None:
        """What goes wrong on a connection to where the namespace was says nothing of where it is."""
        route, asking, _ = route_of({ONE: named(HOME), TWO: named(NEW)})
        slow, quick = route.open(1, 1), route.open(1, 1)
        route.learn(quick, redis.ConnectionError("gone"))
        now = route.open(1, 1)
        route.learn(slow, redis.TimeoutError("gone"))
        assert route.leads_to(now)
        assert asking.dialed == [ONE, TWO]
