"""Errors that a caller can mend; see roadmap/io/errors.py."""

from roadmap.io.errors import Unavailable, UsageError, nearest

__all__ = ["Unavailable", "UsageError", "nearest"]
