"""``zoho-tokens top``: a live view of the fleet."""
