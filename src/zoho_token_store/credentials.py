"""A caller's credential provider: asked by each new connection, and an error of the connection when it fails."""

from __future__ import annotations

from typing import Any

import redis
from redis.credentials import CredentialProvider

from zoho_token_store.errors import ConfigurationError


class Credentials(CredentialProvider):
    """Asks a provider.

    Args:
        provider: The caller's; its ``get_credentials`` returns user name and password, or a password.

    Raises:
        ConfigurationError: It has no such method.
    """

    def __init__(self, provider: Any) -> None:
        if not callable(getattr(provider, "get_credentials", None)):
            raise ConfigurationError(
                "credential_provider", "must be a redis.CredentialProvider, and comes with a redis.Redis of yours"
            )
        self._provider = provider

    def get_credentials(self) -> Any:
        """Return what the provider says now.

        Raises:
            redis.ConnectionError: It has failed. Only the kind of its error is said: its words may hold the secret.
        """
        try:
            return self._provider.get_credentials()
        except Exception as error:
            raise redis.ConnectionError(f"the credential provider has failed ({type(error).__name__})") from None
