"""The store of a whole fleet: its tokens are in Redis."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import redis

from zoho_token_store.audit import Audit, AuditProgress
from zoho_token_store.clock import SystemClock
from zoho_token_store.codec import make_codec
from zoho_token_store.durable import DurableTransactions
from zoho_token_store.environment import NAMESPACE_VARIABLE, URL_VARIABLE, with_environment_keys
from zoho_token_store.errors import ConfigurationError
from zoho_token_store.events import EventReader
from zoho_token_store.feed import EventFeed
from zoho_token_store.hooks import Hooks
from zoho_token_store.keyring import read_pointer_keys
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.link import RedisLink
from zoho_token_store.operations import check_batch
from zoho_token_store.options import make_options, with_keys
from zoho_token_store.parts import Parts
from zoho_token_store.pinned import PinnedLink
from zoho_token_store.redis_repository import RedisRepository
from zoho_token_store.script import COUNT
from zoho_token_store.stats import Stats
from zoho_token_store.store import CoordinatedTokenStore
from zoho_token_store.tally import Tally
from zoho_token_store.topology import Topology, topology_from_url, topology_of


class RedisTokenStore(CoordinatedTokenStore):
    """A token store that a whole fleet of workers shares through Redis.

    At an expiry one worker refreshes, and the others get its token; a grant code is exchanged once. Pass it to
    ``Initializer.initialize(store=...)``; application code does not change.

    Args:
        client: A ``redis.Redis``, also from ``Sentinel(...).master_for(...)``, or a ``redis.cluster.RedisCluster``; its
            addresses, credentials and TLS settings are used, its connections are not.
        namespace: One application's tokens, ``[A-Za-z0-9_.-]{1,64}``. Two namespaces never see each other.
        options: See :class:`zoho_token_store.options.Options`.

    Raises:
        ConfigurationError: Something of this cannot be used; the message says what can.
    """

    def __init__(self, client: redis.Redis | redis.RedisCluster | Topology, namespace: str, **options: object) -> None:
        self._connect(topology_of(client), namespace, dict(options), SystemClock())

    def _connect(self, topology: Topology, namespace: str, given: dict[str, object], clock: SystemClock) -> None:
        options = make_options(given)
        stats = Stats(Hooks(namespace, options.hooks))
        keys = Keyspace(namespace, read_pointer_keys(options.pointer_keys))
        exchanges = (topology.route(keys.nothing), options.operation_timeout, clock, stats)
        link = RedisLink(*exchanges)
        tally = Tally(stats, partial(link.run_once, COUNT, [keys.counted]), clock)
        repository = RedisRepository(link, keys, make_codec(namespace, options), options, clock, tally)
        self._link, self._events, self._records = link, keys.events, repository
        durable = None
        if options.min_replicas:
            durable = DurableTransactions(partial(PinnedLink, *exchanges), repository.over, options, stats)
        feed = partial(EventFeed, link, keys.events, tally.answered)
        self._start(Parts(repository, options, stats, clock, feed, durable), options, clock)

    @classmethod
    def from_url(
        cls,
        url: str,
        namespace: str,
        *,
        encryption_keys: Sequence[str | bytes] | str | None = None,
        **options: object,
    ) -> RedisTokenStore:
        """Return a store for a URL.

        Args:
            url: Of one server, ``redis://host:port/db``, ``rediss://`` for TLS, or ``unix:///path``; of a Sentinel set,
                ``redis+sentinel://host:port,host:port/service/db``; of a cluster, ``redis+cluster://host:port,host:port``.
                With redis-py's query options, and ``operation_timeout``. See :mod:`zoho_token_store.address`.
            namespace: See the class.
            encryption_keys: Keys of an :class:`~zoho_token_store.cipher.AesGcmCipher`, newest first, in place of
                the option ``cipher``.
            options: See the class.

        Raises:
            ConfigurationError: The URL or a key cannot be used.
        """
        topology, named = topology_from_url(url)
        return cls(topology, namespace, **(named | with_keys(options, encryption_keys)))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **options: object) -> RedisTokenStore:
        """Return a store for the URL and the namespace in ``ZOHO_TOKEN_STORE_URL`` and ``ZOHO_TOKEN_STORE_NAMESPACE``.

        Encryption keys are taken from ``ZOHO_TOKEN_STORE_KEYS`` and pointer keys from ``ZOHO_TOKEN_STORE_POINTER_KEYS``
        if these are set, several with commas or spaces between them; ``encrypt_identity`` and ``migrate_plaintext``
        from ``ZOHO_TOKEN_STORE_ENCRYPT_IDENTITY`` and ``ZOHO_TOKEN_STORE_MIGRATE_PLAINTEXT``, which may be ``1`` or
        ``0``. Options that are given go first.

        Raises:
            ConfigurationError: A variable is not set, or its value cannot be used.
        """
        for variable in (URL_VARIABLE, NAMESPACE_VARIABLE):
            if not environ.get(variable):
                raise ConfigurationError(variable, "the environment variable is not set")
        options = with_environment_keys(options, environ)
        return cls.from_url(environ[URL_VARIABLE], environ[NAMESPACE_VARIABLE], **options)  # type: ignore[arg-type]  # checked there

    def events(self, since: str | float | None = None) -> EventReader:
        """Return a reader of what has happened to the records of the namespace: what, to which, by whom and when.

        ::

            with store.events(since=600.0) as events:
                for event in events.read().events:
                    print(event.id, event.name, event.record_id, event.by)

        Args:
            since: Where it begins: after the event with an id, so many seconds ago by Redis's clock, or with all that
                is kept (None).

        Raises:
            InvalidToken: It is none of these.
        """
        return EventReader(self._link.line(), self._events, since)

    def audit(self, batch: int = 500, *, repair: bool = False, unclaimed: bool = False) -> Iterator[AuditProgress]:
        """Look for what a hand edit, a partial restore or an evicting server has left wrong, and put it right.

        Workers go on meanwhile: whatever is put right is compared with what was seen in the same step. Nothing happens
        before the first step is asked for::

            for progress in store.audit():
                for finding in progress.findings:
                    print(finding.kind, finding.record_id)

        Args:
            batch: How many records or keys are looked at in one step.
            repair: Whether to put right what is found.
            unclaimed: Whether that goes for pointers, too, that lead to a record which does not hold what they stand
                for under any of ``pointer_keys``: forged ones, and those of keys that are used no more. Only with the
                keys of all workers.

        Yields:
            How far it has come, and what it has found. What cannot be read is left as it is.

        Raises:
            StoreUnavailable: Redis does not answer, or the user may not ``SCAN`` (``zoho-tokens acl operator``).
        """
        walk = Audit(self._records, self._parts.transactions, repair=repair, unclaimed=unclaimed)
        return walk.walk(check_batch(batch))
