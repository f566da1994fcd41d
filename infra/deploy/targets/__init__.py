"""The deployment targets: one module each, and their helpers."""
