"""What an operator has at hand: a store with tokens in it, and commands that are run on it."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from cli.program import run_here
from cli.terminal import Terminal
from contract.tokens import make_token
from zoho_token_store import CoordinatedTokenStore, open_store

SECRETS = ("made-up-secret", "rt-of-", "at-of-", "gt-of-")


class Desk:
    """A store, and commands on it.

    Args:
        url: Where the store is.
        namespace: Its namespace.
    """

    def __init__(self, url: str, namespace: str) -> None:
        told = {"ZOHO_TOKEN_STORE_URL": url, "ZOHO_TOKEN_STORE_NAMESPACE": namespace}
        self.url, self.namespace = url, namespace
        unset = {name: value for name, value in os.environ.items() if not name.startswith("ZOHO_TOKEN_STORE")}
        self.environment = unset | told | {"NO_PROXY": "127.0.0.1"}

    def store(self, **options: Any) -> CoordinatedTokenStore:
        """Return the store of a worker."""
        return open_store(self.url, self.namespace, **options)

    def save(self, *users: str, **fields: Any) -> list[str]:
        """Save a token for each of some users, with a refresh token if nothing else is said; return their ids."""
        ids = []
        with self.store() as store:
            for user in users:
                kinds = {"refresh": f"rt-of-{user}"} | fields
                token = make_token(user, **kinds)
                store.save_token(token)
                ids.append(str(token.get_id()))
        return ids

    def ids(self) -> set[str]:
        """Return the ids of all that is stored."""
        with self.store() as store:
            return {token.get_id() for token in store.iter_tokens()}

    def run(self, *arguments: str, answer: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command through pipes, in this process; what it prints is plain text without a secret."""
        done = run_here(list(arguments), self.environment | variables, answer)
        said = done.stdout + done.stderr
        assert not [secret for secret in SECRETS if secret in said], said
        assert "Traceback" not in said, said
        assert said.replace("\n", "").isprintable(), said
        return done

    def terminal(self, *arguments: str, columns: int = 100, lines: int = 30, **variables: str) -> Terminal:
        """Run a command in a terminal."""
        return Terminal(list(arguments), self.environment | variables, columns, lines)
