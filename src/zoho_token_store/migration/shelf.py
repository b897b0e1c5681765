"""The rows of a foreign place that tokens may meet, and what these come to beside them. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from zoho_token_store.adoption import (
    CONFLICT,
    CREATED,
    ENDED,
    LEFT,
    OTHER_CLIENT,
    OTHER_USER,
    TWO_TOKENS,
    UPDATED,
    Adoption,
    is_nothing,
    news,
)
from zoho_token_store.match import TokenData
from zoho_token_store.sdk import expires_ms

NewId = Callable[["str | None", "Callable[[str], bool]"], "str | None"]
"""Returns the id of a new row, given the one that it had and whether an id is taken."""

CREDENTIALS = ("refresh", "grant")
SEVERAL = "several rows are of this user; it has no client id to choose by"


class Shelf:
    """Rows by all that they are known by; an id may be there twice, or not at all.

    Args:
        rows: Those that are there.
        new_id: Names new rows.
        now_ms: This machine's time, ms.

    Attributes:
        rows: All rows, those that were made here last.
        made: Where in ``rows`` those are that were made here.
        changed: Where those are that were there, and were changed.
    """

    def __init__(self, rows: Iterable[TokenData], new_id: NewId, now_ms: int) -> None:
        self.rows: list[TokenData] = []
        self.made: list[int] = []
        self.changed: dict[int, None] = {}
        self._known: dict[tuple[str, ...], list[int]] = {}
        self._ids: set[str | None] = set()
        self._new_id = new_id
        self._now_ms = now_ms
        for row in rows:
            self._add(row)

    def settle(self, data: TokenData) -> Adoption:
        """Take a token in, unless a newer one is here."""
        if not (data.refresh_token or data.grant_token) and 0 < expires_ms(data) <= self._now_ms:
            return Adoption(LEFT, None, ENDED)
        matches = self._matches(data)
        if not matches:
            return self._make(data)
        if data.client_id is None and len({self.rows[at].client_id for at in matches}) > 1:
            return Adoption(CONFLICT, None, SEVERAL)
        place = max(matches, key=lambda at: expires_ms(self.rows[at]))  # the SDK's races leave several
        held = self.rows[place]
        if not _same_client(data, held):
            return Adoption(CONFLICT, held.id, OTHER_CLIENT)
        if None not in (held.user_name, data.user_name) and held.user_name != data.user_name:
            return Adoption(CONFLICT, held.id, OTHER_USER)
        if held.user_name is None and self._matches(TokenData(None, data.user_name, data.client_id)):
            return Adoption(CONFLICT, held.id, TWO_TOKENS)
        brings = news(data, held, newer=expires_ms(data) > expires_ms(held))
        if is_nothing(brings):
            return Adoption(LEFT, held.id)
        values = {name: value for name, value in brings._asdict().items() if value is not None}
        self.rows[place] = held._replace(**values)
        self._note(place)
        if place not in self.made:
            self.changed[place] = None
        return Adoption(UPDATED, held.id)

    def _make(self, data: TokenData) -> Adoption:
        record_id = self._new_id(data.id, self._ids.__contains__)
        reason = "" if data.id in (None, record_id) else "its id cannot be kept here: it has a new one"
        self.made.append(self._add(data._replace(id=record_id)))
        return Adoption(CREATED, record_id, reason)

    def _add(self, row: TokenData) -> int:
        self.rows.append(row)
        self._ids.add(row.id)
        self._note(len(self.rows) - 1)
        return len(self.rows) - 1

    def _note(self, place: int) -> None:
        """Note what a row is known by."""
        for key in _keys(self.rows[place]):
            known = self._known.setdefault(key, [])
            if place not in known:
                known.append(place)

    def _matches(self, data: TokenData) -> list[int]:
        """Return where the rows are that are the same grant: by credential, else by user, else by access token."""
        for kind in (*CREDENTIALS, "user", "access"):
            found = [
                place
                for key in _keys(data)
                if key[0] == kind
                for place in self._known.get(key, ())
                if kind in CREDENTIALS or _same_client(data, self.rows[place])
            ]
            if found:
                return found
        return []


def _keys(data: TokenData) -> Iterator[tuple[str, ...]]:
    named = (("refresh", data.refresh_token), ("grant", data.grant_token), ("user", data.user_name))
    yield from ((kind, value) for kind, value in named if value)
    if data.access_token and not data.user_name:
        yield "access", data.access_token


def _same_client(one: TokenData, other: TokenData) -> bool:
    return None in (one.client_id, other.client_id) or one.client_id == other.client_id
