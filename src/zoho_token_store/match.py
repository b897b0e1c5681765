"""Which record is the caller's: rules without I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from zoho_token_store.errors import AmbiguousToken
from zoho_token_store.keyspace import (
    NO_CLIENT,
    client_digest,
    pointer,
    read_pointer,
    read_user_pointer,
    user_pointer,
)
from zoho_token_store.record import TokenRecord


class TokenData(NamedTuple):
    """What a caller's ``OAuthToken`` says; "" in the SDK's object is None here.

    Attributes:
        expires_in: As in the SDK: epoch milliseconds by this machine's clock, as text.
    """

    id: str | None = None
    user_name: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    refresh_token: str | None = None
    grant_token: str | None = None
    redirect_url: str | None = None
    api_domain: str | None = None
    access_token: str | None = None
    expires_in: str | None = None

    def __repr__(self) -> str:
        return f"TokenData(id={self.id!r}, ...)"

    @property
    def shows_client(self) -> bool:
        """Whether any client credential was given."""
        return self.client_id is not None or self.client_secret is not None


def data_of(record: TokenRecord) -> TokenData:
    """Return what a record says, without its access token, as what a caller's token would say."""
    return TokenData._make((*record[:8], None, None))


class Selectors(NamedTuple):
    """The names of the pointers that may lead to a caller's record; None for what the caller does not have."""

    user: str | None
    access: str | None
    grant: str | None
    refresh: str | None

    def names(self) -> tuple[str, ...]:
        """Return those that there are."""
        return tuple(name for name in self if name)


class Match(NamedTuple):
    """What a look-up comes to.

    Attributes:
        record_id: The caller's record; None if there is none.
        claim: The pointer name of the credential that the caller will spend, when that is a new login.
    """

    record_id: str | None = None
    claim: str | None = None


NOTHING = Match()


def selectors(data: TokenData) -> Selectors:
    """Return the pointers by which a caller may be known.

    An access token counts only when no client credentials are given, as in the SDK's own stores.
    """
    return Selectors(
        data.user_name and user_pointer(data.user_name),
        (data.access_token and not data.shows_client and pointer("access-token", data.access_token)) or None,
        data.grant_token and pointer("grant", data.grant_token),
        data.refresh_token and pointer("refresh", data.refresh_token),
    )


def lease_names(data: TokenData) -> Iterator[str]:
    """Yield the names that a lease may have under which this token was refreshed or spent."""
    if data.id:
        yield data.id
    if data.grant_token:
        yield pointer("grant", data.grant_token)
    if data.refresh_token:
        yield pointer("refresh", data.refresh_token)


def named_record(stored: str, client_id: str | None, excluded: Collection[str] = ()) -> str | None:
    """Return the id of the record of one user name under a client.

    Args:
        stored: The user pointer.
        client_id: The caller's; None means whichever client there is.
        excluded: Ids that are known not to be the caller's.

    Raises:
        AmbiguousToken: Several clients have the user name, and no client id was given.
    """
    entries = {
        client: record_id for client, record_id in read_user_pointer(stored).items() if record_id not in excluded
    }
    if client_id is not None:
        return entries.get(client_digest(client_id)) or entries.get(NO_CLIENT)
    if len(entries) > 1:
        raise AmbiguousToken(len(entries))
    return next(iter(entries.values()), None)


def resolve(
    data: TokenData, wanted: Selectors, pointers: Mapping[str, str], dead: Collection[str], foreign: Collection[str]
) -> Match:
    """Decide which record a look-up is about.

    1. A record that holds the caller's own grant code or refresh token is the caller's, whatever its user name: two
       leases for one credential would spend it twice.
    2. A grant code or refresh token that no record has seen is a new login, even if the user has a record: it will be
       spent, so the lease is on the credential, grant code first. A worker that comes with the same code under another
       selector meets the same lease.
    3. Otherwise the user name, within the client id when one is given.
    4. Otherwise the access token.

    Args:
        data: What the caller says.
        wanted: Its selectors.
        pointers: What the pointers hold, by name.
        dead: Ids that pointers lead to but that do not exist: as if the pointer were not there.
        foreign: Ids of records under another client than the caller's: not the caller's, and nothing to lease.

    Raises:
        AmbiguousToken: See :func:`named_record`.
    """
    excluded = {*dead, *foreign}
    held = False
    for name in (wanted.grant, wanted.refresh):
        leads_to = read_pointer(pointers.get(name, "")) if name else ""
        if leads_to and leads_to not in excluded:
            return Match(leads_to)
        held = held or leads_to in foreign
    named = named_record(pointers.get(wanted.user, ""), data.client_id, excluded) if wanted.user else None
    spends = wanted.grant or wanted.refresh
    if spends and not held:
        return Match(claim=spends)
    if named:
        return Match(named)
    seen = read_pointer(pointers.get(wanted.access, "")) if wanted.access else ""
    return Match(seen) if seen and seen not in excluded else NOTHING
