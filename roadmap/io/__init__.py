"""Shared plumbing: command lines, errors, atomic writes and HTTP requests."""
