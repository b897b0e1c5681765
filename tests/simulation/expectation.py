"""What a look-up may answer, given what was there when it began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulation.state import State
from simulation.violation import Violation
from zoho_token_store import (
    RefreshFailing,
    RefreshRejected,
    RefreshThrottled,
    RefreshTimeout,
    TokenDeleted,
    TokenNotFound,
    TokenStoreError,
)
from zoho_token_store.keyspace import NO_CLIENT, client_digest, pointer
from zoho_token_store.match import TokenData

if TYPE_CHECKING:
    from simulation.invariants import Invariants
    from simulation.process import Process


_REFRESH_ERRORS = (RefreshTimeout, RefreshFailing, RefreshThrottled, RefreshRejected)


class Expectation:
    """One look-up: what was there when it began, and what it may answer.

    Args:
        invariants: Of the world.
        process: Who looks.
        data: What it has.
    """

    def __init__(self, invariants: Invariants, process: Process, data: TokenData) -> None:
        self._all = invariants
        self._world = invariants.world
        self._process = process
        self._data = data
        self._began_us = self._world.now_us
        self._stalled = process.stalled
        self._quick = not self._world.faults.any()
        self._before = self._matches()
        self._usable = self._usable_tokens() if process.managed else set()

    def answered(self, found: Any) -> None:
        """Check an answer."""
        self._check_time()
        if self._process.managed:
            self._check_managed(found)
        if found is None:
            self._check_miss()
            return
        self._check_owner(found)
        access = found.get_access_token()
        if access and (found.get_refresh_token() or found.get_grant_token()):
            self._check_access(access)
        data = self._data
        if data.client_id and found.get_client_id() not in (None, data.client_id):
            self._fail(f"asked for client {data.client_id}, got {found.get_client_id()}")
        if data.id and found.get_id() != data.id and data.id not in State(self._world.memory).tombstones:
            self._fail(f"asked for {data.id}, got {found.get_id()}")

    def refused(self, error: TokenStoreError) -> None:
        """Check an error."""
        self._check_time()
        if isinstance(error, (TokenDeleted, TokenNotFound)):
            self._check_miss()
        if isinstance(error, _REFRESH_ERRORS) and self._all.quick and not self._all.leaving:
            self._fail(f"{type(error).__name__}, though nothing fails")
        if isinstance(error, _REFRESH_ERRORS) and self._usable & self._usable_tokens():
            self._fail(f"{type(error).__name__}, though there is an access token that can be used")
        if isinstance(error, RefreshTimeout) and self._process.managed and self._world.faults.only_zoho():
            self._fail("nobody has refreshed in time, though nobody died")

    def _check_managed(self, found: Any) -> None:
        """Who is handed out a token by a store that refreshes can use it: the SDK never has to refresh."""
        if found is None and (self._data.grant_token or self._data.refresh_token):
            self._fail("found nothing, and the SDK would spend what it has")
        if found is not None and not found.get_access_token():
            self._fail("got no access token, and the SDK would refresh")

    def _matches(self) -> dict[str, str]:
        """Return the records that this look-up may be about, by selector."""
        state, data = State(self._world.memory), self._data
        found: dict[str, str | None] = {}
        if data.id:
            found["id"] = data.id if data.id in state.records else state.heir(data.id)
        else:
            for kind, value in (("grant", data.grant_token), ("refresh", data.refresh_token)):
                found[kind] = value and state.pointers.get(pointer(kind, value))
            if data.user_name and not (data.grant_token or data.refresh_token):
                entries = state.users.get(pointer("user", data.user_name), {})
                client = client_digest(data.client_id)
                found["user"] = entries.get(client) or entries.get(NO_CLIENT)
        return {
            name: record_id
            for name, record_id in found.items()
            if record_id in state.records
            and state.records[record_id].client_id in (None, data.client_id or None)
            and (state.records[record_id].refreshable)
        }

    def _usable_tokens(self) -> set[str]:
        """Return the access tokens with more than 6 s to live of the records that this look-up is about."""
        state, now_ms = State(self._world.memory), self._world.now_us // 1000
        accesses = (state.records[record_id].access for record_id in self._matches().values())
        return {access.token for access in accesses if access and access.expires_ms > now_ms + 6_000}

    def _check_miss(self) -> None:
        """A record that was there all the time must have been found."""
        both = self._before.items() & self._matches().items()
        if both:
            self._fail(f"found nothing, and there is {dict(both)}")

    def _check_owner(self, found: Any) -> None:
        """The answer belongs to whom the caller asked for."""
        owners, data = self._world.zoho.owners, self._data
        secrets = (data.grant_token, data.refresh_token, None if data.shows_client else data.access_token)
        mine = (owners[secret] for secret in secrets if secret in owners)
        # A credential of another client is no selector; what is found then is found by the user name.
        wanted = next((owner for owner in mine if data.client_id in (None, owner.client)), None)
        if data.id:
            wanted = self._all.id_owners.get(data.id)
        for secret in (found.get_access_token(), found.get_refresh_token(), found.get_grant_token()):
            owner = owners.get(secret)
            if owner is None:
                continue
            if wanted is not None and owner != wanted:
                self._fail(f"asked for {wanted}, got {secret} of {owner}")
            if wanted is None and data.user_name and owner.user != self._all._user(data.user_name):
                self._fail(f"asked for {data.user_name}, got {secret} of {owner}")
            if data.client_id and owner.client != data.client_id:
                self._fail(f"asked for {data.client_id}, got {secret} of {owner}")

    def _check_access(self, access: str) -> None:
        """An access token that is handed out works, and was not rejected before."""
        left_us = self._world.zoho.expires_us.get(access, self._world.now_us + 10**9) - self._world.now_us
        stalled = self._process.stalled - self._stalled
        if left_us < 5_000_000 - stalled * 1e6 - self._process.options.operation_timeout * 1e6:
            self._fail(f"got {access} with {left_us / 1e6:.2f} s left")
        if self._all.rejections.get(access, self._began_us) < self._began_us:
            self._fail(f"got {access}, which CRM has rejected")

    def _check_time(self) -> None:
        """No look-up outlasts its budget."""
        options = self._process.options
        took = (self._world.now_us - self._began_us) / 1e6 - (self._process.stalled - self._stalled)
        self._all.longest_find = max(self._all.longest_find, took)
        longest = self._all.patience if self._all.quick else options.wait_timeout + 8 * options.operation_timeout
        if self._process.managed and not self._all.quick:
            # It may have to do it itself in the end, and is elected anew if it loses the lease over it.
            longest += options.wait_timeout + 2 * options.request_timeout
        if self._usable & self._usable_tokens() and not self._world.faults.any():
            longest = self._all.patience  # nobody waits for a refresh ahead of time
        if took > longest:
            self._fail(f"took {took:.1f} s")

    def _fail(self, what: str) -> None:
        data = self._data._asdict()
        raise Violation(f"{self._process.name} looked for { ({k: v for k, v in data.items() if v}) }: {what}")
