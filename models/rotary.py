"""Rotary positions: models/decoders/rotary.py."""

from models.decoders.rotary import Pair, rotate, rotation

__all__ = ["Pair", "rotate", "rotation"]
