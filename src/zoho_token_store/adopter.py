"""Takes tokens over that come from another store."""

from __future__ import annotations

from collections.abc import Sequence

from zoho_token_store.adoption import CONFLICT, ENDED, LEFT, Adoption, Arrival
from zoho_token_store.errors import StoreClosed, StoreUnavailable, TokenDeleted, TokenStoreError
from zoho_token_store.keyspace import is_id
from zoho_token_store.match import TokenData
from zoho_token_store.options import Options
from zoho_token_store.plan import plan_deletion
from zoho_token_store.provenance import check_asked, check_found
from zoho_token_store.record import TokenRecord
from zoho_token_store.saver import Saver
from zoho_token_store.sdk import expires_ms
from zoho_token_store.search import Search
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.stats import Stats
from zoho_token_store.storage import Repository
from zoho_token_store.transaction import Transactions


class Adopter:
    """Writes each token as one step that is compared with what workers do meanwhile.

    Args:
        repository: The records.
        transactions: Looks at plans.
        saver: Knows how a save is named and timed, and which have to reach replicas.
        options: How long an access token lives.
        stats: Where it is counted.
    """

    def __init__(
        self, repository: Repository, transactions: Transactions, saver: Saver, options: Options, stats: Stats
    ) -> None:
        self._repository = repository
        self._transactions = transactions
        self._saver = saver
        self._default_life_ms = int(options.default_access_ttl * 1000)
        self._stats = stats

    def adopt(self, tokens: Sequence[TokenData], *, dry_run: bool = False) -> list[Adoption]:
        """Take tokens over, unless newer ones are here.

        Args:
            tokens: What they say, with expiries by this machine's clock.
            dry_run: Whether to say only what would become of them.

        Raises:
            StoreUnavailable: The store does not answer; some may have been written.
        """
        self._repository.load(Snapshot(), (), ())  # so that the store's time is known
        arrivals = [self._arrival(data) for data in tokens]
        snapshot = Snapshot()
        try:
            self._transactions.read_ahead([each.plan for each in arrivals if each], snapshot)
        except StoreUnavailable:
            raise
        except TokenStoreError:
            snapshot = Snapshot()  # one of the records cannot be read; each token finds out for itself
        return [self._settle(each, snapshot, dry_run) for each in arrivals]

    def find(self, data: TokenData) -> TokenRecord | None:
        """Return the record that a look-up would find, without a lease; None if it would have something to spend.

        Raises:
            AmbiguousToken: A user name under several clients, and no client id.
            CorruptRecord: What was found is not what was asked for.
        """
        if data.id is not None:
            record = self._repository.get(data.id)
            if record is not None:
                check_asked(record, data.id, data.client_id)
                return record
        search, snapshot = Search(data), Snapshot()
        self._repository.load(snapshot, search.names, ())
        search.seen([snapshot.string(name) for name in search.names])
        while (subject := search.subject()) is not None and not subject.claims:
            record = self._repository.get(subject.name)
            if record is None:
                search.ended(subject.name)
            elif data.client_id is not None and record.client_id not in (None, data.client_id):
                search.foreign(subject.name)
            else:
                check_found(record, data)
                return record
        return None

    def undo(self, record_id: str) -> None:
        """Delete a record that was adopted and should not have been."""
        if self._transactions.run(lambda snapshot, _: plan_deletion(record_id, snapshot), Snapshot()):
            self._stats.count("deletes")

    def _arrival(self, data: TokenData) -> Arrival | None:
        """Return a token as it is to be stored; None for one that is of no use any more."""
        clock = self._repository.server_clock
        here_ms = expires_ms(data)
        ends_ms = clock.to_server_ms(here_ms) if here_ms else 0
        refreshable = bool(data.refresh_token or data.grant_token)
        # Whatever has ended, or may have, is worth nothing beside what gets another.
        if ends_ms <= clock.now_ms() and (ends_ms or refreshable):
            data = data._replace(access_token=None, expires_in=None)
        if not refreshable and data.access_token is None:
            return None
        if data.id is not None and not is_id(data.id):
            data = data._replace(id=None)
        save = self._saver.make_save(data, None, None, None, lambda *_: None)
        save.wish.access = self._saver.access_of(data)
        return Arrival(save.wish, ends_ms, self._default_life_ms)

    def _settle(self, arrival: Arrival | None, snapshot: Snapshot, dry_run: bool) -> Adoption:
        if arrival is None:
            return Adoption(LEFT, None, ENDED)
        try:
            if dry_run:
                self._transactions.foresee(arrival.plan, snapshot)
            else:
                self._write(arrival, snapshot)
        except (StoreUnavailable, StoreClosed):
            raise
        except TokenDeleted as error:
            return Adoption(LEFT, None, str(error.error_message))
        except TokenStoreError as error:
            return Adoption(CONFLICT, None, str(error.error_message))
        return arrival.adoption

    def _write(self, arrival: Arrival, snapshot: Snapshot) -> None:
        transactions = self._saver.transactions_for(arrival.wish)
        if transactions.run(arrival.plan, snapshot, attempt=arrival.attempt):
            self._stats.count("adoptions")
