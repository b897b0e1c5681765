"""Redis in a dictionary: exactly the commands that the scripts use, under a clock of the simulation's own.

fakeredis needs most of a millisecond for a script; a schedule has hundreds. `test_memory.py` holds this model against
fakeredis and real servers with the same random commands.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any

# Refused on a full server unless the script has already written something (Redis checks the first write only).
_NEEDS_MEMORY = {"SET", "HSET", "HINCRBY", "XADD", "ZADD"}
_WRITES = _NEEDS_MEMORY | {"DEL", "HDEL", "PEXPIRE", "PEXPIREAT", "PERSIST", "ZREM"}


class CommandError(Exception):
    """What Redis would have said."""


class Status(str):
    """A reply such as +OK, which Lua sees as a table."""


class Stream(list[tuple[str, tuple[str, ...]]]):
    """Entries of a stream, oldest first; `last` is the id that was given last, as two numbers."""

    last = (0, 0)


class Memory:
    """A server.

    Args:
        now_us: Gives the time, microseconds since the epoch. It stands still while a script runs.
    """

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._values: dict[str, Any] = {}
        self._ends_ms: dict[str, int] = {}
        self.full = False
        self.writes = 0
        """How many commands have written: two equal readings mean that nothing has changed in between."""
        self._wrote = False

    # Scripts.

    def begin_script(self) -> None:
        """Take note that a script begins: on a full server its first write decides."""
        self._wrote = False

    def call(self, command: str, *args: Any) -> Any:
        """Run a command of a script; replies are those of RESP 2."""
        texts = [arg if type(arg) is str else _text(arg) for arg in args]
        name = command.upper()
        if name in _WRITES:
            if self.full and not self._wrote and name in _NEEDS_MEMORY:
                raise CommandError("OOM command not allowed when used memory > 'maxmemory'.")
            self._wrote = True
            self.writes += 1
        return getattr(self, f"_{name.lower()}")(*texts)

    # What the simulation looks at.

    def names(self) -> list[str]:
        """Return the keys that are there now."""
        return [key for key in list(self._values) if self.peek(key) is not None]

    def peek(self, key: str) -> Any:
        """Return a value as it is kept, None for none."""
        if key in self._ends_ms and self._ends_ms[key] <= self._now_us() // 1000:
            self._drop(key)
        return self._values.get(key)

    def ttl_ms(self, key: str) -> int | None:
        """Return the life that a key has left, ms; None if it does not end."""
        ends_ms = self._ends_ms.get(key)
        return None if ends_ms is None else ends_ms - self._now_us() // 1000

    def newest_entry(self, stream: str) -> tuple[int, int]:
        """Return the id of the last entry that a stream was given."""
        value = self.peek(stream)
        return value.last if value is not None else (0, 0)

    def flush(self) -> None:
        """Lose everything."""
        self._values.clear()
        self._ends_ms.clear()

    # Keys.

    def _typed(self, key: str, kind: type[Any]) -> Any:
        value = self.peek(key)
        if value is not None and type(value) is not kind:
            raise CommandError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _drop(self, key: str) -> int:
        self._ends_ms.pop(key, None)
        return int(self._values.pop(key, None) is not None)

    def _del(self, *keys: str) -> int:
        return sum(self._drop(key) for key in keys if self.peek(key) is not None)

    def _time(self) -> list[str]:
        return [str(part) for part in divmod(self._now_us(), 1_000_000)]

    def _pexpireat(self, key: str, ends_ms: str) -> int:
        if self.peek(key) is None:
            return 0
        if int(ends_ms) <= self._now_us() // 1000:
            self._drop(key)
        else:
            self._ends_ms[key] = int(ends_ms)
        return 1

    def _pexpire(self, key: str, life_ms: str) -> int:
        return self._pexpireat(key, str(self._now_us() // 1000 + int(life_ms)))

    def _pttl(self, key: str) -> int:
        if self.peek(key) is None:
            return -2
        left_ms = self.ttl_ms(key)
        return -1 if left_ms is None else left_ms

    def _persist(self, key: str) -> int:
        return int(self.peek(key) is not None and self._ends_ms.pop(key, None) is not None)

    # Strings.

    def _get(self, key: str) -> str | None:
        value: str | None = self._typed(key, str)
        return value

    def _set(self, key: str, value: str, *life: str) -> str:
        self._drop(key)
        self._values[key] = value
        if life:
            unit, number = life
            self._pexpireat(key, str({"PX": self._now_us() // 1000, "PXAT": 0}[unit.upper()] + int(number)))
        return Status("OK")

    # Hashes.

    def _hget(self, key: str, field: str) -> str | None:
        return (self._typed(key, dict) or {}).get(field)

    def _hmget(self, key: str, *fields: str) -> list[str | None]:
        value = self._typed(key, dict) or {}
        return [value.get(field) for field in fields]

    def _hset(self, key: str, *pairs: str) -> int:
        if not pairs or len(pairs) % 2:
            raise CommandError("ERR wrong number of arguments for 'hset' command")
        value = self._typed(key, dict)
        if value is None:
            value = self._values[key] = {}
        before = len(value)
        value.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(value) - before

    def _hincrby(self, key: str, field: str, by: str) -> int:
        number = int(self._hget(key, field) or 0) + int(by)
        self._hset(key, field, str(number))
        return number

    def _hdel(self, key: str, *fields: str) -> int:
        value = self._typed(key, dict) or {}
        gone = sum(value.pop(field, None) is not None for field in fields)
        if not value:
            self._drop(key)
        return gone

    # Sorted sets.

    def _zadd(self, key: str, *pairs: str) -> int:
        value = self._typed(key, _Sorted)
        if value is None:
            value = self._values[key] = _Sorted()
        before = len(value)
        value.update({member: float(score) for score, member in zip(pairs[::2], pairs[1::2], strict=True)})
        return len(value) - before

    def _zrem(self, key: str, *members: str) -> int:
        value = self._typed(key, _Sorted) or {}
        gone = sum(value.pop(member, None) is not None for member in members)
        if not value:
            self._drop(key)
        return gone

    def _zrangebylex(self, key: str, least: str, most: str, limit: str, offset: str, count: str) -> list[str]:
        if most != "+" or limit.upper() != "LIMIT" or offset != "0":
            raise CommandError("ERR not modelled")
        members = sorted(self._typed(key, _Sorted) or ())
        start = 0
        if least != "-":
            place = bisect.bisect_right if least[0] == "(" else bisect.bisect_left
            start = place(members, least[1:])
        return members[start : start + int(count)]

    def _zrangebyscore(self, key: str, least: str, most: str, limit: str, offset: str, count: str) -> list[str]:
        if least != "-inf" or limit.upper() != "LIMIT" or offset != "0":
            raise CommandError("ERR not modelled")
        found = [(score, member) for member, score in (self._typed(key, _Sorted) or {}).items() if score <= float(most)]
        return [member for _, member in sorted(found)][: int(count)]

    # Streams.

    def _xadd(self, key: str, *args: str) -> str | None:
        rest, most = list(args), None
        value = self._typed(key, Stream)
        if rest[0].upper() == "NOMKSTREAM":
            rest.pop(0)
            if value is None:
                return None
        if rest[0].upper() == "MAXLEN":
            rest.pop(0)
            if rest[0] == "~":
                rest.pop(0)
            most = int(rest.pop(0))
        if rest.pop(0) != "*":
            raise CommandError("ERR not modelled")
        if value is None:
            value = self._values[key] = Stream()
        ms, sequence = value.last
        now_ms = self._now_us() // 1000
        value.last = (now_ms, 0) if now_ms > ms else (ms, sequence + 1)
        entry = "{}-{}".format(*value.last)
        value.append((entry, tuple(rest)))
        if most is not None:
            del value[:-most]
        return entry

    def _xrevrange(self, key: str, most: str, least: str, count: str, number: str) -> list[Any]:
        if (most, least, count.upper()) != ("+", "-", "COUNT"):
            raise CommandError("ERR not modelled")
        entries = self._typed(key, Stream) or []
        return [[entry, list(fields)] for entry, fields in entries[::-1][: int(number)]]


class _Sorted(dict[str, float]):
    """Member to score."""


def _text(number: Any) -> str:
    """Write a number as Redis does when Lua hands it to a command."""
    if isinstance(number, float) and not number.is_integer():
        return f"{number:.17g}"
    return str(int(number)) if isinstance(number, (int, float)) else str(number)
