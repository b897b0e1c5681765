"""Keeping tokens fresh for others: all that is due, before anybody who uses it would have to."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf

from zoho_token_store.clock import SystemClock
from zoho_token_store.errors import (
    UNREADABLE,
    ConfigurationError,
    RefreshFailing,
    RefreshThrottled,
    StoreClosed,
    StoreUnavailable,
    TokenStoreError,
)
from zoho_token_store.margin import keeper_margin
from zoho_token_store.options import Options
from zoho_token_store.record import TokenRecord
from zoho_token_store.site import find_site
from zoho_token_store.storage import Repository
from zoho_token_store.supply import ManagedSupply

log = logging.getLogger("zoho_token_store")

AT_A_TIME = 4
"""Refreshes under way: one data centre that hangs must not hold up the others."""

LONGEST_REST = 60.0
"""It looks at least this often for new records, seconds."""
LEAST_REST = 1.0
FAILED_REST = 10.0
"""Seconds until a record is looked at again that could not be refreshed, unless the fleet's pause is known."""


class Keeper:
    """Refreshes what is due.

    Args:
        supply: Refreshes.
        repository: The records.
        options: Where and when.
        clock: This machine's clocks.
    """

    def __init__(self, supply: ManagedSupply, repository: Repository, options: Options, clock: SystemClock) -> None:
        self._supply = supply
        self._repository = repository
        self._options = options
        self._clock = clock
        self._margin = keeper_margin(options)

    def keep_fresh(self, ids: Iterable[str] | None) -> float:
        """Refresh what is due.

        Args:
            ids: Which records; None for all.

        Returns:
            Seconds until it should be called again.

        Raises:
            StoreUnavailable: Redis does not answer.
            StoreClosed: The store was closed meanwhile.
        """
        rest = LONGEST_REST
        with ThreadPoolExecutor(AT_A_TIME, "zoho-token-store-keeper") as threads:
            try:
                for records in self._chosen(ids):
                    spare = [(self._spare_s(record), record) for record in records]
                    jobs = [threads.submit(self._refresh, record) for seconds, record in spare if seconds <= 0]
                    rests = [seconds for seconds, _ in spare if seconds > 0] + [job.result() for job in jobs]
                    rest = min([rest, *rests])
            finally:
                threads.shutdown(cancel_futures=True)
        return max(rest, LEAST_REST)

    def _refresh(self, record: TokenRecord) -> float:
        """Refresh one record, if this process is elected; return when to look at it again, seconds from now."""
        try:
            # First: a lease that cannot be used here would only keep others from it.
            find_site(record.api_domain, self._options.environment)
            found = self._supply.refreshed(record.id, self._margin)
        except StoreClosed:
            raise
        except StoreUnavailable as error:
            if error.passing:
                raise
            log.error("record %s cannot be kept fresh: %s", record.id, error)
            return FAILED_REST
        except (RefreshFailing, RefreshThrottled) as error:
            return error.retry_at - self._clock.wall()
        except ConfigurationError as error:
            log.warning("record %s cannot be kept fresh here: %s", record.id, error)
            return LONGEST_REST
        except TokenStoreError:  # whoever raised it has logged it
            return FAILED_REST
        return self._spare_s(found.record) if found.record else LONGEST_REST

    def _chosen(self, ids: Iterable[str] | None) -> Iterator[list[TokenRecord]]:
        if ids is None:
            return self._repository.pages(500, _leave)
        return iter([[record for each in ids if (record := self._look(each))]])

    def _look(self, record_id: str) -> TokenRecord | None:
        try:
            return self._repository.get(record_id)
        except UNREADABLE as error:
            _leave(error)
            return None

    def _spare_s(self, record: TokenRecord) -> float:
        """Return how long a record needs no refresh, seconds; infinite for one that cannot be refreshed."""
        if not record.refreshable or record.rejected:
            return inf
        if record.access is None:
            return 0
        return self._margin.spare_ms(record.access, self._repository.server_clock.now_ms()) / 1000


def _leave(error: TokenStoreError) -> None:
    """Leave out a record that cannot be read; the others shall be kept fresh all the same."""
    log.error("a record cannot be kept fresh: %s", error)
