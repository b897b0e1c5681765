"""Calls to CRM that are made again if CRM has rejected the access token."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import TypeVar

from zoho_token_store.sdk import rejects_token
from zoho_token_store.zoho_sdk import TokenStore

T = TypeVar("T")


class CrmCalls(TokenStore):
    """What makes calls to CRM with the tokens that a store hands out."""

    def _begin_handing_out(self) -> None:
        """Take note of what each thread is handed out, as ``self._handed.token``; to be called by the constructor."""
        self._handed = threading.local()

    @abstractmethod
    def invalidate_access_token(self, id: str, access_token: str | None = None) -> None:
        """Drop an access token that CRM has rejected."""

    def call_crm(self, call: Callable[[], T]) -> T:
        """Make a call of the SDK; if CRM rejects the access token, invalidate it and make the call once more.

        ::

            response = store.call_crm(lambda: RecordOperations("Leads").get_records(parameters))

        Args:
            call: Makes one call, in this thread.

        Returns:
            What the last call has returned, also if that is CRM's refusal again.
        """
        self._handed.token = None
        response = call()
        used = self._handed.token
        if used is None or not rejects_token(response):
            return response
        self.invalidate_access_token(used.get_id(), used.get_access_token())
        return call()
