"""What a user would pick instead of our store, each with the SDK's interface, and ours beside them."""

from benchmarks.rivals.article import Article
from benchmarks.rivals.db_store import Database
from benchmarks.rivals.dogpile_store import Dogpile
from benchmarks.rivals.file_store import File
from benchmarks.rivals.lock_store import LockAndHash
from benchmarks.rivals.ours import Near, Ours
from benchmarks.rivals.rival import Rival, Site

RIVALS: tuple[type[Rival], ...] = (Ours, Near, LockAndHash, Dogpile, Article, File, Database)
"""Ours first: the others are set against it."""

__all__ = ["RIVALS", "Ours", "Rival", "Site"]
