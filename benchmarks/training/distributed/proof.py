"""Compares a training by several processes with that by one."""

from dataclasses import dataclass

from torch import Tensor

from benchmarks.training.distributed.training import Outcome


@dataclass(frozen=True)
class Distance:
    """Largest differences: of a loss relative to it, of a gradient and of a weight to the largest of its matrix."""

    losses: float
    gradients: float
    weights: float

    def within(self, limit: "Distance") -> bool:
        return all(own <= most for own, most in zip(self, limit, strict=True))

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter((self.losses, self.gradients, self.weights))


# float64 leaves only rounding. The softmax ignores the keys' biases, so that their gradient is rounding alone, of which
# AdamW makes full steps: in bfloat16 they differ most.
LIMITS = {
    "64-true": Distance(1e-12, 1e-10, 1e-10),
    "32-true": Distance(2e-6, 1e-5, 2e-4),
    "bf16-mixed": Distance(1e-3, 3e-2, 5e-1),
}


def distance(one: Outcome, other: Outcome) -> Distance:
    """
    Raises:
        ValueError: they don't have the same weights.
    """
    if one.weights.keys() != other.weights.keys() or one.gradients.keys() != other.gradients.keys():
        raise ValueError(f"different weights: {sorted(one.weights.keys() ^ other.weights.keys())}")
    losses = max(abs(b / a - 1) for a, b in zip(one.losses, other.losses, strict=True))
    return Distance(losses, _farthest(one.gradients, other.gradients), _farthest(one.weights, other.weights))


def _farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    found = []
    for name, expected in one.items():
        scale = max(expected.abs().max().item(), 1e-3)
        found.append((other[name].double() - expected.double()).abs().max().item() / scale)
    return max(found)
