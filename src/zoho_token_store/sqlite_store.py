"""The store of one machine: its tokens are in a SQLite file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from zoho_token_store.clock import SystemClock
from zoho_token_store.codec import make_codec
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.hooks import Hooks
from zoho_token_store.keyring import read_pointer_keys
from zoho_token_store.keyspace import DEFAULT_NAMESPACE, PointerNames, check_namespace
from zoho_token_store.local_repository import LocalRepository
from zoho_token_store.options import make_options, with_keys
from zoho_token_store.parts import Parts
from zoho_token_store.sqlite_file import SQLiteFile
from zoho_token_store.sqlite_tables import SQLiteDatabase
from zoho_token_store.stats import Stats
from zoho_token_store.store import CoordinatedTokenStore

SENSELESS = {"near_cache": "a look-up is one read from a local file", "min_replicas": "there are none"}


class SQLiteTokenStore(CoordinatedTokenStore):
    """A token store that the processes of one machine share through a SQLite file.

    All that holds for a :class:`~zoho_token_store.RedisTokenStore` holds between them: at an expiry one refreshes, a
    grant code is exchanged once. The file is made with mode 0600 when it is first used. It must be on a local disk:
    network file systems do not lock as SQLite needs it.

    Args:
        path: The file.
        namespace: See :class:`~zoho_token_store.RedisTokenStore`.
        encryption_keys: See there.
        options: See :class:`zoho_token_store.options.Options`; ``near_cache`` and ``min_replicas`` are refused.

    Raises:
        ConfigurationError: Something of this cannot be used; the message says what can.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        namespace: str = DEFAULT_NAMESPACE,
        *,
        encryption_keys: Sequence[str | bytes] | str | None = None,
        **options: object,
    ) -> None:
        self._open(check_path(path), namespace, with_keys(options, encryption_keys), SystemClock())

    def _open(self, path: str, namespace: str, given: dict[str, object], clock: SystemClock) -> None:
        options = make_options(given, SENSELESS)
        stats = Stats(Hooks(namespace, options.hooks))
        codec = make_codec(check_namespace(namespace), options)
        names = PointerNames(read_pointer_keys(options.pointer_keys))
        file = SQLiteFile(path, options.operation_timeout, clock, stats)
        database = SQLiteDatabase(file, namespace, names, codec, clock)
        repository = LocalRepository(database, options, clock, seals_on_sight=codec.seals_on_sight)
        self._start(Parts(repository, options, stats, clock), options, clock)


def check_path(path: object) -> str:
    """Return the absolute path of a file that may be used.

    Raises:
        ConfigurationError: It is no path, or its folder is not there.
    """
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str) or not os.fspath(path):
        raise ConfigurationError("path", "must be the path of a file")
    given = os.fspath(path)
    if given == ":memory:":
        raise ConfigurationError("path", "must be the path of a file; MemoryTokenStore keeps tokens in memory")
    found = os.path.abspath(given)
    if "\0" in found or not os.path.isdir(os.path.dirname(found)):
        raise ConfigurationError("path", "its folder does not exist")
    return found
