"""Promotion of champions: the gate, the registry, the promotion log."""
