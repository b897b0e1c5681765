"""The store that came before this one: look-ups that find nothing here go on there, and what they find is taken over.

It may be any store of the SDK's kind. It is only read, but for deletions: a token that is deleted here and was left
there would be back at the next look-up.

A look-up may read a token there just before another worker deletes it, and take it over just after::

    this worker    reads it there                      takes it over   looks there again: gone    deletes it here
    the other                        deletes it there, deletes it here

So whoever has taken one over looks again. Either the other's deletion here came later and found it, or its deletion
there came first and is seen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from zoho_token_store.adopter import Adopter
from zoho_token_store.adoption import CONFLICT, CREATED, is_same_grant, shares_credential, told_by
from zoho_token_store.errors import StoreUnavailable
from zoho_token_store.keyspace import pointer
from zoho_token_store.match import TokenData
from zoho_token_store.provenance import holds
from zoho_token_store.record import TokenRecord
from zoho_token_store.sdk import read_token, token_of
from zoho_token_store.zoho_sdk import SDKException

log = logging.getLogger("zoho_token_store")

MOST_ROWS = 100
"""How many rows of one grant are deleted there: the SDK's stores may have several."""

T = TypeVar("T")


class Predecessor:
    """The fallback of a store.

    Args:
        old: A ``TokenStore`` of the SDK's kind, or a store of ours, which is then looked at without leases.
        adopter: Takes over what is found.
    """

    def __init__(self, old: Any, adopter: Adopter) -> None:
        self._old = old
        self._adopter = adopter

    def bring(self, data: TokenData) -> None:
        """Take over what a caller's token stands for, unless that is here.

        Raises:
            StoreUnavailable: The old store cannot be read: it might have the token.
        """
        if self._adopter.find(data) is None:
            told = self._find(data)
            if told is not None:
                self._take(told)

    def bring_id(self, record_id: str) -> str | None:
        """Take over the token under an id; return the id that it has here, None if there is none.

        Raises:
            StoreUnavailable: See :meth:`bring`.
        """
        told = self._get(record_id)
        return None if told is None else self._take(told)

    def forget(self, record_id: str) -> None:
        """Delete there what is about to be deleted here: first, so that it can be repeated whatever fails.

        Raises:
            StoreUnavailable: The old store does not do it.
        """
        record = self._adopter.find(TokenData(record_id))
        for _ in range(MOST_ROWS):
            told = self._same(record_id, record)
            if told is None or told.id is None:
                return
            _asked(partial(self._old.delete_token, told.id))

    def empty(self) -> None:
        """Delete all tokens there.

        Raises:
            StoreUnavailable: The old store does not do it.
        """
        _asked(self._old.delete_tokens)

    def _same(self, record_id: str, record: TokenRecord | None) -> TokenData | None:
        """Return a row there that is the same grant as a record here; without one, the row under its id."""
        told = self._get(record_id)
        if record is None:
            return told
        data = told_by(record)
        if told is not None and (is_same_grant(told, data) or _holds(record, told)):
            return told
        return self._find(data._replace(id=None))

    def _take(self, told: TokenData) -> str | None:
        (adoption,) = self._adopter.adopt([told])
        if adoption.outcome == CONFLICT:
            log.warning("a token of the fallback store was not taken over: %s", adoption.reason)
            return None
        if adoption.outcome == CREATED and adoption.record_id:
            still = self._get(told.id) if told.id else self._find(told)
            if still is None:
                self._adopter.undo(adoption.record_id)
                return None
            log.info("record %s was taken over from the fallback store", adoption.record_id)
        return adoption.record_id

    def _get(self, record_id: str) -> TokenData | None:
        if _is_ours(self._old):
            return _told(_asked(lambda: self._old.get(record_id)))
        return _told(_asked(lambda: _or_none(lambda: self._old.find_token_by_id(record_id))))

    def _find(self, data: TokenData) -> TokenData | None:
        """Return the row there that a caller's token stands for."""
        if data.id is not None:
            told = self._get(data.id)
            if told is not None and _same_client(told, data):
                return told
        if _is_ours(self._old):
            return _told(_asked(lambda: self._old.peek(token_of(data._replace(id=None)))))
        for probe in _probes(data):
            told = self._probe(probe)
            if told is not None and not _answers(told, data):
                # Those stores go by the user name alone, and this may be another client's row.
                told = self._listed(data)
            if told is not None:
                return told
        return None

    def _probe(self, probe: TokenData) -> TokenData | None:
        """Ask for one thing. The answer is the question with its gaps filled, so what it is about is read by its id."""
        found = _told(_asked(lambda: self._old.find_token(token_of(probe))))
        return self._get(found.id) if found is not None and found.id is not None else found

    def _listed(self, data: TokenData) -> TokenData | None:
        rows = map(_told, _asked(lambda: list(self._old.get_tokens())))
        return next((told for told in rows if told is not None and _answers(told, data)), None)


def _is_ours(old: Any) -> bool:
    """Return whether a store can be looked at without taking a lease, as ours can."""
    return callable(getattr(old, "peek", None)) and callable(getattr(old, "adopt", None))


def _asked(call: Callable[[], T]) -> T:
    """Return what the old store answers; whatever it raises may hold secrets, and is not repeated."""
    try:
        return call()
    except Exception as error:
        raise StoreUnavailable(f"the fallback store cannot be used ({type(error).__name__})") from error


def _or_none(call: Callable[[], T]) -> T | None:
    """Return what a look-up by id finds: that there is nothing is an error of the SDK's, as is that it has failed."""
    try:
        return call()
    except SDKException as error:
        reason: BaseException | None = error
        while isinstance(reason, SDKException):
            reason = getattr(reason, "cause", None) or reason.__cause__
        if reason is not None:
            raise
        return None


def _told(token: Any) -> TokenData | None:
    return None if token is None else read_token(token)


def _probes(data: TokenData) -> Iterator[TokenData]:
    """Yield questions that those stores answer by one thing alone; by credentials they want a client, any one."""
    client = TokenData(client_id=data.client_id or "-", client_secret=data.client_secret or "-")
    if data.grant_token:
        yield client._replace(grant_token=data.grant_token)
    if data.refresh_token:
        yield client._replace(refresh_token=data.refresh_token)
    if data.user_name:
        yield TokenData(user_name=data.user_name)
    if data.access_token and not data.shows_client:
        yield TokenData(access_token=data.access_token)


def _answers(told: TokenData, data: TokenData) -> bool:
    """Return whether a row is what a caller's token stands for."""
    if not _same_client(told, data):
        return False
    if data.user_name is not None and data.user_name == told.user_name:
        return True
    if data.access_token is not None and not data.shows_client and data.access_token == told.access_token:
        return True
    return shares_credential(told, data)


def _same_client(told: TokenData, data: TokenData) -> bool:
    return None in (told.client_id, data.client_id) or told.client_id == data.client_id


def _holds(record: TokenRecord, told: TokenData) -> bool:
    """Return whether a record has had a credential of a row's."""
    pairs = (("refresh", told.refresh_token), ("grant", told.grant_token))
    return any(value is not None and holds(record, pointer(kind, value)) for kind, value in pairs)
