"""``zoho-tokens doctor``: what would lose or leak tokens, and what to do about it."""
