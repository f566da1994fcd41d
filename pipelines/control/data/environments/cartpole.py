"""CartPole-v1: a cart that balances a pole (Barto, Sutton and Anderson, "Neuronlike Adaptive Elements ...", 1983).

The equations are gymnasium's, for n carts at once. Observations: position and speed of the cart, angle and speed of
the pole. Actions: push left, push right. Reward 1 a step, until the pole leans 12 degrees or the cart is 2.4 from the
middle.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.control.data.environments.base import Step

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
EDGE, LEAN, LIMIT = 2.4, 12 * 2 * np.pi / 360, 500


def moved(state: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The state after 0.02 s, by Euler's method. state: float64 [n, 4], actions: 0 or 1 [n]"""
    _, speed, angle, turn = state.T
    force = np.where(actions == 1, FORCE, -FORCE)
    cos, sin, mass = np.cos(angle), np.sin(angle), CART + POLE
    push = (force + POLE * HALF_LENGTH * np.square(turn) * sin) / mass
    twist = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE * np.square(cos) / mass))
    thrust = push - POLE * HALF_LENGTH * twist * cos / mass
    changes = np.column_stack([speed, thrust, turn, twist])
    after: np.ndarray = state + SECONDS * changes
    return after


class CartPole:
    """n carts.

    Args:
        limit: steps after which an episode is cut.
    """

    actions, size, states = 2, 4, None

    def __init__(self, n: int, seed: int, limit: int = LIMIT) -> None:
        self.n, self.limit, self.rng = n, limit, np.random.default_rng(seed)
        self.state, self.age = np.zeros((n, 4)), np.zeros(n, np.int64)

    def _starts(self) -> np.ndarray:
        return self.rng.uniform(-0.05, 0.05, (self.n, 4))

    def reset(self, seeds: Sequence[int] | None = None) -> np.ndarray:
        """-> float32 [n, 4]. A seed gives the start that it gives in gymnasium."""
        if seeds is None:
            self.state = self._starts()
        else:
            self.state = np.stack([np.random.default_rng(seed).uniform(-0.05, 0.05, 4) for seed in seeds])
        self.age = np.zeros(self.n, np.int64)
        return self.state.astype(np.float32)

    def step(self, actions: np.ndarray) -> Step:
        final = moved(self.state, actions)
        self.age += 1
        terminated = (np.abs(final[:, 0]) > EDGE) | (np.abs(final[:, 2]) > LEAN)
        truncated = ~terminated & (self.age >= self.limit)
        ended = terminated | truncated
        self.state = np.where(ended[:, None], self._starts(), final) if ended.any() else final
        self.age[ended] = 0
        rewards = np.ones(self.n, np.float32)
        return Step(self.state.astype(np.float32), rewards, terminated, truncated, final.astype(np.float32))

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state.tolist(), "age": self.age.tolist(), "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state, self.age = np.array(state["state"]), np.array(state["age"])
        self.rng.bit_generator.state = state["rng"]
