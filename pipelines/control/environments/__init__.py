"""Environments of our own, many episodes side by side; their dynamics are gymnasium's."""
