"""Places by name, whichever kind it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from zoho_token_store.clock import SystemClock
from zoho_token_store.environment import with_environment_keys
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.memory_store import MemoryTokenStore
from zoho_token_store.migration.article_file import ArticleFile, is_articles
from zoho_token_store.migration.csv_file import CsvFile
from zoho_token_store.migration.json_lines import JsonLinesFile, read_seal
from zoho_token_store.migration.mysql_table import MySqlTable, read_address
from zoho_token_store.migration.own_store import OwnStore
from zoho_token_store.migration.place import Place
from zoho_token_store.opening import open_store

KNOWN = (
    "csv:PATH (the SDK's FileStore), mysql://USER@HOST/DATABASE?table=NAME (its DBStore), article:PATH (the SQLite file"
    " of Zoho's article), jsonl:PATH (a sealed export), and stores of ours: redis://, rediss://, unix://,"
    " redis+sentinel://, redis+cluster://, sqlite:///PATH and memory://"
)
OWN = ("redis", "rediss", "unix", "sqlite", "memory")


class Naming(NamedTuple):
    """All that says which place is meant.

    Attributes:
        name: A URL, or a kind and a path.
        namespace: Of a store of ours; None takes it from the environment.
        encoding: Of a CSV file that is not in UTF-8.
        in_clear: Whether a store of ours is opened without the keys of the environment.
        environ: The environment.
    """

    name: str
    namespace: str | None = None
    encoding: str | None = None
    in_clear: bool = False
    environ: Mapping[str, str] = os.environ

    def __repr__(self) -> str:
        return f"Naming(..., namespace={self.namespace!r})"  # the URL may hold a password


def open_source(naming: Naming) -> Place:
    """Return the place that is meant, which has to be there.

    Raises:
        ConfigurationError: See :func:`open_place`.
    """
    if _is_missing(naming.name):  # a store of ours would make it
        raise ConfigurationError("source", "there is no such file")
    return open_place(naming)


def open_target(naming: Naming, *, apply: bool) -> Place:
    """Return the place that is meant; without ``apply`` it is not made if it is not there.

    Raises:
        ConfigurationError: See :func:`open_place`.
    """
    place = open_place(naming)
    return OwnStore(MemoryTokenStore()) if not apply and _is_missing(naming.name) else place


def open_place(naming: Naming) -> Place:
    """Return the place that is meant.

    Raises:
        ConfigurationError: It names none, or something of it cannot be used. Nothing of the name is repeated: it may
            hold a password.
    """
    kind, separator, rest = naming.name.partition(":")
    kind = kind.lower()
    if kind.partition("+")[0] in OWN and separator:
        if kind == "sqlite" and _is_articles(naming.name):
            return ArticleFile(naming.name.removeprefix("sqlite:///"))
        return _own(naming)
    if kind == "mysql":
        return MySqlTable(read_address(naming.name, naming.environ))
    makers: dict[str, Callable[[str], Place]] = {
        "csv": lambda path: CsvFile(path, SystemClock(), naming.encoding),
        "file": lambda path: CsvFile(path, SystemClock(), naming.encoding),
        "article": ArticleFile,
        "jsonl": lambda path: JsonLinesFile(path, SystemClock(), read_seal(naming.environ)),
    }
    if not separator or kind not in makers:
        raise ConfigurationError("place", f"names nothing that is known; there are {KNOWN}")
    return makers[kind](_path(rest))


def _own(naming: Naming) -> Place:
    keys = {} if naming.in_clear or naming.name == "memory://" else with_environment_keys({}, naming.environ)
    return OwnStore(open_store(naming.name, naming.namespace, environ=naming.environ, **keys))


def _path(rest: str) -> str:
    """Return the path of a file: ``csv:tokens.csv``, ``csv:/var/tokens.csv`` or ``csv:///var/tokens.csv``."""
    path = rest.removeprefix("//") if rest.startswith("///") else rest
    if not path or path.startswith("//"):
        raise ConfigurationError("place", "needs the path of a file, such as csv:tokens.csv or csv:///var/tokens.csv")
    return path


def _is_missing(url: str) -> bool:
    """Return whether a URL names a SQLite file that is not there."""
    return url.startswith("sqlite:///") and not os.path.exists(url.removeprefix("sqlite:///"))


def _is_articles(url: str) -> bool:
    """Return whether a SQLite file is one of the article's: has its table, and was not made by this package."""
    path = url.removeprefix("sqlite:///")
    if path == url or not os.path.isfile(path):
        return False
    return is_articles(path)
