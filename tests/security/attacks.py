"""What somebody who can write to Redis may try against one user, to whom another's token is to be passed off."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from security.town import ADA, EVE, GRACE, Attacker, Person
from zoho_token_store import DecryptionFailed, TokenStoreError
from zoho_token_store.codec import IDENTITY, SECRET
from zoho_token_store.keyspace import pointer

Act = Callable[[Attacker], None]

JUNK: dict[str, bytes] = {
    "nothing": b"",
    "space": b" ",
    "no UTF-8": b"\xff\xfe\x00",
    "a control sequence": b"x\n\x1b[2J",
    "not a number": b"nan",
    "infinite": b"inf",
    "negative": b"-1",
    "a digit of another kind": "²".encode(),
    "hexadecimal": b"0x10",
    "ten to the 30th": b"1" + b"0" * 30,
    "5000 digits": b"9" * 5000,
    "a nest": b"[" * 100_000,
    "a seal without a key": b"sealed.",
    "a seal of no form": b"sealed.\x1b[2J.\xc3\xa4",
    "three words": b"1 2 3",
    "a far end": b"9999999999999 9999999999999 stolen",
    "an id with a colon": b"grant:abc",
    "a key of ours": b"x}:token:id-of-eve",
}
"""What no release has ever written."""

NUMBERS = ("schema", "rev", "fence", "ops")
LEASE = ("owner", "nonce", "fence", "until_ms", "attempts", "retry_ms", "reason")


class Attack(NamedTuple):
    """One attempt.

    Attributes:
        act: What is done.
        hits: Whose records work no more, or only in part.
        sealed: Whether only keys help against it.
        jams: Whether it keeps everybody from writing: whoever can write can do that.
        waits: Whether every look-up waits for as long as it may.
        error: What looking by id ends in, where that is sure.
    """

    act: Act
    hits: tuple[Person, ...] = (ADA,)
    sealed: bool = False
    jams: bool = False
    waits: bool = False
    error: type[TokenStoreError] | None = None


def _fields() -> Iterator[tuple[str, Attack]]:
    """Move and change what stands in records."""

    def copy(source: Person, field: str, target: str) -> Act:
        def act(attacker: Attacker) -> None:
            value = attacker.raw.hget(attacker.keys.token(source.id), field)
            if value is not None:
                attacker.raw.hset(attacker.keys.token(ADA.id), target, value)

        return act

    def write(field: str, value: bytes) -> Act:
        return lambda attacker: attacker.raw.hset(attacker.keys.token(ADA.id), field, value)

    def remove(field: str) -> Act:
        return lambda attacker: attacker.raw.hdel(attacker.keys.token(ADA.id), field)

    sealable = (*SECRET, *IDENTITY, "api_domain")
    for field, thief in itertools.product((*sealable, "client"), (EVE, GRACE)):
        yield f"{field} of {thief.name}", Attack(copy(thief, field, field), sealed=True)
    for field, other in itertools.permutations(("refresh_token", "grant_token", "client_secret", "meta"), 2):
        yield f"{other} for {field}", Attack(copy(ADA, other, field), sealed=True, error=DecryptionFailed)
    for field in (*sealable, *NUMBERS, "client", "rejected"):
        yield f"no {field}", Attack(remove(field), sealed=field in sealable)
        for name, value in JUNK.items():
            yield f"{field}: {name}", Attack(write(field, value), sealed=field in sealable)


def _records() -> Iterator[tuple[str, Attack]]:
    """Move whole records and access parts."""
    for thief in (EVE, GRACE):

        def whole(attacker: Attacker, thief: Person = thief) -> None:
            attacker.put(ADA.id, attacker.keep(thief))

        def access(attacker: Attacker, thief: Person = thief) -> None:
            attacker.raw.set(attacker.keys.access(ADA.id), attacker.keep(thief)[1])

        yield f"the record of {thief.name}", Attack(whole, sealed=True, error=DecryptionFailed)
        yield f"the access part of {thief.name}", Attack(access, sealed=True, error=DecryptionFailed)

    def longer(attacker: Attacker) -> None:
        _, life, token = attacker.keep(ADA)[1].split(b" ", 2)
        attacker.raw.set(attacker.keys.access(ADA.id), b" ".join((b"9999999999999", life, token)))

    def planted(attacker: Attacker) -> None:
        fields = {"user_name": "ada@example.com", "client_id": ADA.client_id, "refresh_token": "eve-refresh"}
        numbers = {"schema": "1", "rev": "1", "fence": "1", "ops": "1", "meta": "{}"}
        attacker.put(ADA.id, (fields | numbers, b"9999999999999 3600000 eve-access"))

    def crowded(attacker: Attacker) -> None:
        attacker.raw.hset(attacker.keys.token(ADA.id), mapping={f"field{number}": "x" for number in range(20_000)})

    def huge(attacker: Attacker) -> None:
        attacker.raw.hset(attacker.keys.token(ADA.id), "refresh_token", b"x" * (8 << 20))

    yield "a larger expiry", Attack(longer, sealed=True, error=DecryptionFailed)
    yield "a record in the clear", Attack(planted, sealed=True, error=DecryptionFailed)
    yield "20,000 more fields", Attack(crowded, hits=())
    yield "a value of 8 MB", Attack(huge, sealed=True)

    def access_part(value: bytes) -> Act:
        return lambda attacker: attacker.raw.set(attacker.keys.access(ADA.id), value)

    for name, value in JUNK.items():
        yield f"access: {name}", Attack(access_part(value), sealed=name == "a far end")


def _pointers() -> Iterator[tuple[str, Attack]]:
    """Lead from one user to another."""

    def lead(kind: str, value: bytes) -> Act:
        return lambda attacker: attacker.lead(ADA, kind, value)

    for kind, thief in itertools.product(("refresh", "grant", "access-token"), (EVE, GRACE)):
        yield f"{kind} leads to {thief.name}", Attack(lead(kind, thief.id.encode()))
        yield f"{kind} leads to {thief.name}'s former id", Attack(lead(kind, thief.former_id.encode()))
    for kind, (name, value) in itertools.product(("refresh", "grant", "access-token", "user"), JUNK.items()):
        yield f"{kind} pointer: {name}", Attack(lead(kind, value))

    for thief in (EVE, GRACE):

        def namesake(attacker: Attacker, thief: Person = thief) -> None:
            for key in attacker.pointers(ADA)["user"]:
                attacker.raw.set(key, attacker.raw.get(key).replace(ADA.id.encode(), thief.id.encode()))

        def exchanged(attacker: Attacker, thief: Person = thief) -> None:
            for key, other in zip(attacker.pointers(ADA)["user"], attacker.pointers(thief)["user"], strict=True):
                attacker.raw.set(key, attacker.raw.get(other))

        yield f"user leads to {thief.name}", Attack(namesake)
        yield f"user pointer of {thief.name}", Attack(exchanged)

    def crowd(attacker: Attacker) -> None:
        entries = " ".join(f"{number:022d}:id-of-eve{number}" for number in range(1000))
        attacker.lead(ADA, "user", entries)

    yield "1000 namesakes", Attack(crowd)


def _redirects() -> Iterator[tuple[str, Attack]]:
    """Forge merges and deletions."""

    def merged(value: bytes, record_id: str = ADA.id) -> Act:
        def act(attacker: Attacker) -> None:
            attacker.drop(record_id)
            attacker.bury(record_id, value)

        return act

    for thief in (EVE, GRACE):
        yield f"merged into {thief.name}", Attack(merged(f"merged {thief.id}".encode()))
        yield f"merged into {thief.name}'s former id", Attack(merged(f"merged {thief.former_id}".encode()))
        yield f"former id leads to {thief.name}", Attack(merged(f"merged {thief.id}".encode(), ADA.former_id))
    yield "merged into itself", Attack(merged(f"merged {ADA.id}".encode()))

    def cycle(attacker: Attacker) -> None:
        merged(f"merged {ADA.former_id}".encode())(attacker)
        attacker.bury(ADA.former_id, f"merged {ADA.id}")

    def chain(attacker: Attacker) -> None:
        merged(b"merged link0")(attacker)
        for number in range(100):
            attacker.bury(f"link{number}", f"merged link{number + 1}")
        attacker.bury("link100", f"merged {EVE.id}")

    yield "a cycle of merges", Attack(cycle)
    yield "a chain of 100 merges", Attack(chain)
    tombs = {f"a tombstone: {name}": value for name, value in JUNK.items()}
    tombs |= {f"merged into {name}": b"merged " + value for name, value in JUNK.items()}
    tombs |= {f"deleted {name}": b"deleted " + value for name, value in JUNK.items()}
    for name, value in tombs.items():
        yield name, Attack(merged(value))
        yield f"{name}, beside the record", Attack(lambda attacker, value=value: attacker.bury(ADA.id, value))

    def credentials(value: bytes) -> Act:
        def act(attacker: Attacker) -> None:
            for kind, field in (("refresh", "refresh"), ("grant", "grant"), ("user", "user")):
                for key in attacker.keys.every(f"gone:{pointer(kind, ADA.value(field))}"):
                    attacker.raw.set(key, value)

        return act

    for name, value in {**JUNK, "far": b"deleted 9007199254740991", "junk": b"deleted x"}.items():
        yield f"tombstones of the credentials: {name}", Attack(credentials(value))


def _coordination() -> Iterator[tuple[str, Attack]]:
    """Change leases, budgets, lists and events."""

    def lease(fields: dict[str, bytes]) -> Act:
        def act(attacker: Attacker) -> None:
            attacker.raw.delete(attacker.keys.access(ADA.id))
            attacker.raw.hset(attacker.keys.lease(ADA.id), mapping=fields)

        return act

    whole = {"owner": b"eve", "nonce": b"1", "fence": b"1", "until_ms": b"9999999999999", "attempts": b"1"}
    yield "a lease that never ends", Attack(lease(whole), waits=True)
    yield "a pause that never ends", Attack(lease({"retry_ms": b"9999999999999", "reason": b"invalid_code"}))
    for field, (name, value) in itertools.product(LEASE, JUNK.items()):
        yield f"lease {field}: {name}", Attack(lease({field: value}))
    yield "5000 attempts", Attack(lease({"attempts": b"5000"}))

    def listed(attacker: Attacker) -> None:
        attacker.raw.zadd(attacker.keys.ids, {value: 0 for value in JUNK.values()} | {b"zzz": 0, b"x" * 100_000: 0})

    def scored(attacker: Attacker) -> None:
        attacker.raw.zadd(attacker.keys.ids, {"zzz": -1, "aaa": 1, ADA.id: -2})

    def ending(attacker: Attacker) -> None:
        crowd = {f"id{number}": 1 for number in range(9000)}
        attacker.raw.zadd(attacker.keys.expiring, {ADA.id: "-inf", b"\xff": 0, "junk\n": 1, **crowd})

    yield "junk among the ids", Attack(listed, hits=())
    yield "ids out of order", Attack(scored, hits=())
    yield "records that shall end", Attack(ending)

    def told(attacker: Attacker) -> None:
        for number, value in enumerate(JUNK.values()):
            attacker.raw.xadd(attacker.keys.events, {"event": value, "id": value, f"names{number}": value})
            attacker.raw.xadd(attacker.keys.events, {b"\xff": value})
        attacker.raw.xadd(attacker.keys.events, {"event": "deleted", "id": ADA.id, "names": "changed"})

    yield "events", Attack(told, hits=())
    yield "no events", Attack(lambda attacker: attacker.raw.delete(attacker.keys.events), hits=())

    def last(attacker: Attacker) -> None:
        attacker.raw.xadd(attacker.keys.events, {"a": "b"}, id=f"{(1 << 64) - 1}-{(1 << 64) - 1}")

    yield "the last event", Attack(last, hits=(), jams=True)


def _wrong_types() -> Iterator[tuple[str, Attack]]:
    """Put something of another type under every key."""

    def key_of(name: str, attacker: Attacker) -> list[str]:
        keys = attacker.keys
        if name in ("token", "access", "lease", "wake"):
            return [getattr(keys, name)(ADA.id)]
        if name == "gone":
            return [keys.key(f"gone:{ADA.id}"), keys.key(f"gone:{ADA.former_id}")]
        return attacker.pointers(ADA).get(name) or [getattr(keys, name)]

    def put(name: str, kind: str) -> Act:
        def act(attacker: Attacker) -> None:
            for key in key_of(name, attacker):
                attacker.raw.delete(key)
                if kind == "list":
                    attacker.raw.rpush(key, "x")
                elif kind == "string":
                    attacker.raw.set(key, "x")
                else:
                    attacker.raw.hset(key, "x", "y")

        return act

    own = ("token", "access", "lease", "wake", "gone", "user", "refresh", "grant", "access-token")
    for name, kind in itertools.product(
        (*own, "ids", "expiring", "events", "counted", "nothing"), ("list", "string", "hash")
    ):
        jams = name in ("ids", "expiring", "events")
        yield f"a {kind} under {name}", Attack(put(name, kind), hits=(ADA,) if name in own else (), jams=jams)


_all = dict(itertools.chain(_fields(), _records(), _pointers(), _redirects(), _coordination(), _wrong_types()))
_junk = re.compile(rf".*: ({'|'.join(JUNK)})(, beside the record)?|(merged into|deleted) ({'|'.join(JUNK)}).*")

ATTACKS = {name: attack for name, attack in _all.items() if not _junk.fullmatch(name)}
"""Those that are aimed."""

VANDALISM = {name: attack for name, attack in _all.items() if name not in ATTACKS}
"""Those that write what nobody has ever written, to see where it breaks."""
