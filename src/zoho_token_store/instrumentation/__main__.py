"""``python -m zoho_token_store.instrumentation``: print the tables of ``docs/operations.md``."""

from zoho_token_store.instrumentation.reference import reference

if __name__ == "__main__":
    print(reference())
