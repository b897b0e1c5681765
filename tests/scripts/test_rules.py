"""The rules that stand twice, in Lua and in Python: both are asked the same, on a real server, and say the same."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from servers import Server
from zoho_token_store.budget import spend
from zoho_token_store.keyspace import Keyspace, tombstone
from zoho_token_store.lease import Lease
from zoho_token_store.margin import LATE, Margin
from zoho_token_store.question import UNTRIED, Pause, Question
from zoho_token_store.record import SCHEMA
from zoho_token_store.script import COMMIT, FIND, RELEASE, RENEW
from zoho_token_store.tenure import NO_TENURE, Tenure, ended, given_back, renewed
from zoho_token_store.terms import REMEMBERED_MS, Terms
from zoho_token_store.verdict import USABLE_MS, Due, Head, Verdict, elect, judge

TERMS = Terms(8000, 56_000, 3, 5000, 60_000)
KEYS = Keyspace("rules")
ID = "record"
# Nothing is decided within this of a limit, since some time passes between setting up and asking.
NEAR = 400
MARGINS = (Margin(30_000, 0, 1), Margin(300_000, 10_000, 0.1), Margin(250_000, 10_000, 0.085), Margin(0, 0, 1), LATE)
CASES = 1500


@dataclass
class Place:
    """One namespace on a server, emptied for each case."""

    client: Any
    now_ms: int = 0
    seen: dict[str, int] = field(default_factory=dict)

    def empty(self) -> None:
        """Remove everything, and look at the clock."""
        self.client.flushall()
        seconds, microseconds = self.client.time()
        self.now_ms = seconds * 1000 + microseconds // 1000

    def run(self, script: Any, keys: list[str], *args: Any) -> list[Any]:
        """Run a script."""
        return list(self.client.eval(script.text, len(keys), *keys, *args))

    def put_tenure(self, name: str, tenure: Tenure) -> None:
        """Store what Python calls a tenure."""
        if tenure == NO_TENURE:
            return
        key, numbers = KEYS.lease(name), ("fence", "until_ms", "attempts", "retry_ms")
        fields = {field: str(getattr(tenure, field)) for field in numbers if getattr(tenure, field)}
        fields |= {field: getattr(tenure, field) for field in ("owner", "nonce", "reason") if getattr(tenure, field)}
        self.client.hset(key, mapping={"attempts": str(tenure.attempts), **fields})
        self.client.pexpireat(key, tenure.ends_ms)

    def tenure(self, name: str) -> Tenure:
        """Return what is stored of a lease."""
        key = KEYS.lease(name)
        stored = self.client.hgetall(key)
        if not stored:
            return NO_TENURE
        numbers = {field: int(stored.get(field, 0)) for field in ("fence", "until_ms", "attempts", "retry_ms")}
        words = {field: stored.get(field, "") for field in ("owner", "nonce", "reason")}
        seconds, microseconds = self.client.time()
        ends_ms = seconds * 1000 + microseconds // 1000 + self.client.pttl(key)
        return Tenure(**words, **numbers, ends_ms=ends_ms)


@pytest.fixture
def place(real_server: Server) -> Place:
    """Give the newest server."""
    return Place(real_server.client(decode_responses=True))


def same(stored: Tenure, expected: Tenure | None) -> None:
    """Compare what is stored with what Python would store; ends are not told to the millisecond."""
    expected = expected or NO_TENURE
    assert stored._replace(ends_ms=0, wakes=0, fence=0) == expected._replace(ends_ms=0, wakes=0, fence=0)
    assert abs(stored.ends_ms - expected.ends_ms) < 100
    assert abs(stored.fence - expected.fence) <= 1000  # Python was told the time in milliseconds


def some_tenure(rng: random.Random, now_ms: int) -> Tenure:
    """Return what may be stored of a lease: held, held by the caller, run out, given back, in a pause, nothing."""
    if rng.random() < 0.15:
        return NO_TENURE
    tenure = Tenure(
        owner=rng.choice(["me", "me", "other"]),
        nonce=rng.choice(["this", "before"]),
        fence=rng.choice([7, (now_ms - 9000) * 1000, (now_ms + 9000) * 1000]),
        until_ms=now_ms + rng.choice([-5000, 5000]),
        attempts=rng.randint(1, 8),
        retry_ms=rng.choice([0, now_ms - 5000, now_ms + 5000]),
        reason=rng.choice(["", "+failed", "invalid_code"]),
        ends_ms=now_ms + 100_000,
    )
    return tenure._replace(owner="", nonce="", until_ms=0) if rng.random() < 0.2 else tenure


@dataclass
class Case:
    """One look-up and what it meets."""

    question: Question
    stored: dict[str, str] | None
    part: tuple[int, int] | None
    tombstone: str
    pointers: dict[str, str]
    tenure: Tenure

    def set_up(self, place: Place) -> None:
        """Store it."""
        if self.stored:
            place.client.hset(KEYS.token(ID), mapping=self.stored)
        if self.part:
            place.client.set(KEYS.access(ID), f"{self.part[0]} {self.part[1]} at")
        if self.tombstone:
            place.client.set(KEYS.key(tombstone(self.question.tombstone)), self.tombstone)
        for name, value in self.pointers.items():
            place.client.set(KEYS.key(name), value)
        place.put_tenure(self.question.lease, self.tenure)

    def ask_redis(self, place: Place) -> list[Any]:
        """Ask the script."""
        question = self.question
        keys = KEYS.found_by(ID, question.lease, question.tombstone) + [KEYS.key(name) for name in question.pointers]
        limits = (question.margin.pack(), USABLE_MS, SCHEMA, "", question.client_id, "", question.owner, question.nonce)
        return place.run(FIND, keys, *limits, "lease" if question.claims else "", TERMS.pack(), *question.values)

    def ask_python(self, now_ms: int) -> Verdict:
        """Ask the functions."""
        values = [self.pointers.get(name, "") for name in self.question.pointers]
        if values != list(self.question.values):
            return Verdict("MOVED", tuple(values))
        outcome = judge(self.head(), self.tombstone, self.question, now_ms)
        return elect(outcome, self.tenure, self.question, TERMS, now_ms * 1000) if isinstance(outcome, Due) else outcome

    def head(self) -> Head | None:
        """Return what a look-up goes by."""
        stored, asked = self.stored, self.question.client_id
        if stored is None:
            return None
        return Head(
            int(stored["schema"]),
            int(stored["fence"]),
            "refresh_token" in stored,
            stored.get("rejected"),
            asked != "" and stored.get("client_id", asked) != asked,
            self.part,
        )


def some_case(rng: random.Random, now_ms: int) -> Case:
    """Return a case that hangs on no few milliseconds."""
    claims = rng.random() < 0.2
    lease = "grant:digest" if claims else ID
    pointers = {name: rng.choice([ID, "another"]) for name in ("user:u", "grant:g") if rng.random() < 0.5}
    names = tuple(name for name in ("user:u", "grant:g") if rng.random() < 0.5)
    values = tuple(pointers.get(name, "") if rng.random() < 0.9 else "elsewhere" for name in names)
    margin = rng.choice(MARGINS)
    question = Question(ID, lease, "me", "this", margin, rng.choice(["", "", "one", "two"]), claims, names, values)
    stored = None
    if not claims and rng.random() < 0.85:
        stored = {"schema": rng.choice("1112") if rng.random() < 0.95 else "9", "rev": "5"}
        stored["fence"] = str(rng.choice([3, (now_ms - 9000) * 1000, (now_ms + 9000) * 1000]))
        stored |= {"client_id": rng.choice(["one", "two"])} if rng.random() < 0.7 else {}
        stored |= {"refresh_token": "rt"} if rng.random() < 0.8 else {}
        stored |= {"rejected": "invalid_code"} if rng.random() < 0.2 else {}
    part = None
    if stored and rng.random() < 0.85:
        left = rng.choice([500, 3000, 5000, 7000, 9000, 12_000, 20_000, 40_000, 100_000, 280_000, 3_600_000])
        life = rng.choice([4000, 10_000, 25_000, 60_000, 300_000, 3_600_000])
        if all(abs(left - limit) > NEAR for limit in (USABLE_MS, margin.of(life))):
            part = (0 if rng.random() < 0.1 else now_ms + left, life)
    buried = rng.choice(["", "", "deleted 5", "merged heir"])
    return Case(question, stored, part, buried, pointers, some_tenure(rng, now_ms))


@pytest.mark.parametrize("seed", range(3))
def test_who_is_fresh_and_who_is_elected(place: Place, seed: int) -> None:
    """The same answer with the same numbers, and the same is stored of the lease, in each of many cases."""
    rng = random.Random(seed)
    kinds = set()
    for _ in range(CASES):
        place.empty()
        case = some_case(rng, place.now_ms)
        case.set_up(place)
        kind, now_ms, *values = case.ask_redis(place)
        verdict = case.ask_python(now_ms)
        assert verdict.kind == kind, case
        kinds.add(kind)
        if kind == "LEASED":
            fence, attempts, usable = verdict.values
            assert (attempts, usable) == (values[1], bool(values[2])), case
            assert abs(int(values[0]) - fence) <= 1000, case
        elif kind == "WAIT":
            assert verdict.values[0] == values[0], case
        elif kind != "FRESH":
            assert list(verdict.values) == values, case
        same(place.tenure(case.question.lease), verdict.tenure or case.tenure)
    assert kinds == {
        "FRESH", "LEASED", "WAIT", "FAILING", "REJECTED", "MISSING", "GONE", "REDIRECT", "MOVED", "CONTRADICTS",
        "SCHEMA",
    }  # fmt: skip


def some_lease(rng: random.Random, tenure: Tenure) -> Lease:
    """Return a lease: mostly the one that is stored."""
    fence = tenure.fence if rng.random() < 0.8 else tenure.fence + 1
    return Lease(ID, rng.choice([tenure.owner or "me", "me"]), fence)


def test_a_save_ends_a_lease(place: Place) -> None:
    """What ``commit`` does to the lease of a record, ``ended`` says."""
    rng = random.Random(1)
    for _ in range(CASES):
        place.empty()
        tenure = some_tenure(rng, place.now_ms)
        place.put_tenure(ID, tenure)
        lease = some_lease(rng, tenure) if rng.random() < 0.7 else Lease(ID, "", 0)
        _, now_ms = place.run(COMMIT, [KEYS.nothing, KEYS.lease(ID)], 0, 2, 2, "RELEASE", lease.owner, lease.fence)
        same(place.tenure(ID), ended(tenure, lease.owner, lease.fence, now_ms) if tenure.fence else None)


def test_a_lease_is_given_back(place: Place) -> None:
    """What ``release`` does, with and without a pause, ``given_back`` says."""
    rng = random.Random(2)
    pauses = (None, Pause(None, UNTRIED), Pause(60.0, "+throttled"), Pause(2.5, "invalid_code"))
    for _ in range(CASES):
        place.empty()
        tenure = some_tenure(rng, place.now_ms)
        place.put_tenure(ID, tenure)
        lease, pause = some_lease(rng, tenure), rng.choice(pauses)
        seconds, reason = pause or (None, "")
        told = (lease.owner, lease.fence, "" if seconds is None else int(seconds * 1000), reason)
        now_ms = place.now_ms
        place.client.eval(RELEASE.text, 2, KEYS.lease(ID), KEYS.wake(ID), *told)
        stored, expected = place.tenure(ID), given_back(tenure, lease, pause, now_ms)
        # The script does not tell its time.
        if stored.retry_ms and expected.retry_ms:
            assert abs(stored.retry_ms - expected.retry_ms) < 100
            expected = expected._replace(retry_ms=stored.retry_ms)
        same(stored, expected)


def test_a_lease_is_renewed_and_a_call_taken(place: Place) -> None:
    """What ``renew`` does to lease and budget, ``renewed`` and ``spend`` say."""
    rng = random.Random(3)
    calls_key, window_ms = KEYS.calls("refresh:digest"), 600_000
    outcomes = set()
    for _ in range(CASES):
        place.empty()
        tenure = some_tenure(rng, place.now_ms)
        place.put_tenure(ID, tenure)
        made = sorted(
            place.now_ms - rng.choice([1000, 50_000, 400_000, 590_000, 610_000]) for _ in range(rng.randint(0, 6))
        )
        if made:
            place.client.set(calls_key, " ".join(map(str, made)))
        lease, most = some_lease(rng, tenure), rng.randint(1, 6)
        terms = (TERMS.lease_ms, REMEMBERED_MS, most, window_ms)
        kind, now_ms, *values = place.run(RENEW, [KEYS.lease(ID), calls_key], lease.owner, lease.fence, *terms)
        after = renewed(tenure, lease, TERMS.lease_ms, now_ms)
        same(place.tenure(ID), after or tenure)
        outcomes.add(kind)
        if after is None:
            assert kind == "LOST"
            continue
        spending = spend(made, most, window_ms, now_ms)
        assert (kind, values) == (("HELD", []) if spending.retry_ms is None else ("SPENT", [spending.retry_ms]))
        if kind == "HELD":
            assert place.client.get(calls_key) == " ".join(map(str, spending.calls))
    assert outcomes == {"HELD", "LOST", "SPENT"}
