"""Shared by tests: checkouts, bundles, running servers."""
