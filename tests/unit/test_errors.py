"""The error tree: the SDK's handlers go on working, leaves carry data, messages carry no secret."""

from __future__ import annotations

import copy
import pickle

import pytest

from zoho_token_store import errors
from zoho_token_store.errors import TokenStoreError
from zoho_token_store.zoho_sdk import SDKException

CAUSE = ConnectionError("no route")
SAMPLES = [
    (errors.ConfigurationError("url", "must be text"), {"option": "url"}),
    (errors.InvalidToken("refresh_token", "is too long"), {"field": "refresh_token"}),
    (errors.TokenNotFound("some-id"), {"record_id": "some-id"}),
    (errors.TokenDeleted(None), {"record_id": None}),
    (errors.AmbiguousToken(2), {"clients": 2}),
    (errors.RefreshTimeout("some-id", 20.0), {"record_id": "some-id", "waited": 20.0}),
    (errors.RefreshFailing("some-id", 1.5e9), {"record_id": "some-id", "retry_at": 1.5e9}),
    (errors.RefreshThrottled("some-id", 1.5e9), {"record_id": "some-id", "retry_at": 1.5e9}),
    (errors.RefreshRejected("some-id", "invalid_code"), {"record_id": "some-id", "reason": "invalid_code"}),
    (errors.StoreUnavailable("no answer", cause=CAUSE), {"cause": CAUSE}),
    (errors.NotDurable(1, 2), {"replicas": 1, "wanted": 2, "on_disk": False, "passing": True}),
    (errors.NotDurable(0, 1, on_disk=True), {"replicas": 0, "wanted": 1, "on_disk": True, "passing": True}),
    (errors.StoreClosed(), {}),
    (
        errors.RevocationIncomplete("some-id", deleted=True, revoked=False),
        {"record_id": "some-id", "deleted": True, "revoked": False},
    ),
    (errors.UnsupportedSchema("some-id", "7"), {"record_id": "some-id", "schema": "7"}),
    (errors.DecryptionFailed("some-id", "some-key", "changed"), {"record_id": "some-id", "key_id": "some-key"}),
    (errors.CorruptRecord("some-id", "the record"), {"record_id": "some-id"}),
]
samples = pytest.mark.parametrize(("error", "data"), SAMPLES, ids=[type(error).__name__ for error, _ in SAMPLES])


def test_every_leaf_has_a_sample() -> None:
    """A new error gets into these tests."""
    leaves = set(TokenStoreError.__subclasses__()) - {errors._RecordError}
    for kind in (errors._RecordError, errors.StoreUnavailable):
        leaves |= set(kind.__subclasses__())
    assert {type(error) for error, _ in SAMPLES} == leaves


@samples
def test_the_sdks_handlers_catch_it(error: TokenStoreError, data: dict[str, object]) -> None:
    """It is an ``SDKException`` with the code of the SDK's own stores."""
    assert isinstance(error, SDKException)
    assert isinstance(error, TokenStoreError)
    assert error.code == "TOKEN_STORE"
    assert "TOKEN_STORE" in str(error)


@samples
def test_it_carries_its_data(error: TokenStoreError, data: dict[str, object]) -> None:
    """What a handler needs to decide stands in attributes; the record's id also in the message."""
    assert {name: getattr(error, name) for name in data} == data
    if data.get("record_id"):
        assert "some-id" in str(error)


def pickled(error: TokenStoreError) -> TokenStoreError:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled the line before


@samples
@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
def test_it_travels(error: TokenStoreError, data: dict[str, object], copied) -> None:
    """Celery and multiprocessing send errors between processes: type, data and text arrive."""
    twin = copied(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert {name: repr(getattr(twin, name)) for name in data} == {name: repr(value) for name, value in data.items()}
