"""Rotary positions, and what stretches them to contexts longer than those of training.

Su et al., "RoFormer" (2021), section 3.4.2: values i and i + d/2 of a query or key turn as one point of a plane, by
an angle of position x frequency, so that a query and a key meet at an angle of their distance alone.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Linear:
    """Every position divided by `factor` (Chen et al., "Extending Context Window ... via Position Interpolation",
    2023, section 2.3)."""

    factor: float
    amplitude: float = 1.0

    def __call__(self, frequencies: Tensor, base: float) -> Tensor:
        return frequencies / self.factor


@dataclass(frozen=True)
class Llama3:
    """Slow turns are divided by `factor`, quick ones stay, those between are mixed (the code beside "The Llama 3 Herd
    of Models", 2024). `low` and `high`: turns within the `original` context below which and above which."""

    factor: float
    low: float
    high: float
    original: int
    amplitude: float = 1.0

    def __call__(self, frequencies: Tensor, base: float) -> Tensor:
        turns = self.original * frequencies / (2 * math.pi)
        kept = ((turns - self.low) / (self.high - self.low)).clamp(0, 1)
        return kept * frequencies + (1 - kept) * frequencies / self.factor


@dataclass(frozen=True)
class Yarn:
    """Peng et al., "YaRN" (2023): the same by parts (section 3.2), mixed along the index of the frequency instead of
    the frequency, and with attention sharpened (section 3.4)."""

    factor: float
    original: int
    low: float = 1.0
    high: float = 32.0

    @property
    def amplitude(self) -> float:
        """Of cosines and sines; scores grow by its square."""
        return 0.1 * math.log(self.factor) + 1

    def __call__(self, frequencies: Tensor, base: float) -> Tensor:
        count = len(frequencies)

        def index(turns: float) -> float:
            """Of the frequency that makes so many turns within the `original` context."""
            return count * math.log(self.original / (turns * 2 * math.pi)) / math.log(base)

        first, last = max(math.floor(index(self.high)), 0), min(math.ceil(index(self.low)), 2 * count - 1)
        divided = ((torch.arange(count, device=frequencies.device) - first) / max(last - first, 1e-3)).clamp(0, 1)
        return (1 - divided) * frequencies + divided * frequencies / self.factor


Scaling = Linear | Llama3 | Yarn


def rotation(positions: Tensor, d: int, base: float = 10_000.0, scaling: Scaling | None = None) -> Pair:
    """Cosines and sines of each position. positions: [n, t] -> [n, 1, t, d/2] each"""
    frequencies = base ** (-torch.arange(0, d, 2, device=positions.device) / d)
    if scaling is not None:
        frequencies = scaling(frequencies, base)
    angles = positions[:, None, :, None] * frequencies
    cos, sin = angles.cos(), angles.sin()
    return (cos, sin) if scaling is None else (cos * scaling.amplitude, sin * scaling.amplitude)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: [n, heads, t, d] -> the same, turned by the angles of its positions"""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).type_as(x)
