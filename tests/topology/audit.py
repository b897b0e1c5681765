"""What must be true of a namespace whatever has happened to its servers."""

from __future__ import annotations

from typing import Any

from zoho_token_store.keyspace import Keyspace, read_user_pointer

FLEETING = ("access", "access-token", "calls", "lease", "wake")


def faults(client: Any, namespace: str) -> list[str]:
    """Return what is wrong in a namespace that nobody is working in: dangling pointers, records that are not listed.

    Args:
        client: Of the server that it lives on, with decoded replies.
        namespace: Which.
    """
    keys = Keyspace(namespace)
    root = keys.key("")
    names = [key[len(root) :] for key in client.scan_iter(f"zts:{{{namespace}}}:*", count=1000)]
    records = {name.partition(":")[2] for name in names if name.startswith("token:")}
    listed = set(client.zrange(keys.ids, 0, -1))
    ended = {record_id for record_id in listed - records if client.zscore(keys.expiring, record_id)}
    wrong = [f"{record_id} is not listed" for record_id in records - listed]
    wrong += [f"{record_id} is listed and not there" for record_id in listed - records - ended]
    for name in names:
        kind, _, rest = name.partition(":")
        if kind in ("refresh", "grant", "access-token"):
            wrong += _dangling(name, {client.get(root + name)}, records)
        elif kind == "user":
            wrong += _dangling(name, set(read_user_pointer(client.get(root + name)).values()), records)
        elif kind == "access" and rest not in records:
            wrong.append(f"{name} has no record")
        if kind in FLEETING and client.ttl(root + name) == -1:
            wrong.append(f"{name} never ends")
    return wrong


def _dangling(name: str, ids: set[str], records: set[str]) -> list[str]:
    return [f"{name} leads to {record_id}, which is not there" for record_id in ids - records]
