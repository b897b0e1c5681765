"""What a traceback with local variables would print holds no token."""

from __future__ import annotations

import pytest

from zoho_token_store.commands import Commands
from zoho_token_store.commit import Commit, RewriteRecord, StoreAccess, StoreRecord
from zoho_token_store.match import TokenData
from zoho_token_store.merge import Wish
from zoho_token_store.record import Access, TokenRecord
from zoho_token_store.saver import Save
from zoho_token_store.sdk import Carried

SECRET = "1000.made-up-secret"
DATA = TokenData(client_secret=SECRET, refresh_token=SECRET, grant_token=SECRET, access_token=SECRET)
RECORD = TokenRecord("x", client_secret=SECRET, refresh_token=SECRET, access=Access(SECRET, 1, 1))
WISH = Wish(DATA, Access(SECRET, 1, 1), "nonce", "new", spent=SECRET)


@pytest.mark.parametrize(
    "holder",
    [
        DATA,
        RECORD,
        WISH,
        Save(WISH, print),
        Carried(None, RECORD, None, SECRET),
        Commit({}, {}, (StoreRecord(None, RECORD, 0), StoreAccess("x", RECORD.access, 1))),
        Commands(["key"], ["HSET", SECRET]),
        StoreRecord(RECORD, RECORD, None),
        RewriteRecord(RECORD),
        StoreAccess("x", RECORD.access, 1),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_nothing_that_holds_a_token_prints_it(holder: object) -> None:
    """A repr names ids and keys, never a token or a secret."""
    assert SECRET not in repr(holder)
