"""``python -m zoho_token_store.cli``: the command ``zoho-tokens``."""

from zoho_token_store.cli import main

main()
