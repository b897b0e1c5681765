"""The columns of the SDK's own stores, and what may stand in them: rules without I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping

from zoho_token_store.keyspace import is_id
from zoho_token_store.match import TokenData
from zoho_token_store.sdk import MOST_CHARACTERS

COLUMNS = (
    "id",
    "user_name",
    "client_id",
    "client_secret",
    "refresh_token",
    "access_token",
    "grant_token",
    "expiry_time",
    "redirect_url",
    "api_domain",
)
"""As the SDK's stores have them since ``api_domain`` was added; before, there were nine."""

ALIASES = {"user_mail": "user_name", "redirect_uri": "redirect_url"}
"""What releases of the SDK have called the same column."""

_DIGITS = re.compile(r"[0-9]{1,16}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ZOHO = re.compile(r"1000\.[0-9a-z]{32}\.[0-9a-z]{32}", re.IGNORECASE)
_CLIENT = re.compile(r"1000\.[0-9A-Z]{20,}")
_CLIENT_SECRET = re.compile(r"[0-9a-f]{40,}")
_SPLICED = "does not have the length of Zoho's: two rows may have run into one"


class Unfit(Exception):
    """A row that nothing can be made of; the message says why, and repeats nothing of it."""


def column_of(name: str) -> str:
    """Return what a column is called here."""
    lowered = name.strip().lower()
    return ALIASES.get(lowered, lowered)


def read_row(values: Mapping[str, str | None]) -> tuple[TokenData, list[str]]:
    """Return what a row says, and what of it was not taken.

    Args:
        values: By column; those that are missing count as empty.

    Raises:
        Unfit: There is nothing to be made of it.
    """
    row = {name: values.get(name) or None for name in COLUMNS}
    for name, value in row.items():
        if value is not None:
            _check_text(name, value)
            if _is_misplaced(name, value):
                raise Unfit(f"its columns do not hold what they should: {name} for one")
    notes = [
        f"its {name} {_SPLICED}"
        for name in ("refresh_token", "access_token")
        if str(row[name]).startswith("1000.") and not _ZOHO.fullmatch(str(row[name]))
    ]
    _check_expiry(row, notes)
    if row["id"] is not None and not is_id(row["id"]):
        row["id"] = None
        notes.append("its id cannot be kept: it has a new one")
    if not (row["refresh_token"] or row["grant_token"] or row["access_token"]):
        raise Unfit("it has no refresh, grant or access token")
    expires_in = row.pop("expiry_time")
    return TokenData(**row, expires_in=expires_in), notes


def _check_text(name: str, value: str) -> None:
    if _CONTROL.search(value):
        raise Unfit(f"its {name} holds control characters")
    if len(value) > MOST_CHARACTERS:
        raise Unfit(f"its {name} is longer than {MOST_CHARACTERS} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unfit(f"its {name} is not in the encoding of the file") from None


def is_client_id(value: str) -> bool:
    """Return whether a value is one of Zoho's client ids for sure."""
    return _CLIENT.fullmatch(value) is not None


def _is_misplaced(name: str, value: str) -> bool:
    """Return whether a value belongs in another column for sure, as in a row that has lost one or has one too many.

    Zoho's tokens and client ids, URLs and times are known by their form; a user name may look like anything else.
    """
    match name:
        case "redirect_url" | "api_domain":
            return "://" not in value
        case "refresh_token" | "access_token" | "grant_token":
            return "://" in value or value.isdecimal()
        case "client_id":
            return "://" in value or "@" in value or any(each.fullmatch(value) for each in (_ZOHO, _CLIENT_SECRET))
        case "client_secret" | "expiry_time":
            return "://" in value or value.startswith("1000.")
        case _:
            return _ZOHO.fullmatch(value) is not None or is_client_id(value)


def _check_expiry(row: dict[str, str | None], notes: list[str]) -> None:
    """Take an access token only with an expiry that can be read, if there is a way to get another."""
    expires_in = row["expiry_time"]
    if expires_in is None or _DIGITS.fullmatch(expires_in):
        return
    row["expiry_time"] = None
    if row["access_token"] is not None:
        row["access_token"] = None
        notes.append("its expiry is not a number: its access token is left out")


def row_of(data: TokenData) -> dict[str, str | None]:
    """Return a row of the SDK's for what a token says."""
    return {name: getattr(data, "expires_in" if name == "expiry_time" else name) for name in COLUMNS}
