"""Finding out the facts: by the connection that a worker would have, and nothing that changes anything."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from time import time
from typing import Any, TypeVar

import redis

from zoho_token_store.address import Target, read_url
from zoho_token_store.cli.doctor.facts import DISK_SECONDS, Facts, Keys, Neighbours, OnDisk, Records, Way
from zoho_token_store.codec import MARK
from zoho_token_store.environment import KEYS_VARIABLE, POINTER_KEYS_VARIABLE, SWITCH_VARIABLES
from zoho_token_store.keyring import read_keys, read_pointer_keys
from zoho_token_store.keyspace import PREFIX, Keyspace
from zoho_token_store.link import BLOCK_MS, COMMANDS, Line
from zoho_token_store.refusal import refusal
from zoho_token_store.script import READ, TRY
from zoho_token_store.topology import topology_from_url

LOOKED_AT = 500
"""Most records that are looked at."""
SCANNED = 20_000
"""Most keys that are looked at for others than ours, and most ids for such as have records."""
STEP = 100
"""How many records or keys one question is about: a millisecond or so of the server's time."""

TRIED: dict[str, tuple[str, ...]] = {
    "DEL": (),
    "GET": (),
    "HDEL": ("f",),
    "HGET": ("f",),
    "HMGET": ("f",),
    "HSET": ("f", "1"),
    "HINCRBY": ("f", "1"),
    "PERSIST": (),
    "PEXPIRE": ("1000",),
    "PEXPIREAT": ("1",),
    "PTTL": (),
    "SET": ("1", "XX"),
    "XADD": ("NOMKSTREAM", "*", "f", "v"),
    "XREVRANGE": ("+", "-", "COUNT", "1"),
    "ZADD": ("XX", "0", "x"),
    "ZRANGEBYLEX": ("-", "+", "LIMIT", "0", "1"),
    "ZRANGEBYSCORE": ("0", "1", "LIMIT", "0", "1"),
    "ZREM": ("x",),
}
"""What scripts run, with what follows the key, in an order in which none of it is left behind."""

PACKAGES = ("hiredis", "cryptography")
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SDK = re.compile(r"zcrmsdk|zohocrmsdk\d+-\d+")

T = TypeVar("T")
U = TypeVar("U")


class Gatherer:
    """Asks Redis, one question after another.

    Args:
        url: Of the Redis.
        namespace: The application's.

    Raises:
        ConfigurationError: One of them cannot be used.
    """

    def __init__(self, url: str, namespace: str) -> None:
        self._url = url
        self._target = read_url(url)
        self._keys = Keyspace(namespace)
        self._line = self._connect(url)
        self._unknown: list[str] = []

    def _connect(self, url: str) -> Line:
        topology, _ = topology_from_url(url)
        return Line(topology.route(self._keys.nothing))

    def gather(self, environ: Mapping[str, str], min_replicas: int = 0) -> Facts:
        """Return the facts.

        Args:
            min_replicas: How many replicas a save of the workers waits for.
            environ: Where the keys of a worker stand.

        Raises:
            ConfigurationError: A key cannot be used.
            redis.RedisError: Redis does not answer, or lets nobody in.
        """
        with contextlib.closing(self._line):
            info = self._try("what INFO says", self._info, None)
            return Facts(
                way=way_of(self._target, self._line.host),
                min_replicas=min_replicas,
                info=info or {},
                skew_ms=self._try("the clock of Redis", self._skew_ms, None),
                open_to_all=self._open_to_all(),
                missing=self._try("which commands the server has", self._missing, ()) or (),
                refused=tuple(self._refused(min_replicas)),
                on_disk=self._on_disk(min_replicas) if min_replicas else None,
                records=self._try("what records look like", self._records, None),
                neighbours=self._try("what else is in the database", self._neighbours, None),
                keys=keys_of(environ),
                packages=frozenset(name for name in PACKAGES if find_spec(name)),
                sdks=installed_sdks(),
                unknown=tuple(self._unknown),
            )

    def _try(self, what: str, ask: Callable[[], T], otherwise: U) -> T | U:
        """Return what Redis says; if it refuses, note that this is not known."""
        try:
            return ask()
        except redis.ResponseError:
            self._unknown.append(what)
            return otherwise

    def _ask(self, *command: str | int) -> Any:
        return self._line.ask(*command)

    def _info(self) -> dict[str, str]:
        lines = (line.partition(":") for line in str(self._ask("INFO")).splitlines())
        return {name: value for name, colon, value in lines if colon}

    def _skew_ms(self) -> float:
        before = time()
        seconds, microseconds = map(int, self._ask("TIME"))
        return ((before + time()) / 2 - seconds) * 1000 - microseconds / 1000

    def _open_to_all(self) -> bool:
        """Ask the same server without name and password whether it tells anything of the namespace."""
        with contextlib.closing(self._connect(without_credentials(self._url))) as line:
            try:
                line.ask("ZCARD", self._keys.ids)
            except redis.RedisError:
                return False
        return True

    def _missing(self) -> tuple[str, ...]:
        known = self._ask("COMMAND", "INFO", *COMMANDS)
        return tuple(name for name, what in zip(COMMANDS, known, strict=True) if what is None) if known else ()

    def _refused(self, min_replicas: int) -> Iterator[str]:
        nothing = self._keys.nothing
        questions: tuple[tuple[str | int, ...], ...] = (
            ("PING",),
            ("TIME",),
            ("ZCARD", nothing),
            ("XRANGE", nothing, "-", "+"),
            ("XREAD", "COUNT", 1, "STREAMS", nothing, "0"),
            ("XINFO", "STREAM", nothing),
            ("EVALSHA", "0" * 40, 0),
        )
        if min_replicas:
            questions += (("WAIT", 0, 1),)
        if self._target.kind == "redis+cluster":
            questions += (("ASKING",),)
        for question in questions:
            try:
                self._ask(*question)
            except redis.ResponseError as error:  # such as that there is no such key
                if refusal(error):
                    yield str(question[0])
        trial: list[str | int] = []
        for name, rest in TRIED.items():
            trial += (len(rest), name, *rest)
        try:
            said = self._ask("EVAL", TRY.text, 1, nothing, *trial)
        except redis.ResponseError as error:
            if refusal(error):
                yield "EVAL"
            return
        for name, why in zip(said[::2], said[1::2], strict=True):
            if refusal(redis.ResponseError(why)) or "NOPERM" in why:
                yield name

    def _on_disk(self, min_replicas: int) -> OnDisk | None:
        """Ask as a save does whether a write is on disk: the last of this connection, the trial of the commands."""
        here = replicas = 0
        for _ in range(DISK_SECONDS * 1000 // BLOCK_MS):
            try:
                here, replicas = self._ask("WAITAOF", 1, min_replicas, BLOCK_MS)
            except redis.ResponseError as error:  # before Redis 7.2, without an append-only file, or not allowed
                return OnDisk(refused=True) if refusal(error) else None
            if here and replicas >= min_replicas:
                break
        return OnDisk(bool(here), int(replicas))

    def _records(self) -> Records:
        after, passed, fields = "-", 0, list[list[Any]]()
        while len(fields) < LOOKED_AT and passed < SCANNED:
            # Not by the script that lists ids for workers, which also forgets those that have ended.
            ids = self._ask("ZRANGEBYLEX", self._keys.ids, after, "+", "LIMIT", 0, STEP)
            if not ids:
                break
            after, passed = f"({ids[-1]}", passed + len(ids)
            keys = [key for each in ids for key in (self._keys.token(each), self._keys.access(each))]
            fields += [stored[1] for stored in self._ask("EVAL", READ.text, len(keys), *keys, 0)[2] if stored]
        metas = [str(each[12] or "") for each in fields]
        sealed = [meta for meta in metas if meta.startswith(MARK)]
        under = {meta.removeprefix(MARK).partition(".")[0] for meta in sealed}
        # Whoever can write to Redis can write anything there; it is printed.
        named = frozenset(each if _KEY_ID.fullmatch(each) else "?" for each in under)
        return Records(len(metas), len(metas) - len(sealed), named)

    def _neighbours(self) -> Neighbours:
        cursor, passed, namespaces, foreign = "0", 0, set[str](), 0
        ours = self._keys.pattern.removesuffix("*")
        while passed < SCANNED:
            cursor, names = self._ask("SCAN", cursor, "COUNT", STEP)
            passed += STEP
            for name in names:
                if name.startswith(ours):
                    continue
                if other := re.match(rf"{PREFIX}:\{{([^}}]+)\}}:", name):
                    namespaces.add(other[1])
                else:
                    foreign += 1
            if cursor == "0":
                break
        return Neighbours(len(namespaces), foreign)


def way_of(target: Target, host: str | None) -> Way:
    """Return how Redis is reached.

    Args:
        target: What its URL says.
        host: Of the server that a connection led to, which Sentinels or nodes of a cluster have named; None for a
            Unix socket.
    """
    options = target.options
    hosts = [address.host for address in target.hosts] + ([] if host is None else [host])
    local = all(map(_is_loopback, hosts))
    careless = options.get("ssl_cert_reqs") == "none" or options.get("ssl_check_hostname") is False
    return Way(local, target.tls, not careless)


def without_credentials(url: str) -> str:
    """Return a URL without the name and the password that Redis itself is given."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    kept = [pair for pair in query.split("&") if pair.partition("=")[0] not in ("", "username", "password")]
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}{'?' if kept else ''}{'&'.join(kept)}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def keys_of(environ: Mapping[str, str]) -> Keys:
    """Return what is to be known of the keys in environment variables.

    Raises:
        ConfigurationError: One cannot be used.
    """
    given = environ.get(KEYS_VARIABLE)
    ids = {key.id for key in read_keys(given, "encryption_keys")} if given is not None else set[str]()
    pointer_keys = read_pointer_keys(environ.get(POINTER_KEYS_VARIABLE, ""))
    takes = environ.get(SWITCH_VARIABLES["migrate_plaintext"]) == "1"
    return Keys(frozenset(ids), not pointer_keys or None in pointer_keys, takes)


def installed_sdks() -> dict[str, str]:
    """Return the distributions of the Zoho CRM SDK that are installed, with their versions."""
    found = {}
    for distribution in metadata.distributions():
        name = str(distribution.metadata["Name"] or "").lower().replace("_", "-").replace(".", "-")
        if _SDK.fullmatch(name):
            found[name] = distribution.version
    return found
