"""The command ``zoho-tokens``."""

from __future__ import annotations

import sys

MISSING = "zoho-tokens needs the package {package!r}. Install it with the extra: pip install 'zoho-token-store[cli]'"

__all__ = ["main"]


def main() -> None:
    """Run the command; without the extra's packages, say which extra is missing."""
    # Imported here: the library must not need click and rich, and neither must the demo's workers, which are below this
    # package.
    try:
        from zoho_token_store.cli.command import command
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "zoho_token_store":
            raise
        sys.exit(MISSING.format(package=error.name))
    command(prog_name="zoho-tokens")
