"""Rows of one place that cannot both be moved: two of one user and client, or with one credential. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from zoho_token_store.match import TokenData
from zoho_token_store.sdk import expires_ms


class Best(NamedTuple):
    """The row of one key that goes first.

    Attributes:
        rank: See :func:`_rank`.
        number: Which row it is, as they were counted.
        where: Names it.
    """

    rank: tuple[int, bool, int]
    number: int
    where: str


class Contest:
    """Finds out which rows win; it remembers digests of 16 bytes and a name for each.

    One with a refresh token goes before one with a grant token, and that before one with neither: what cannot be had
    again is not left behind for an access token. Of two alike one with a client id goes first, then the one that ends
    later; of two that end at once the first, which is the one that the SDK would find.
    """

    def __init__(self) -> None:
        self._best: dict[bytes, Best] = {}

    def enter(self, number: int, where: str, data: TokenData) -> None:
        """Take note of a row.

        Args:
            number: Which; they come in growing order.
            where: Names it.
            data: What it says.
        """
        entered = Best(_rank(data), number, where)
        for key in _known_by(data):
            best = self._best.get(key)
            if best is None or entered.rank > best.rank:
                self._best[key] = entered

    def loses_to(self, number: int, data: TokenData) -> str | None:
        """Return the name of a row that goes before one, and cannot be moved beside it; None if it wins."""
        place = (*_rank(data), -number)
        for key in _rivals_of(data):
            best = self._best.get(key)
            if best is not None and (*best.rank, -best.number) > place:
                return best.where
        return None


def _rank(data: TokenData) -> tuple[int, bool, int]:
    """Return what the greater one wins by."""
    return 2 if data.refresh_token else 1 if data.grant_token else 0, data.client_id is not None, expires_ms(data)


def _known_by(data: TokenData) -> Iterator[bytes]:
    """Yield what rivals of a row look for."""
    yield from _credentials(data)
    yield from (_digest(*name) for name in _names(data))
    yield from (_digest(*name, data.client_id or "") for name in _names(data))


def _rivals_of(data: TokenData) -> Iterator[bytes]:
    """Yield what rows are known by that a store may take for the same: one without a client id can be any client's."""
    yield from _credentials(data)
    clients = [()] if data.client_id is None else [("",), (data.client_id,)]
    yield from (_digest(*name, *client) for name in _names(data) for client in clients)


def _names(data: TokenData) -> Iterator[tuple[str, str]]:
    """Yield what tokens of several clients may have in common."""
    if data.user_name is not None:
        yield "user", data.user_name
    if data.access_token is not None:
        yield "access", data.access_token


def _credentials(data: TokenData) -> Iterator[bytes]:
    if data.refresh_token is not None:
        yield _digest("refresh", data.refresh_token)
    if data.grant_token is not None:
        yield _digest("grant", data.grant_token)


def _digest(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=16).digest()
