"""What the facts mean: one function for each thing that would lose or leak tokens. Without I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from zoho_token_store.cli.doctor.facts import DISK_SECONDS, Facts
from zoho_token_store.clock import AGREE_MS
from zoho_token_store.link import LEAST_VERSION

Severity = Literal["danger", "warning", "hint"]

FULL, NEARLY_FULL = 0.9, 0.75
"""Shares of ``maxmemory`` from which on there is danger, and a warning."""

SUPPORTED_SDKS = ("zohocrmsdk5-0", "zohocrmsdk6-0", "zohocrmsdk7-0", "zohocrmsdk8-0")


class Finding(NamedTuple):
    """Something to be seen to.

    Attributes:
        check: The name of the check that has found it.
        severity: ``danger``: tokens are lost or open to others, or nothing works; ``warning``: they may be; ``hint``.
        what: What it is.
        remedy: What to do.
    """

    check: str
    severity: Severity
    what: str
    remedy: str


Found = tuple[Severity, str, str] | None
"""Severity, what it is, and what to do; None if all is well, or nothing is known."""


def findings(facts: Facts) -> Iterator[Finding]:
    """Yield what every check finds, the gravest first."""
    found = [Finding(name, *each) for name, check in CHECKS.items() if (each := check(facts))]
    order = ("danger", "warning", "hint")
    yield from sorted(found, key=lambda finding: order.index(finding.severity))


def _eviction(facts: Facts) -> Found:
    policy, limit = facts.info.get("maxmemory_policy", "noeviction"), facts.number("maxmemory")
    if policy == "noeviction":
        return None
    if policy.startswith("allkeys"):
        severity: Severity = "danger" if limit else "warning"
        what = f"with maxmemory-policy {policy} a Redis that is full throws refresh tokens away"
    else:
        severity = "warning" if limit else "hint"
        what = f"with maxmemory-policy {policy} a Redis that is full throws away access tokens, leases and tombstones"
    later = "" if limit else "; it has no limit of memory yet"
    return severity, f"{what}{later}", "CONFIG SET maxmemory-policy noeviction, and in the configuration file"


def _persistence(facts: Facts) -> Found:
    if facts.number("aof_enabled") is None:
        return None
    if facts.info.get("aof_last_write_status") == "err" or facts.info.get("rdb_last_bgsave_status") == "err":
        return "danger", "the server cannot write to its disk", "look at its log, its disk and its rights there"
    if facts.number("aof_enabled"):
        return None
    saved, now, up = (
        facts.number(name) or 0 for name in ("rdb_last_save_time", "server_time_usec", "uptime_in_seconds")
    )
    if saved > now / 1_000_000 - up + 2:
        return (
            "warning",
            "only snapshots are kept on disk: a crash loses every refresh token since the last one",
            "appendonly yes",
        )
    return "danger", "nothing is kept on disk: a restart loses every refresh token", "appendonly yes"


def _encryption(facts: Facts) -> Found:
    if not facts.way.local and not facts.way.tls:
        return "danger", "the way to Redis is not encrypted: whoever listens reads every token", "a rediss:// URL"
    if not facts.way.verified:
        return (
            "warning",
            "the server's certificate, or the name in it, is not verified: who stands in between reads every token",
            "ssl_ca_certs in the URL, without ssl_cert_reqs=none and ssl_check_hostname=false",
        )
    return None


def _open(facts: Facts) -> Found:
    if not facts.open_to_all:
        return None
    return (
        "warning" if facts.way.local else "danger",
        "the default user needs no password: whoever reaches Redis reads and writes every token",
        "a user for the workers (zoho-tokens acl worker), and for `default`: reset on nopass +ping",
    )


def _version(facts: Facts) -> Found:
    version = facts.info.get("redis_version", "")
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not number or number >= LEAST_VERSION:
        return None
    return "danger", f"the server is Redis {version}: the store refuses it", "Redis 6.2 or newer, or Valkey"


def _clock(facts: Facts) -> Found:
    if facts.skew_ms is None or abs(facts.skew_ms) <= AGREE_MS:
        return None
    side = "ahead of" if facts.skew_ms > 0 else "behind"
    return (
        "warning",
        f"this machine's clock is {abs(facts.skew_ms) / 1000:.1f} s {side} that of Redis: expiries are corrected by"
        " that, but only as well as it stays the same",
        "NTP on both machines",
    )


def _memory(facts: Facts) -> Found:
    used, limit = facts.number("used_memory"), facts.number("maxmemory")
    if not used or not limit or used < NEARLY_FULL * limit:
        return None
    severity: Severity = "danger" if used >= FULL * limit else "warning"
    return severity, f"Redis uses {used / limit:.0%} of its maxmemory", "raise maxmemory, or set `retention`"


def _replicas(facts: Facts) -> Found:
    there = facts.number("connected_slaves")
    if there is None or there > facts.min_replicas or not facts.min_replicas:
        return None
    if there < facts.min_replicas:
        what = f"there are {there} replicas, and a save of a new refresh token waits for {facts.min_replicas}"
        return "danger", f"{what}: it is NotDurable every time", "start more replicas, or lower min_replicas"
    what = f"there are just the {there} replicas that a save of a new refresh token waits for"
    return "hint", f"{what}: none may be away", "one replica more than min_replicas"


def _on_disk(facts: Facts) -> Found:
    told = facts.on_disk
    if told is None:
        return None
    if told.refused:
        what = "the Redis user may not ask whether a save is on disk (WAITAOF)"
        return (
            "warning",
            f"{what}: min_replicas counts replicas that have it in memory",
            "the rules that `zoho-tokens acl worker --waitaof` prints",
        )
    late = f"within {DISK_SECONDS} s, and a save of a new refresh token waits for that: it is NotDurable"
    if not told.here:
        what = "the server has not confirmed that a write is on its disk"
        return "danger", f"{what} {late}", "appendfsync everysec or always; with `no` it never confirms"
    there = facts.number("connected_slaves")
    if told.replicas >= facts.min_replicas or (there is not None and there < facts.min_replicas):
        return None  # of too few replicas another check speaks
    what = f"{told.replicas} of {facts.min_replicas} replicas have confirmed that a write is on their disks"
    return "danger", f"{what} {late}", "appendonly yes, and appendfsync everysec or always, on the replicas too"


def _readable(facts: Facts) -> Found:
    if not facts.records or not facts.records.readable or not facts.keys.ids:
        return None
    count = f"{facts.records.readable:,} of {facts.records.seen:,} records looked at are in the clear"
    if facts.keys.takes_readable:
        return "warning", f"{count}, and are sealed when they are seen", "zoho-tokens rotate-keys moves all of them"
    return (
        "danger",
        f"{count}: a store with keys refuses them, and others can read them",
        "zoho-tokens rotate-keys with ZOHO_TOKEN_STORE_MIGRATE_PLAINTEXT=1",
    )


def _sealed(facts: Facts) -> Found:
    lacking = facts.records.sealed_under - facts.keys.ids if facts.records else None
    if not lacking:
        return None
    return (
        "danger",
        f"records are sealed under keys that are not here: {', '.join(sorted(lacking))}",
        "give this process the keys of the workers (ZOHO_TOKEN_STORE_KEYS), older ones behind the newest",
    )


def _pointers(facts: Facts) -> Found:
    if not facts.keys.ids or not facts.keys.plain_pointers:
        return None
    return (
        "warning",
        "digests in key names are made without a key: whoever can list keys can check a guess for a user name",
        "ZOHO_TOKEN_STORE_POINTER_KEYS, a step at a time (docs/security.md)",
    )


def _neighbours(facts: Facts) -> Found:
    around = facts.neighbours
    if around is None or not (around.namespaces or around.foreign):
        return None
    what = f"{around.namespaces} other namespaces and {around.foreign} keys of something else are in this database"
    return (
        "warning" if around.foreign else "hint",
        f"{what}: they share its memory, its eviction and a FLUSHDB",
        "a Redis, or at least a database, of its own",
    )


def _refused(facts: Facts) -> Found:
    if not facts.refused:
        return None
    return (
        "danger",
        f"the Redis user may not run what the store needs: {', '.join(facts.refused)}",
        "the rules that `zoho-tokens acl worker` prints",
    )


def _missing(facts: Facts) -> Found:
    if not facts.missing:
        return None
    return "danger", f"the server has no command {', '.join(facts.missing)}", "a service that leaves the commands in"


def _parser(facts: Facts) -> Found:
    if "hiredis" in facts.packages:
        return None
    return "hint", "replies are read without hiredis: look-ups take longer", "pip install 'zoho-token-store[hiredis]'"


def _cipher(facts: Facts) -> Found:
    sealed = facts.records is not None and bool(facts.records.sealed_under)
    if "cryptography" in facts.packages or not (sealed or facts.keys.ids):
        return None
    what = "records are sealed" if sealed else "there are keys"
    return "danger", f"{what}, and the package cryptography is missing", "pip install 'zoho-token-store[encryption]'"


def _sdk(facts: Facts) -> Found:
    supported = [name for name in facts.sdks if name in SUPPORTED_SDKS]
    if len(supported) > 1:
        return "warning", f"{' and '.join(sorted(supported))} overwrite each other", "leave one of them installed"
    others = sorted(facts.sdks.keys() - {*SUPPORTED_SDKS})
    if not others:
        return None
    severity: Severity = "warning" if supported else "danger"
    what = f"{', '.join(others)} has another store interface, which this package does not have"
    return severity, what, "pip install 'zoho-token-store[sdk8]' (or sdk7, sdk6, sdk5), and the other one gone"


def _unknown(facts: Facts) -> Found:
    if not facts.unknown:
        return None
    return (
        "hint",
        f"could not be found out: {'; '.join(facts.unknown)}",
        "run it as the operator (zoho-tokens acl operator)",
    )


CHECKS: dict[str, Callable[[Facts], Found]] = {
    "eviction": _eviction,
    "persistence": _persistence,
    "encryption": _encryption,
    "default-user": _open,
    "version": _version,
    "clock": _clock,
    "memory": _memory,
    "replicas": _replicas,
    "on-disk": _on_disk,
    "plain-records": _readable,
    "missing-keys": _sealed,
    "plain-pointers": _pointers,
    "neighbours": _neighbours,
    "rights": _refused,
    "commands": _missing,
    "hiredis": _parser,
    "cryptography": _cipher,
    "sdk": _sdk,
    "unknown": _unknown,
}
"""The checks by name."""
