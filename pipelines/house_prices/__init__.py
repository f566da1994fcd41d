"""House prices: regression on a table."""
