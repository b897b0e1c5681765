"""Redis's clock and this machine's."""

from __future__ import annotations

import pytest

from zoho_token_store.clock import AGREE_MS, ServerClock, SystemClock


class HandClock(SystemClock):
    """Clocks that are moved by hand."""

    def __init__(self) -> None:
        self.ticks = 1000.0
        self.date = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.ticks

    def wall(self) -> float:
        return self.date

    def advance(self, seconds: float) -> None:
        self.ticks += seconds
        self.date += seconds


@pytest.fixture
def here() -> HandClock:
    return HandClock()


def test_before_the_first_reply_it_is_this_machines(here: HandClock) -> None:
    """Without a reply there is nothing better."""
    server = ServerClock(here)
    assert not server.known
    assert server.now_ms() == 1_700_000_000_000
    assert server.to_server_ms(5) == server.to_here_ms(5) == 5


def test_it_is_carried_on_between_replies(here: HandClock) -> None:
    """Time passes without asking, also when this machine's date is set anew."""
    server = ServerClock(here)
    server.seen(1_800_000_000_000)
    here.advance(2.5)
    here.date -= 86_400
    assert server.known
    assert server.now_ms() == 1_800_000_002_500


@pytest.mark.parametrize("skew", [300.0, -300.0, 1.5])
def test_expiries_are_translated(here: HandClock, skew: float) -> None:
    """On a machine whose date is off, an expiry keeps its distance from now, there and back."""
    server = ServerClock(here)
    server.seen(int((here.date + skew) * 1000))
    expires_here = int((here.date + 60) * 1000)
    assert server.to_server_ms(expires_here) - server.now_ms() == 60_000
    assert server.to_here_ms(server.to_server_ms(expires_here)) == expires_here


@pytest.mark.parametrize("skew_ms", [0, 1, -1, AGREE_MS - 1, 1 - AGREE_MS])
def test_clocks_that_nearly_agree_change_nothing(here: HandClock, skew_ms: int) -> None:
    """An expiry comes back as the very number that was saved."""
    server = ServerClock(here)
    server.seen(int(here.date * 1000) + skew_ms)
    assert server.to_server_ms(1_700_000_060_123) == server.to_here_ms(1_700_000_060_123) == 1_700_000_060_123


def test_the_system_clocks_move() -> None:
    """The real ones are the machine's."""
    clock = SystemClock()
    before = clock.monotonic(), clock.wall()
    clock.sleep(0.001)
    assert clock.monotonic() > before[0]
    assert clock.wall() > before[1]
