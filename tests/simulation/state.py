"""What is stored, as the invariants see it: read past the store's own code where that is under test."""

from __future__ import annotations

from simulation.memory import Memory
from zoho_token_store.codec import Codec
from zoho_token_store.keyspace import Keyspace, read_user_pointer
from zoho_token_store.record import TokenRecord

_ROOT = Keyspace("sim").key("")
_FIELDS = set(TokenRecord._fields)
_CODEC = Codec()


class State:
    """A namespace at one moment.

    Args:
        memory: The server.

    Attributes:
        records: By id.
        pointers: Ids by name of the pointer, user pointers excepted.
        users: Entries of user pointers.
        tombstones: By what they are about.
        leases: Owners of live leases, by name.
        accesses: Ids that have an access part.
        wakes: Names of wake streams.
        endless: Names of keys that do not end by themselves.
        ids: The list of ids.
        ended: Ids on the list that have ended by themselves and are not yet taken off.
    """

    def __init__(self, memory: Memory) -> None:
        now_ms = memory._now_us() // 1000
        self.records: dict[str, TokenRecord] = {}
        self.pointers: dict[str, str] = {}
        self.users: dict[str, dict[str, str]] = {}
        self.tombstones: dict[str, str] = {}
        self.leases: dict[str, str] = {}
        self.accesses: set[str] = set()
        self.wakes: set[str] = set()
        self.endless: set[str] = set()
        self.ids: set[str] = set(memory.peek(f"{_ROOT}ids") or ())
        self.ended: set[str] = {
            record_id for record_id, ends_ms in (memory.peek(f"{_ROOT}expiring") or {}).items() if ends_ms <= now_ms
        }
        for key in memory.names():
            name = key[len(_ROOT) :]
            kind, _, rest = name.partition(":")
            value = memory.peek(key)
            if memory.ttl_ms(key) is None:
                self.endless.add(name)
            if kind == "token":
                known = {field: text for field, text in value.items() if field in _FIELDS}
                access = _CODEC.read_access(rest, memory.peek(f"{_ROOT}access:{rest}") or "")
                self.records[rest] = TokenRecord(rest, **known, access=access)
            elif kind in ("grant", "refresh", "access-token"):
                self.pointers[name] = value
            elif kind == "user":
                self.users[name] = read_user_pointer(value)
            elif kind == "gone":
                self.tombstones[rest] = value
            elif kind == "lease" and int(value.get("until_ms", 0)) > now_ms and "owner" in value:
                self.leases[rest] = value["owner"]
            elif kind == "access":
                self.accesses.add(rest)
            elif kind == "wake":
                self.wakes.add(rest)

    def heir(self, record_id: str) -> str | None:
        """Return the record that another was merged into."""
        seen = self.tombstones.get(record_id, "")
        while seen.startswith("merged "):
            record_id = seen.removeprefix("merged ")
            if record_id in self.records:
                return record_id
            seen = self.tombstones.get(record_id, "")
        return None
