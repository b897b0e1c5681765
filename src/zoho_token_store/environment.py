"""What a process's environment says about its store."""

from __future__ import annotations

from collections.abc import Mapping

from zoho_token_store.errors import ConfigurationError

URL_VARIABLE = "ZOHO_TOKEN_STORE_URL"
NAMESPACE_VARIABLE = "ZOHO_TOKEN_STORE_NAMESPACE"
KEYS_VARIABLE = "ZOHO_TOKEN_STORE_KEYS"
POINTER_KEYS_VARIABLE = "ZOHO_TOKEN_STORE_POINTER_KEYS"
SWITCH_VARIABLES = {
    "encrypt_identity": "ZOHO_TOKEN_STORE_ENCRYPT_IDENTITY",
    "migrate_plaintext": "ZOHO_TOKEN_STORE_MIGRATE_PLAINTEXT",
}


def with_environment_keys(options: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, object]:
    """Return options of a store with the keys that the environment has; those that are given go first.

    Raises:
        ConfigurationError: The value of a variable cannot be used.
    """
    found = dict(options)
    if KEYS_VARIABLE in environ and "cipher" not in found:
        found.setdefault("encryption_keys", environ[KEYS_VARIABLE])
    if POINTER_KEYS_VARIABLE in environ:
        found.setdefault("pointer_keys", environ[POINTER_KEYS_VARIABLE])
    for option, variable in SWITCH_VARIABLES.items():
        if environ.get(variable):
            found.setdefault(option, _switch(variable, environ[variable]))
    return found


def _switch(variable: str, value: str) -> bool:
    if value not in ("0", "1"):
        raise ConfigurationError(variable, "must be 1 or 0")
    return value == "1"
