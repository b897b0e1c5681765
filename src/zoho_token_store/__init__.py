"""A distributed token store for the Zoho CRM Python SDK: a fleet of workers behaves like one careful client."""

from zoho_token_store.adoption import Adoption
from zoho_token_store.audit import AuditProgress, Finding
from zoho_token_store.cipher import AesGcmCipher, Cipher
from zoho_token_store.errors import (
    AmbiguousToken,
    ConfigurationError,
    CorruptRecord,
    DecryptionFailed,
    InvalidToken,
    NotDurable,
    RefreshFailing,
    RefreshRejected,
    RefreshThrottled,
    RefreshTimeout,
    RevocationIncomplete,
    StoreClosed,
    StoreUnavailable,
    TokenDeleted,
    TokenNotFound,
    TokenStoreError,
    UnsupportedSchema,
)
from zoho_token_store.events import Event, EventReader
from zoho_token_store.memory import Memory
from zoho_token_store.memory_store import MemoryTokenStore
from zoho_token_store.opening import open_store
from zoho_token_store.options import NearCache
from zoho_token_store.partitioned_store import PartitionedTokenStore
from zoho_token_store.redaction import RedactingFilter, install_redaction
from zoho_token_store.redis_store import RedisTokenStore
from zoho_token_store.rotation import RotationProgress
from zoho_token_store.sqlite_store import SQLiteTokenStore
from zoho_token_store.store import CoordinatedTokenStore

__all__ = [
    "Adoption",
    "AesGcmCipher",
    "AmbiguousToken",
    "AuditProgress",
    "Cipher",
    "ConfigurationError",
    "CoordinatedTokenStore",
    "CorruptRecord",
    "DecryptionFailed",
    "Event",
    "EventReader",
    "Finding",
    "InvalidToken",
    "Memory",
    "MemoryTokenStore",
    "NearCache",
    "NotDurable",
    "PartitionedTokenStore",
    "RedactingFilter",
    "RedisTokenStore",
    "RefreshFailing",
    "RefreshRejected",
    "RefreshThrottled",
    "RefreshTimeout",
    "RevocationIncomplete",
    "RotationProgress",
    "SQLiteTokenStore",
    "StoreClosed",
    "StoreUnavailable",
    "TokenDeleted",
    "TokenNotFound",
    "TokenStoreError",
    "UnsupportedSchema",
    "install_redaction",
    "open_store",
]
__version__ = "0.1.0"
