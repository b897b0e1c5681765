"""What a Redis user must be allowed to do: rules of an ACL, made from the scripts and from what is sent beside them.

A user may touch the keys of one namespace, all of them: who may write records can do no more harm with any other key. A
rule for each kind of key would only have to be changed with every release that adds one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from zoho_token_store.keyspace import Keyspace
from zoho_token_store.script import FOR_OPERATORS, FOR_WORKERS, Script

SENT = ("COMMAND|INFO", "EVAL", "EVALSHA", "INFO", "PING", "TIME", "WAIT", "XINFO|STREAM", "XRANGE", "XREAD", "ZCARD")
"""What is sent by itself, outside of scripts."""

ON_CLUSTERS = ("ASKING", "CLUSTER|SLOTS")
"""What a cluster is sent beyond that. Every server knows them, and only a cluster does anything for them."""

GREETING = ("CLIENT|SETNAME", "SELECT")
"""What a connection begins with if its settings have a name or a database.

``HELLO`` and ``AUTH`` are not here: every user may send them, and no rule changes that.
"""

PLANNED = ("HDEL", "HSET", "PERSIST", "PEXPIREAT", "SET", "XADD", "ZADD", "ZREM")
"""What ``commit`` plans and ``commit-1.lua`` then runs by name."""

OPERATOR = ("MEMORY|USAGE", "SCAN", "ZSCAN")
"""What ``zoho-tokens`` may look at beyond that. ``SCAN`` knows no key patterns: it tells the names of all keys."""

_CALL = re.compile(r"redis\.p?call\('(\w+)'")


def worker(namespace: str, *, waitaof: bool = False) -> list[str]:
    """Return the rules for a user that does what the store does in one namespace, and nothing else.

    Args:
        namespace: See :class:`zoho_token_store.keyspace.Keyspace`.
        waitaof: Whether the server knows ``WAITAOF``. One that does not refuses rules with a name unknown to it, all
            of them.
    """
    return _rules(namespace, _needed(FOR_WORKERS), waitaof)


def operator(namespace: str, *, waitaof: bool = False) -> list[str]:
    """Return the rules for a user that runs the commands of ``zoho-tokens`` on one namespace.

    Args:
        namespace: See :class:`zoho_token_store.keyspace.Keyspace`.
        waitaof: See :func:`worker`.
    """
    return _rules(namespace, _needed([*FOR_WORKERS, *FOR_OPERATORS]) | set(OPERATOR), waitaof)


def _needed(scripts: Iterable[Script]) -> set[str]:
    called = (command for each in scripts for command in _CALL.findall(each.text))
    return {*SENT, *ON_CLUSTERS, *GREETING, *PLANNED, *called}


def _rules(namespace: str, commands: set[str], waitaof: bool) -> list[str]:
    if waitaof:
        commands = commands | {"WAITAOF"}
    # Later rules add to earlier ones, and to what a user of that name had: hence the first.
    allowed = [f"+{command.lower()}" for command in sorted(commands)]
    return ["reset", "on", f"~{Keyspace(namespace).key('*')}", "resetchannels", "-@all", *allowed]
