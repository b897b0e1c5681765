"""What might come from Redis: replies of the right shape with anything in them, and anything at all."""

from __future__ import annotations

import json
from typing import Any

import redis
from hypothesis import strategies as st

from zoho_token_store.codec import Codec
from zoho_token_store.record import Access, TokenRecord

NOW = 1_700_000_001_000
"""Redis's time, ms: that of :class:`fuzz.liar.LeapingClock`."""

IDS = ("ada-1", "ada-2", "b")
FIELDS = (*TokenRecord._fields[1:15], "refresh_token+", "grant_token+", "client")
"""The fields of a hash in the order in which the scripts read them."""

ODD = ("", " ", "0", "-1", "1 2", "²", "9" * 17, "9" * 5000, "nan", "1e400", "null", "[", "[" * 3000, '{"a":' * 999,
       "\x00", "\udcff", "sealed.", "sealed.a.b", "sealed..é", "merged ada-2", "deleted 1", "ada-1:",
       "-:ada-1")  # fmt: skip
"""Texts that some parser or other has reason to trip over."""

texts = (
    st.sampled_from([*ODD, *IDS])
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
)
"""What redis-py makes of bytes."""

numbers = st.integers(0, 3).map(str) | st.just(str(NOW)) | texts
whole = st.integers(-(2**63), 2**63) | st.sampled_from([0, 1, 2, NOW])
anything = st.recursive(
    st.none() | st.booleans() | whole | st.floats() | texts | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)

json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(IDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(IDS) | st.text(max_size=5), inner),
    max_leaves=6,
)

lists = json_texts.map(json.dumps) | st.just('["1000.spare"]') | texts
metas = (
    st.fixed_dictionaries(
        {},
        optional={
            "created_ms": st.just(NOW) | json_texts,
            "refresh_fence": st.just(1) | json_texts,
            **{
                name: st.lists(st.sampled_from(IDS), max_size=2) | json_texts
                for name in ("old_refresh", "old_grant", "absorbed", "refused_at")
            },
            "later": json_texts,
        },
    ).map(json.dumps)
    | json_texts.map(json.dumps)
    | texts
)
ops = st.just(f"{NOW - 5} a b") | texts
maybe = st.none() | texts


@st.composite
def records(draw: st.DrawFn, how: Codec) -> tuple[str, list[str | None]]:
    """Make an access part and a hash: half of them written as the codec does, the others beside its rules too."""
    record_id = draw(st.sampled_from(IDS))
    record = TokenRecord(
        record_id,
        user_name=draw(st.sampled_from(["ada", None]) | texts),
        client_id=draw(st.sampled_from(["1000.ONE", None]) | texts),
        client_secret=draw(maybe),
        refresh_token=draw(st.sampled_from(["rt", None]) | texts),
        grant_token=draw(st.sampled_from(["gt", None]) | texts),
        redirect_url=draw(maybe),
        api_domain=draw(maybe),
        spares=draw(st.none() | lists),
        schema=draw(st.sampled_from(["1", "2", "3"])),
        ops=draw(ops),
        meta=draw(st.none() | metas),
        rejected=draw(st.none() | texts),
    )
    fields = dict(how.changes(None, record).values)
    for name in ("rev", "fence", "schema"):
        fields[name] = draw(st.just(fields[name]) | numbers)
    expires_ms = draw(st.sampled_from([0, NOW - 1, NOW + 20, NOW + 7000, NOW + 3_600_000, 10**13]))
    access = how.access(
        record_id, Access(draw(st.just("at") | texts), expires_ms, draw(st.sampled_from([0, 3_600_000])))
    )
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        fields[name] = draw(texts)
    return draw(st.just(access) | st.just("") | texts), [fields.get(name) for name in FIELDS]


@st.composite
def script_replies(draw: st.DrawFn, how: Codec, name: str, args: list[str]) -> Any:
    """Make a reply to a script: of its shape for the most part, and else anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(anything)
    if draw(st.integers(0, 19)) == 0:
        return draw(errors)
    keys, args = args[1 : 1 + int(args[0])], args[1 + int(args[0]) :]
    verb = name.split("-")[0]
    if verb == "find":
        return draw(find_replies(how, len(keys) - 5))
    if verb == "read":
        strings = int(args[0])
        pairs = st.none() | records(how)
        found = [draw(pairs) for _ in range((len(keys) - strings) // 2)]
        return [
            draw(st.just(NOW) | whole),
            [draw(texts) for _ in range(strings)],
            [[*each] if each else [] for each in found],
        ]
    if verb == "page":
        return draw(st.lists(st.sampled_from(IDS), unique=True).map(sorted) | st.lists(texts))
    word = draw(st.sampled_from(["OK", "CONFLICT", "HELD", "LOST", "SPENT"]) | texts)
    return [word, draw(st.just(NOW) | whole), *draw(st.lists(whole | texts, max_size=2))]


FIND_KINDS = ("FRESH", "LEASED", "SAME", "WAIT", "FAILING", "REJECTED", "REDIRECT", "MOVED", "SCHEMA", "MISSING",
              "GONE", "CONTRADICTS", "CORRUPT")  # fmt: skip


@st.composite
def find_replies(draw: st.DrawFn, how: Codec, pointers: int) -> list[Any]:
    """Make a reply of ``find-5.lua``."""
    kind = draw(st.sampled_from(FIND_KINDS) | texts)
    access, stored = draw(records(how))
    rest: dict[str, list[Any]] = {
        "FRESH": [access, stored],
        "SAME": [access],
        "LEASED": [draw(numbers | whole), draw(whole), draw(whole), access, draw(st.just(stored) | st.just([]))],
        "WAIT": [draw(whole), draw(texts)],
        "FAILING": [draw(whole), draw(texts)],
        "REJECTED": [draw(texts)],
        "REDIRECT": [draw(texts)],
        "SCHEMA": [draw(numbers)],
        "MOVED": [draw(texts) for _ in range(pointers)],
    }
    return [kind, draw(st.just(NOW) | whole), *rest.get(kind, [])]


errors = st.builds(
    lambda kind, text: kind(text),
    st.sampled_from(
        [
            redis.ResponseError,
            redis.ConnectionError,
            redis.TimeoutError,
            redis.ReadOnlyError,
            redis.InvalidResponse,
            redis.exceptions.NoScriptError,
            redis.exceptions.ClusterDownError,
            redis.exceptions.AuthenticationError,
        ]
    ),
    texts | st.sampled_from(["MOVED 1 x:1", "OOM", "WRONGTYPE", "NOPERM"]),
)

event_ids = st.sampled_from(["0-0", "1-1", f"{NOW}-0", f"{NOW}-1"]) | texts
entries = st.tuples(event_ids, st.lists(st.sampled_from(["event", "id", "by", "into", "names", "saved"]) | texts)).map(
    list
)
descriptions = st.fixed_dictionaries(
    {"last-generated-id": event_ids, "first-entry": st.none() | entries, "length": st.integers(0, 20_000) | anything},
    optional={"entries-added": st.integers(0, 20_000) | anything},
)
maps = descriptions | descriptions.map(lambda told: [each for pair in told.items() for each in pair])
infos = st.sampled_from(["redis_version:7.2.0\r\nrun_id:a\r\nuptime_in_seconds:5", "redis_version:6.0.1"]) | st.builds(
    "redis_version:{}\r\n{}:{}\nuptime_in_seconds:{}\r\nrun_id:{}".format, texts, texts, texts, numbers, texts
)
commands = {
    "INFO": infos | texts,
    "COMMAND": st.lists(st.none() | st.just(["eval"]) | anything, max_size=12),
    "XREAD": st.none() | st.lists(st.tuples(texts, st.lists(entries, max_size=4)).map(list), max_size=2),
    "XRANGE": st.just([]) | st.just([["1-1", []]]),
    "XINFO": maps | st.just(redis.ResponseError("no such key")),
    "TIME": st.tuples(numbers, numbers).map(list),
    "ZCARD": whole | texts,
    "PING": texts,
}


def command_replies(name: str) -> st.SearchStrategy[Any]:
    """Return replies to a command."""
    usual = commands.get(name, anything)
    return st.integers(0, 9).flatmap(lambda die: anything if die == 0 else errors if die == 1 else usual)


_frames = st.recursive(
    st.sampled_from([b"+OK\r\n", b":1\r\n", b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b",nan\r\n", b"-ERR x\r\n",
                     b"$3\r\nabc\r\n", b"$4\r\n\xff\xfe\x00\r\r\n", b":x\r\n", b"$99999999999\r\n", b"*-5\r\n",
                     b"(12\r\n", b"(x\r\n", b"=7\r\ntxt:abc\r\n", b"!5\r\nERR x\r\n", b"*1000000\r\n", b"\xff\r\n",
                     b"-\r\n", b"-MOVED 1\r\n", b"-ASK x y\r\n", b">1\r\n+x\r\n",
                     b",1e999\r\n"]) | st.binary(max_size=6),
    lambda inner: st.builds(
        lambda mark, items: mark + str(len(items)).encode() + b"\r\n" + b"".join(items),
        st.sampled_from([b"*", b"~", b">", b"%", b"|"]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=6,
)  # fmt: skip
wire_replies = st.lists(_frames, max_size=4).map(b"".join)
"""Bytes as a server might send them, or something else that listens at its address."""
