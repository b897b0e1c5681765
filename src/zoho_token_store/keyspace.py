"""Every key name and every digest, in one place.

All keys of a namespace carry the hash tag ``{<namespace>}``: they lie in one slot of a Redis Cluster, so that a script
may read and write any of them in one atomic step. No token, secret or user name stands in a key name: pointers carry
digests, and with pointer keys an HMAC of the digest, by which nobody without the key can check a guess.

::

    zts:{<ns>}:token:<id>               hash     the record
    zts:{<ns>}:access:<id>              string   its access part; expires with the access token
    zts:{<ns>}:user:<digest>            string   "<client digest>:<id> ..."; one user name, a record for each client
    zts:{<ns>}:refresh:<digest>         string   id
    zts:{<ns>}:grant:<digest>           string   id
    zts:{<ns>}:access-token:<digest>    string   id; expires with the access token
    zts:{<ns>}:gone:<name>              string   tombstone of a record id or of a pointer
    zts:{<ns>}:gone:*                   string   tombstone of all records that there were at its time
    zts:{<ns>}:lease:<name>             hash     the lease on a record id, or on a credential without a record
    zts:{<ns>}:wake:<name>              stream   written when that lease ends
    zts:{<ns>}:calls:<name>             string   when a credential was last offered to Zoho: "<ms> <ms> ..."
    zts:{<ns>}:ids                      zset     every record id, all with score 0: in order of id
    zts:{<ns>}:expiring                 zset     id -> when the record ends by itself, ms
    zts:{<ns>}:events                   stream   what happened to which record
    zts:{<ns>}:counted                  hash     what all processes together have counted (see count-1.lua)
    zts:{<ns>}:partition                string   "<number>of<number>": which of how many partitions this is
    zts:{<ns>}:mark                     string   written where replicas are waited for (see mark-1.lua)
    zts:{<ns>}:nothing                           never exists (see commit-1.lua)
"""

from __future__ import annotations

import hmac
import re
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from math import inf

from zoho_token_store.errors import ConfigurationError, InvalidToken
from zoho_token_store.keyring import Key

PREFIX = "zts"
NO_CLIENT = "-"
"""Stands for "no client id" in a user pointer."""

ALL = "*"
"""Stands in a tombstone's name for all records; it is no id."""

DEFAULT_NAMESPACE = "default"
"""Of stores that are not shared between applications as a rule."""

_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9_.@+=-]{1,128}")
_CLIENT = re.compile(rf"{NO_CLIENT}|[A-Za-z0-9+/]{{22}}")
_MERGED = "merged "
_DELETED = re.compile(r"deleted ([0-9]{1,16})")


def digest(kind: str, value: str) -> str:
    """Return 128 bits of the SHA-256 of kind and value, as 22 characters of Base64."""
    return _short(sha256(f"{kind}\0{value}".encode("utf-8", "surrogateescape")).digest())


def spread(text: str, over: int) -> int:
    """Return which of ``over`` places a text belongs to: the same everywhere, and evenly spread."""
    return int.from_bytes(sha256(f"place\0{text}".encode("utf-8", "surrogateescape")).digest()[:8], "big") % over


def _short(hashed: bytes) -> str:
    return b2a_base64(hashed[:16], newline=False)[:22].decode()


def pointer(kind: str, value: str) -> str:
    """Return the name of the pointer that leads from a credential or a user name to a record.

    Args:
        kind: ``user``, ``refresh``, ``grant`` or ``access-token``.
        value: The credential or the user name.
    """
    return f"{kind}:{digest(kind, value)}"


@lru_cache(256)  # the SDK looks the same few users up before every request; credentials are not kept like that
def user_pointer(user_name: str) -> str:
    """Return the name of the pointer of a user name."""
    return pointer("user", user_name)


@lru_cache(256)  # a namespace has few clients, and all of its records name one
def client_digest(client_id: str | None) -> str:
    """Return the entry under which a client id stands in a user pointer."""
    return NO_CLIENT if client_id is None else digest("client", client_id)


def read_pointer(stored: str) -> str:
    """Return the record id in a stored pointer, "" for none. What is no id leads nowhere: it is not one of ours."""
    return stored if is_id(stored) else ""


def read_user_pointer(stored: str) -> dict[str, str]:
    """Return ``{client digest: record id}`` of a stored user pointer; see :func:`read_pointer`."""
    entries = (entry.partition(":") for entry in stored.split())
    return {client: record_id for client, _, record_id in entries if _CLIENT.fullmatch(client) and is_id(record_id)}


def write_user_pointer(entries: dict[str, str]) -> str:
    """Return the stored form of a user pointer."""
    return " ".join(f"{client}:{record_id}" for client, record_id in sorted(entries.items()))


def is_id(text: str) -> bool:
    """Return whether a text can be a record's id."""
    return _ID.fullmatch(text) is not None


def check_id(record_id: object) -> str:
    """Return a record id that can stand in a key name.

    Raises:
        InvalidToken: It is not text of 1 to 128 letters, digits and ``_.@+=-``.
    """
    if isinstance(record_id, str) and is_id(record_id):
        return record_id
    raise InvalidToken("id", "must be 1 to 128 characters out of letters, digits and _ . @ + = -")


def check_namespace(namespace: object) -> str:
    """Return a namespace that can be used.

    Raises:
        ConfigurationError: It is not text of 1 to 64 letters, digits and ``_.-``.
    """
    if isinstance(namespace, str) and _NAMESPACE.fullmatch(namespace):
        return namespace
    raise ConfigurationError("namespace", "must be 1 to 64 characters out of letters, digits and _ . -")


class PointerNames:
    """What pointers and tombstones are called where they are stored.

    Within the process a pointer has one name, made of a plain digest. What it is called outside depends on the pointer
    keys: the first leads, so that look-ups go by it, and all of them are written. So one may follow another while
    workers run: ``[old]``, ``[old, new]``, ``[new, old]``, ``[new]``, a step at a time; whoever leads by a key finds
    all that the step before or after it has written. None stands for plain digests.

    Args:
        pointer_keys: See above; without any, digests are plain.
    """

    def __init__(self, pointer_keys: Sequence[Key | None] = ()) -> None:
        self._leading, *self._others = pointer_keys or (None,)

    def leading(self, name: str) -> str:
        """Return what look-ups go by."""
        return _under(self._leading, name)

    def every(self, name: str) -> tuple[str, ...]:
        """Return all that is written, what look-ups go by first."""
        if not self._others:
            return (_under(self._leading, name),)
        return tuple(dict.fromkeys(_under(key, name) for key in (self._leading, *self._others)))


class Keyspace:
    """The keys of one namespace.

    Leases, wake streams and budgets keep the plain name: a grant code or a refresh token cannot be guessed, the names
    are gone in seconds, and workers with different pointer keys still meet there, so that no two spend one code.

    Args:
        namespace: One application's tokens, ``[A-Za-z0-9_.-]{1,64}``.
        pointer_keys: See :class:`PointerNames`.

    Raises:
        ConfigurationError: The namespace is not of that form.
    """

    def __init__(self, namespace: str, pointer_keys: Sequence[Key | None] = ()) -> None:
        self.namespace = check_namespace(namespace)
        self._root = root = f"{PREFIX}:{{{namespace}}}:"
        self.names = PointerNames(pointer_keys)
        self.ids = f"{root}ids"
        self.expiring = f"{root}expiring"
        self.events = f"{root}events"
        self.counted = f"{root}counted"
        self.nothing = f"{root}nothing"

    @property
    def pattern(self) -> str:
        """What matches all keys of the namespace, and no other."""
        return f"{self._root}*"

    def kind(self, key: str) -> str:
        """Return what kind of key one of the namespace is: what stands before the name that is in it."""
        return key.removeprefix(self._root).partition(":")[0]

    def name(self, key: str) -> str:
        """Return the name that is in a key of the namespace: a record id, a digest, or the name of a pointer."""
        return key.removeprefix(self._root).partition(":")[2]

    def key(self, name: str) -> str:
        """Return the key of a pointer or a tombstone by its name: the one that look-ups go by."""
        return self._root + self.names.leading(name)

    def every(self, name: str) -> tuple[str, ...]:
        """Return each key that a pointer or a tombstone is written to, the leading one first."""
        return tuple(self._root + each for each in self.names.every(name))

    def token(self, record_id: str) -> str:
        """Return the key of a record."""
        return f"{self._root}token:{record_id}"

    def access(self, record_id: str) -> str:
        """Return the key of a record's access part."""
        return f"{self._root}access:{record_id}"

    def lease(self, name: str) -> str:
        """Return the key of the lease on a record id or on a credential's pointer name."""
        return f"{self._root}lease:{name}"

    def wake(self, name: str) -> str:
        """Return the key of the stream that is written when that lease ends."""
        return f"{self._root}wake:{name}"

    def calls(self, name: str) -> str:
        """Return the key of the times at which a credential, named as its pointer is, was offered to Zoho."""
        return f"{self._root}calls:{name}"

    def found_by(self, record_id: str, lease: str, tombstone: str) -> list[str]:
        """Return the five keys that ``find-5.lua`` takes before the pointers."""
        root = self._root
        return [
            f"{root}token:{record_id}",
            f"{root}access:{record_id}",
            self.key(f"gone:{tombstone}"),
            f"{root}lease:{lease}",
            f"{root}wake:{lease}",
        ]


def tombstone(name: str) -> str:
    """Return the name of the tombstone of a record id or of a pointer."""
    return f"gone:{name}"


def redirect(record_id: str) -> str:
    """Return the stored form of a tombstone that leads to another record."""
    return f"{_MERGED}{record_id}"


def read_redirect(stored: str) -> str | None:
    """Return where a tombstone leads, which need not be an id if it is not one of ours; None if it leads nowhere."""
    return stored[len(_MERGED) :] if stored.startswith(_MERGED) else None


def read_deletion(stored: str) -> float | None:
    """Return the fence of the deletion that a tombstone tells of; None if it tells of none.

    One that cannot be read counts as newer than anything: what was deleted stays so.
    """
    if not stored or read_redirect(stored) is not None:
        return None
    told = _DELETED.fullmatch(stored)
    return int(told[1]) if told else inf


def _under(key: Key | None, name: str) -> str:
    """Return what a name is called under a pointer key; an id stays as it is: it is random, or the caller's own."""
    if key is None or ":" not in name:
        return name
    kind, _, what = name.partition(":")
    if kind == "gone":
        return f"gone:{_under(key, what)}" if ":" in what else name
    return f"{kind}:{_short(hmac.digest(key.secret, name.encode(), sha256))}"
