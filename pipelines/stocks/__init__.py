"""Stocks: the distribution of returns, 1, 5 and 20 days ahead."""
