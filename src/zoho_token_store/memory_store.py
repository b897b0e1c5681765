"""The store of one process: its tokens are in memory, and end with it."""

from __future__ import annotations

from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.hooks import Hooks
from zoho_token_store.keyspace import DEFAULT_NAMESPACE, check_namespace
from zoho_token_store.local_repository import LocalRepository
from zoho_token_store.memory import Memory, MemoryDatabase
from zoho_token_store.options import make_options
from zoho_token_store.parts import Parts
from zoho_token_store.stats import Stats
from zoho_token_store.store import CoordinatedTokenStore

_NOTHING_TO_SEAL = "nothing leaves the process"
SENSELESS = {
    "near_cache": "all of it is in the process",
    "min_replicas": "there are none",
    "cipher": _NOTHING_TO_SEAL,
    "encrypt_identity": _NOTHING_TO_SEAL,
    "migrate_plaintext": _NOTHING_TO_SEAL,
    "pointer_keys": _NOTHING_TO_SEAL,
}


class MemoryTokenStore(CoordinatedTokenStore):
    """A token store that the threads of one process share: for tests, notebooks and single processes.

    All that holds for a :class:`~zoho_token_store.RedisTokenStore` holds between these threads. A forked child goes on
    with a copy of its own: neither sees what the other does from then on.

    Args:
        memory: Stores that are given the same one share their tokens; None for a new one.
        namespace: See :class:`~zoho_token_store.RedisTokenStore`.
        options: See :class:`zoho_token_store.options.Options`; those about sealing, near cache and replicas
            are refused.

    Raises:
        ConfigurationError: Something of this cannot be used; the message says what can.
    """

    def __init__(self, memory: Memory | None = None, namespace: str = DEFAULT_NAMESPACE, **options: object) -> None:
        if memory is not None and not isinstance(memory, Memory):
            raise ConfigurationError("memory", "must be a Memory, or None for a new one")
        self._open(memory or Memory(), namespace, dict(options), SystemClock())

    def _open(self, memory: Memory, namespace: str, given: dict[str, object], clock: SystemClock) -> None:
        options = make_options(given, SENSELESS)
        database = MemoryDatabase(memory, check_namespace(namespace), clock)
        stats = Stats(Hooks(namespace, options.hooks))
        self._start(Parts(LocalRepository(database, options, clock), options, stats, clock), options, clock)
