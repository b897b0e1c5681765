"""``top`` in a terminal: what it draws, and how it ends."""

from __future__ import annotations

import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from rich.cells import cell_len
from rich.console import Console

from cli.desk import Desk
from cli.program import PROGRAM
from cli.terminal import Terminal
from contract.tokens import refreshed
from servers import Server
from zoho_token_store import RedisTokenStore
from zoho_token_store.cli.fleet.census import Census
from zoho_token_store.cli.fleet.counted import Counted, Pace
from zoho_token_store.cli.fleet.leases import Lease
from zoho_token_store.cli.top.frame import draw
from zoho_token_store.cli.top.watcher import Scene
from zoho_token_store.cli.view import View
from zoho_token_store.events import Event

ALTERNATE, NORMAL, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


@pytest.fixture
def show(redis_desk: Desk) -> Iterator[Callable[..., Terminal]]:
    """Start it in terminals; whatever happens it ends."""
    shown: list[Terminal] = []

    def show(*arguments: str, desk: Desk = redis_desk, **options: object) -> Terminal:
        shown.append(desk.terminal("top", *arguments, **options))  # type: ignore[arg-type]
        return shown[-1]

    yield show
    for terminal in shown:
        terminal.kill()


def plain_lines(screen: str) -> list[str]:
    """Return the lines of what was drawn, without what colours and moves."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).splitlines()


def test_it_shows_what_happens(show: Callable[..., Terminal], redis_desk: Desk) -> None:
    """Tokens that end next, whose they are, refreshes as they happen, and who has done them."""
    redis_desk.save("ada", access="at-of-ada")
    [due] = redis_desk.save("grace")
    terminal = show()
    terminal.wait_for("tokens 2")
    terminal.wait_for("ada")
    assert "grace" not in terminal.screen  # nothing of hers ends
    with RedisTokenStore.from_url(redis_desk.url, redis_desk.namespace, label="web 1") as store:
        token = store.find_token_by_id(due)
        terminal.wait_for("refreshing")
        terminal.wait_for("refreshes under way 1")
        store.save_token(refreshed(token, "at-of-grace-2"))
        terminal.wait_for("refreshed 1 in the last minute")
        terminal.wait_for("grace")
    terminal.wait_for("web 1")
    terminal.signal(signal.SIGTERM)
    assert terminal.end() == 0
    assert not [secret for secret in ("rt-of-", "at-of-", "made-up-secret") if secret in terminal.screen]


@pytest.mark.parametrize("ending", ["ctrl-c", "sigterm"])
def test_it_ends_as_if_it_had_not_been_there(show: Callable[..., Terminal], redis_desk: Desk, ending: str) -> None:
    """Status 0, the terminal as it was, no traceback."""
    redis_desk.save("ada")
    terminal = show()
    terminal.wait_for("tokens 1")
    if ending == "ctrl-c":
        terminal.press("\x03")
    else:
        terminal.signal(signal.SIGTERM)
    assert terminal.end() == 0
    assert terminal.screen.count(ALTERNATE) == terminal.screen.count(NORMAL) == 1
    assert CURSOR in terminal.screen[terminal.screen.index("tokens 1") :]
    assert terminal.screen.index(ALTERNATE) < terminal.screen.index("tokens 1") < terminal.screen.index(NORMAL)
    assert "Traceback" not in terminal.screen


def test_it_follows_the_size_of_the_terminal(show: Callable[..., Terminal], redis_desk: Desk) -> None:
    """A narrower and lower one gets lines that fit, from the next frame on."""
    redis_desk.save(*(f"user{number}" for number in range(60)), access="at-of-x")
    terminal = show(columns=100, lines=40)
    terminal.wait_for("user")
    terminal.resize(50, 12)
    before = len(terminal.screen)
    terminal.wait_for("tokens 60", times=terminal.screen.count("tokens 60") + 3)
    frames = terminal.screen[before:].split("\x1b[H")[2:-1]
    assert frames
    for frame in frames:
        lines = plain_lines(frame)
        assert len(lines) <= 12
        assert max(map(cell_len, lines)) <= 50
    terminal.press("\x03")
    assert terminal.end() == 0


def test_a_redis_that_goes_away_is_waited_for(
    show: Callable[..., Terminal], start_server: Callable[..., Server], namespace: str
) -> None:
    """What was seen last stays, and it goes on when Redis is back."""
    server = start_server()
    desk = Desk(server.url, namespace)
    desk.save("ada", access="at-of-ada")
    terminal = show(desk=desk)
    terminal.wait_for("tokens 1")
    server.kill()
    terminal.wait_for("Redis is away")
    server.start()
    desk.save("ada", "grace", "alan")
    terminal.wait_for("tokens 3")
    terminal.press("\x03")
    assert terminal.end() == 0


def test_one_frame(redis_desk: Desk) -> None:
    """Into a pipe, without anything that steers a terminal; without --once it is refused there."""
    redis_desk.save("ada", access="at-of-ada")
    done = redis_desk.run("top", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tokens 1, 1 fresh" in done.stdout
    assert "ada" in done.stdout
    refused = redis_desk.run("top")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--once" in refused.stderr


def test_the_fleets_look_ups(redis_desk: Desk) -> None:
    """What was counted by stores that have ended; before anything was told, that."""
    assert "no process has told of any yet" in redis_desk.run("top", "--once").stdout
    [token] = redis_desk.save("ada", access="at-of-ada")
    with redis_desk.store() as store:
        for _ in range(7):
            store.find_token_by_id(token)
    [line] = [line for line in redis_desk.run("top", "--once").stdout.splitlines() if line.startswith("look-ups")]
    assert re.match(r"look-ups [\d,.]+ a second, 0.0% near, 0 waits, 0 throttled, 0 failed in \d+s", line)


def test_one_frame_without_colours(show: Callable[..., Terminal], redis_desk: Desk) -> None:
    """NO_COLOR leaves it without, in a terminal too."""
    redis_desk.save("ada", access="at-of-ada")
    colourful, plain = show("--once"), show("--once", NO_COLOR="1")
    assert colourful.end() == plain.end() == 0
    assert re.search(r"\x1b\[3\dm", colourful.screen)
    assert not re.search(r"\x1b\[3\d", plain.screen)


def test_what_cannot_be_used(redis_desk: Desk, tmp_path) -> None:
    """A Redis that does not answer is status 4."""
    arguments = [*PROGRAM, "--url", f"unix://{tmp_path}/none", "top", "--once"]
    assert subprocess.run(arguments, env=redis_desk.environment, capture_output=True).returncode == 4


class TestFrame:
    """Any size, and whatever stands in Redis."""

    SCENE = Scene(
        namespace="crm",
        now_ms=1_700_000_000_000,
        census=Census(
            Counter({"fresh": 3, "expired": 1}),
            3,
            2,
            [View("日本" * 30, "e\x1b[2J", None, "fresh", 1, True, None)] * 50,
        ),
        leases=[Lease("grant:x\x1b[2J", True, 3000, 1, ""), Lease("y", False, 70_000, 4, "\x07throttled")],
        blocked=None,
        pace=Pace(60.0, Counted(None, Counter(finds=60, near_hits=540, waits=4, refreshes_throttled=2, unavailable=1))),
        minute=Counter(refreshed=7),
        window=Counter(refreshed=70, rejected=2),
        processes=3,
        latest=[Event("1700000000000-0", "rejected", "y", "web", "", False)] * 8,
        away="it \x1b is away",
    )

    @pytest.mark.parametrize("width", [1, 20, 69, 70, 300])
    @pytest.mark.parametrize("height", [1, 8, 9, 24, 200])
    def test_it_fits(self, width: int, height: int) -> None:
        """No line is longer than the terminal is wide; from ten lines on nothing is cut off below."""
        console = Console(width=width, height=height, force_terminal=True, color_system=None, highlight=False)
        with console.capture() as captured:
            console.print(draw(self.SCENE, width, height))
        lines = captured.get().splitlines()
        assert max(map(cell_len, lines)) <= width
        assert len(lines) <= max(height, 9)
        assert all(line.isprintable() for line in lines)

    def test_it_tells_of_trouble(self) -> None:
        """Refusals, pauses with their reasons, records that cannot be read, and a Redis that is away."""
        console = Console(width=200, height=40, color_system=None, highlight=False)
        with console.capture() as captured:
            console.print(draw(self.SCENE, 200, 40))
        said = captured.get()
        for words in (
            "2 refused for good",
            "1 held back (?throttled 1)",
            "2 cannot be read",
            "look-ups 10.0 a second, 90.0% near, 4 waits, 2 throttled, 1 failed in 1m 0s",
            "Redis is away",
            "1m 10s",
        ):
            assert words in said
