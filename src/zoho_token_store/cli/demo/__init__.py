"""``zoho-tokens demo``: a fleet of worker processes with the real SDK, first on the SDK's FileStore, then on ours."""
