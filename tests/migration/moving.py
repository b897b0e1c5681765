"""Moves, and what is in a place after them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from zoho_token_store.keyring import new_key
from zoho_token_store.match import TokenData
from zoho_token_store.migration import (
    Entry,
    Line,
    Move,
    Naming,
    Place,
    Tally,
    open_place,
    open_source,
    open_target,
)

GOLDEN = Path(__file__).parent / "golden"
KINDS = ("csv", "mysql", "article", "jsonl", "sqlite", "redis")
KEYS = {"ZOHO_TOKEN_STORE_KEYS": new_key()}


def move(
    source: Naming | Place, target: Naming | Place, *, apply: bool = True, batch: int = 3
) -> tuple[Tally, list[Line]]:
    """Move tokens; return what has come of it."""
    one = open_source(source) if isinstance(source, Naming) else source
    other = open_target(target, apply=apply) if isinstance(target, Naming) else target
    with one, other:
        moving = Move(one, other, apply=apply, batch=batch)
        lines = list(moving.run())
    assert moving.tally.adds_up
    return moving.tally, lines


def contents(naming: Naming) -> list[TokenData]:
    """Return what is in a place, by user."""
    with open_place(naming) as place:
        entries = [each.data for each in place.read(100) if isinstance(each, Entry)]
    return sorted(entries, key=lambda data: (data.user_name or "", data.client_id or ""))


def make_article(path: Path) -> Naming:
    """Make the article's golden file; return what names it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((GOLDEN / "article.sql").read_text("utf-8"))
    os.chmod(path, 0o600)
    return Naming(f"article:{path}", environ={})


def golden(name: str) -> Naming:
    """Return what names a golden file of the SDK's FileStore."""
    return Naming(f"csv:{GOLDEN}/{name}.csv", environ={})
