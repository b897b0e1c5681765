"""When a token is due: the rule in Python and the one in ``find-5.lua`` are one rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from servers import Backend, Server
from zoho_token_store import script
from zoho_token_store.codec import Codec
from zoho_token_store.margin import LATE, Margin, ahead_margin, drop_in_margin, keeper_margin
from zoho_token_store.options import USABLE, Options
from zoho_token_store.record import Access

NOW = 1_700_000_000_000
USABLE_MS = int(USABLE * 1000)
LIVES = (0, 1, 5_999, 6_001, 8_000, 12_000, 13_001, 40_000, 60_000, 100_001, 200_000, 3_600_000, 86_400_000)


def jittered(margin: Margin) -> Margin:
    """Return a margin with a share that has many digits."""
    return margin._replace(share=margin.share * 0.876543)


CODEC = Codec()
MARGINS = {
    "sdk": drop_in_margin(Options()),
    "sdk, none": drop_in_margin(Options(freshness_margin=0)),
    "sdk, a day": drop_in_margin(Options(freshness_margin=86_400)),
    "managed": Margin(300_000, 10_000, 0.1),
    "managed, jittered": jittered(Margin(243_211, 10_000, 0.1)),
    "managed, the least": Margin(10_000, 10_000, 0.08),
    "keeper": keeper_margin(Options()),
    "late": LATE,
}


class TestRule:
    """How long before its end a token is due."""

    @pytest.mark.parametrize(
        ("margin", "life_s", "expected_s"),
        [
            (drop_in_margin(Options()), 3600, 30),
            (drop_in_margin(Options()), 60, 30),
            (drop_in_margin(Options()), 40, 20),  # half of its life
            (drop_in_margin(Options()), 8, USABLE),  # what the SDK needs
            (drop_in_margin(Options(freshness_margin=0)), 3600, USABLE),
            (Margin(300_000, 10_000, 0.1), 86_400, 300),
            (Margin(300_000, 10_000, 0.1), 2_000, 200),  # a tenth
            (Margin(300_000, 10_000, 0.1), 60, 10),  # the least
            (Margin(300_000, 10_000, 0.1), 16, 8),
            (Margin(300_000, 10_000, 0.1), 1, USABLE),
            (LATE, 3600, USABLE),
        ],
    )
    def test_of(self, margin: Margin, life_s: float, expected_s: float) -> None:
        """The share of the life within the limits; at most half of the life, and never too little for the SDK."""
        assert margin.of(int(life_s * 1000)) == pytest.approx(expected_s * 1000)

    def test_spare(self) -> None:
        """What is left before the margin begins; negative in it, infinite if nobody knows the end."""
        margin = drop_in_margin(Options())
        assert margin.spare_ms(Access("a", NOW + 100_000, 3_600_000), NOW) == 70_000
        assert margin.spare_ms(Access("a", NOW + 20_000, 3_600_000), NOW) == -10_000
        assert margin.spare_ms(Access("a", 0, 3_600_000), NOW) == float("inf")

    def test_processes_differ(self) -> None:
        """Those that refresh ahead do not all begin at once, and none earlier than the option says."""
        margins = {ahead_margin(Options()) for _ in range(50)}
        assert len(margins) > 40
        assert all(240_000 <= margin.of(86_400_000) <= 300_000 for margin in margins)

    def test_who_keeps_tokens_fresh_comes_first(self) -> None:
        """For every life of a token, by a good while if it is long; only where half of it is little are they equal."""
        for life_ms in LIVES:
            keeper, others = keeper_margin(Options()).of(life_ms), Margin(300_000, 10_000, 0.1).of(life_ms)
            assert keeper >= others
            if life_ms > 20_000:
                assert keeper > others


@pytest.fixture(params=["fakeredis", "real"])
def client(request: pytest.FixtureRequest, fake: Backend, real_server: Server) -> Iterator[Any]:
    """Give fakeredis and the newest server."""
    if request.param == "fakeredis":
        yield fake.client()
    else:
        yield real_server.client()


@pytest.mark.parametrize("name", sorted(MARGINS))
def test_redis_judges_by_the_same_rule(client: Any, name: str) -> None:
    """At a time that stands still, to the millisecond around each margin's begin: both say the same."""
    margin, stopped = MARGINS[name], _stopped_at(NOW)
    judged = []
    for life_ms in LIVES:
        edge = int(margin.of(life_ms))
        for left_ms in sorted({1, 6_000, 6_001, edge - 1, edge, edge + 1, edge + 1000, max(1, life_ms)}):
            access = Access("token", NOW + left_ms, life_ms)
            fresh = _is_fresh(client, stopped, margin, CODEC.access("a", access))
            assert fresh == (margin.spare_ms(access, NOW) > 0), (life_ms, left_ms)
            judged.append(fresh)
    assert {True, False} == set(judged)
    assert _is_fresh(client, stopped, margin, CODEC.access("a", Access("token", 0, 1))), "no end that anybody knows"


def _stopped_at(now_ms: int) -> str:
    """Return the script with a clock that stands still."""
    asked = "redis.call('TIME')"
    assert script.FIND.text.count(asked) == 1
    return script.FIND.text.replace(asked, f"{{{now_ms // 1000}, {now_ms % 1000 * 1000}}}")


def _is_fresh(client: Any, text: str, margin: Margin, access: str) -> bool:
    """Ask for a refreshable record with an access part, holding no lease: it is fresh, or the caller gets the lease."""
    keys = ["{m}token", "{m}access", "{m}gone", "{m}lease", "{m}wake"]
    client.delete(*keys)
    client.hset(keys[0], mapping={"refresh_token": "r", "schema": "1", "rev": "1", "fence": "1"})
    client.set(keys[1], access)
    terms = "8000 56000 3 5000 60000"
    reply = client.eval(text, len(keys), *keys, margin.pack(), USABLE_MS, 1, "", "", "", "owner", "nonce", "", terms)
    assert reply[0] in (b"FRESH", b"LEASED"), reply
    return bool(reply[0] == b"FRESH")
