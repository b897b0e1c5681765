"""Time that passes for one access token alone, as Redis sees it."""

from __future__ import annotations

from typing import Any

from zoho_token_store.codec import Codec
from zoho_token_store.keyspace import Keyspace


class Aging:
    """Makes access tokens older than they are.

    Args:
        raw: A client that answers with text.
        codec: How the store that wrote them has sealed them.
        namespace: Where they are.
    """

    def __init__(self, raw: Any, codec: Codec, namespace: str) -> None:
        self._raw = raw
        self._codec = codec
        self._keys = Keyspace(namespace)

    def leave(self, record_id: str, left: float, life: float | None = None) -> None:
        """Let an access token have some seconds left.

        Args:
            record_id: Whose.
            left: Seconds.
            life: The life that it had when it was saved, seconds; None leaves that as it is.
        """
        key = self._keys.access(record_id)
        access = self._codec.read_access(record_id, self._raw.get(key))
        assert access is not None
        if left <= 0:
            self._raw.delete(key)
            return
        seconds, microseconds = self._raw.time()
        expires_ms = int((seconds + microseconds / 1e6 + left) * 1000)
        life_ms = access.life_ms if life is None else int(life * 1000)
        access = access._replace(expires_ms=expires_ms, life_ms=life_ms)
        self._raw.set(key, self._codec.access(record_id, access))
