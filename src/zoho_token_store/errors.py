"""What can go wrong, as one tree.

::

    SDKException                    the Zoho SDK's own, so that existing handlers go on working
    └── TokenStoreError             code "TOKEN_STORE"
        ├── ConfigurationError      an option or a URL that cannot be used
        ├── InvalidToken            a token or an argument that cannot be stored or looked up
        ├── TokenNotFound           no record under this id
        ├── TokenDeleted            the record was deleted, and stays so
        ├── AmbiguousToken          one user name under several clients, and no client id to choose by
        ├── RefreshTimeout          another worker was to refresh, and nobody has within the wait time
        ├── RefreshFailing          several refreshes in a row have failed; the fleet cools down
        ├── RefreshThrottled        Zoho, or the fleet's own budget, allows no more access tokens for now
        ├── RefreshRejected         Zoho has refused the credentials for good
        ├── RevocationIncomplete    a token was not ended at Zoho, or not deleted here
        ├── StoreUnavailable        Redis did not answer within the operation budget
        │   └── NotDurable          it has, and fewer replicas than wanted have what was saved
        ├── StoreClosed             the store was closed
        ├── UnsupportedSchema       written by a newer release that this one does not understand
        ├── DecryptionFailed        sealed under a key that is not there, or changed since, or not sealed at all
        └── CorruptRecord           not something that this package has written

No message holds a token, a secret or a user name.
"""

from __future__ import annotations

from typing import Any

from zoho_token_store.zoho_sdk import SDKException

CODE = "TOKEN_STORE"


class TokenStoreError(SDKException):
    """Base of every error that this package raises.

    Args:
        message: What happened, and what to do about it.
        cause: The error underneath, if there is one.
    """

    def __init__(self, message: str, *, cause: BaseException | None = None) -> None:
        super().__init__(CODE, message if cause is None else f"{message}: ", None, cause)

    def __reduce__(self) -> tuple[Any, ...]:
        # Celery sends errors between processes; the leaves' own arguments need not match Exception's.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[TokenStoreError], args: tuple[Any, ...], state: dict[str, Any]) -> TokenStoreError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(TokenStoreError):
    """An option or a URL that cannot be used.

    Attributes:
        option: The name of the option.
    """

    def __init__(self, option: str, message: str, *, cause: BaseException | None = None) -> None:
        super().__init__(f"{option}: {message}", cause=cause)
        self.option = option


class InvalidToken(TokenStoreError):
    """A token or an argument that cannot be stored or looked up; nothing was changed.

    Attributes:
        field: The name of the field at fault.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class _RecordError(TokenStoreError):
    """An error about one record; ``record_id`` is its id, or None when only a credential was given."""

    def __init__(self, message: str, record_id: str | None, *, cause: BaseException | None = None) -> None:
        super().__init__(message if record_id is None else f"{message} (record {record_id})", cause=cause)
        self.record_id = record_id


class TokenNotFound(_RecordError):
    """No record under this id."""

    def __init__(self, record_id: str | None) -> None:
        super().__init__("no such token", record_id)


class TokenDeleted(_RecordError):
    """The record was deleted; the worker that still holds its object has to log in again."""

    def __init__(self, record_id: str | None) -> None:
        super().__init__("the token was deleted", record_id)


class AmbiguousToken(TokenStoreError):
    """One user name under several clients, and no client id to choose by.

    Attributes:
        clients: How many clients know this user name.
    """

    def __init__(self, clients: int) -> None:
        super().__init__(f"user_signature: {clients} clients have a token of this user; give the client id too")
        self.clients = clients


class RefreshTimeout(_RecordError):
    """Another worker was to refresh, and no usable token has come within the wait time.

    Attributes:
        waited: Seconds waited.
    """

    def __init__(self, record_id: str | None, waited: float) -> None:
        super().__init__(f"no worker has refreshed the token within {waited:.1f} s", record_id)
        self.waited = waited


class RefreshFailing(_RecordError):
    """The last refreshes have ended without a token; the fleet asks again after a pause.

    Attributes:
        retry_at: When the next refresh will be tried, seconds since the epoch by this machine's clock.
    """

    def __init__(self, record_id: str | None, retry_at: float, *, cause: BaseException | None = None) -> None:
        super().__init__("the last refreshes have failed; the fleet cools down before the next", record_id, cause=cause)
        self.retry_at = retry_at


class RefreshThrottled(_RecordError):
    """No more access tokens for now: Zoho has said so, or the fleet has used up its own budget.

    Attributes:
        retry_at: When the next refresh will be tried, seconds since the epoch by this machine's clock.
    """

    def __init__(self, record_id: str | None, retry_at: float) -> None:
        super().__init__("no more access tokens for now; the fleet asks again later", record_id)
        self.retry_at = retry_at


class RefreshRejected(_RecordError):
    """Zoho has refused the credentials for good; the fleet does not ask again until something new is saved.

    Attributes:
        reason: What Zoho said, such as ``invalid_code`` or ``invalid_client``.
    """

    def __init__(self, record_id: str | None, reason: str) -> None:
        super().__init__(f"Zoho has refused the credentials: {reason}", record_id)
        self.reason = reason


class RevocationIncomplete(_RecordError):
    """A token was not ended at Zoho, or not deleted here; ``cause`` says why.

    Attributes:
        deleted: Whether it was deleted here. If Redis did not answer, it may have been all the same.
        revoked: Whether Zoho has ended it, with every refresh token that the record had.
    """

    def __init__(
        self, record_id: str | None, *, deleted: bool, revoked: bool, cause: BaseException | None = None
    ) -> None:
        super().__init__(_LEFT_TO_DO[deleted, revoked], record_id, cause=cause)
        self.deleted = deleted
        self.revoked = revoked


_LEFT_TO_DO = {
    (
        True,
        False,
    ): "the token was deleted here, but Zoho has not ended it, and this store cannot try again: its user can"
    " end it, among the connected apps of the Zoho account",
    (False, True): "Zoho has ended the token, which is dead, but it was not deleted here: revoke or delete it again",
    (False, False): "the token was neither ended at Zoho nor deleted here: revoke it again",
}


class StoreUnavailable(TokenStoreError):
    """Redis did not answer, or not usefully, within the operation budget; ``cause`` is its last error.

    Attributes:
        passing: Whether asking again later may help, as against what Redis refuses for good: a wrong password, a
            command that the user may not run, a key that holds something else.
    """

    def __init__(self, message: str, *, cause: BaseException | None = None, passing: bool = True) -> None:
        super().__init__(message, cause=cause)
        self.passing = passing


class NotDurable(StoreUnavailable):
    """A save is stored, but fewer replicas than ``min_replicas`` have it: a failover now might lose it.

    The save is kept in the process, and replicas are waited for again, as with any save that Redis has not taken.

    Attributes:
        replicas: How many have it.
        wanted: How many should.
        on_disk: Whether those count that have it on disk, as the master has to have it too; else in memory.
    """

    def __init__(self, replicas: int, wanted: int, *, on_disk: bool = False) -> None:
        where = " on disk yet, beside the master" if on_disk else " yet"
        super().__init__(f"the save is stored, and only {replicas} of {wanted} replicas have it{where}")
        self.replicas = replicas
        self.wanted = wanted
        self.on_disk = on_disk


class StoreClosed(TokenStoreError):
    """The store was closed."""

    def __init__(self) -> None:
        super().__init__("the token store is closed")


class UnsupportedSchema(_RecordError):
    """The record was written by a newer release that this one does not understand; it is left as it is.

    Attributes:
        schema: The schema of the record.
    """

    def __init__(self, record_id: str | None, schema: str) -> None:
        super().__init__(f"the record has schema {schema}; upgrade zoho-token-store to read it", record_id)
        self.schema = schema


class DecryptionFailed(_RecordError):
    """The record cannot be opened; it is left as it is.

    Attributes:
        key_id: The key that it names; None if it lies in the clear in a store with keys.
    """

    def __init__(self, record_id: str | None, key_id: str | None, why: str) -> None:
        named = "" if key_id is None else f" under the key {key_id}"
        super().__init__(f"the record cannot be opened{named}: {why}", record_id)
        self.key_id = key_id


class CorruptRecord(_RecordError):
    """What is stored is not something that this package has written; it is left as it is."""

    def __init__(self, record_id: str | None, what: str) -> None:
        super().__init__(f"{what} cannot be read; it was changed by something else", record_id)


UNREADABLE = (CorruptRecord, DecryptionFailed, UnsupportedSchema)
"""Errors of one record that cannot be read; others can."""
