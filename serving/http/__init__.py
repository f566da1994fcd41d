"""The HTTP routes, their request and response types, and problem responses."""
