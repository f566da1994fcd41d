"""CartPole-v1: a cart that balances a pole (Barto, Sutton and Anderson, "Neuronlike Adaptive Elements ...", 1983).

The equations are gymnasium's, for n carts at once. Observations: position and speed of the cart, angle and speed of
the pole. Actions: push left, push right. Reward 1 a step, until the pole leans 12 degrees or the cart is 2.4 from the
middle.
"""

from typing import Any

import numpy as np

from models.control.environment import Step

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
    """n carts."""

    actions = 2

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.rng = n, np.random.default_rng(seed)
        self.state, self.age = np.zeros((n, 4)), np.zeros(n, np.int64)

    def _starts(self) -> np.ndarray:
        return self.rng.uniform(-0.05, 0.05, (self.n, 4))

    def reset(self) -> np.ndarray:
        """-> float32 [n, 4]"""
        return self.begin(self._starts())

    def begin(self, state: np.ndarray) -> np.ndarray:
        """Episodes from given states, [n, 4]: those that are kept back for evaluation."""
        self.state, self.age = state.astype(np.float64), np.zeros(self.n, np.int64)
        return self.state.astype(np.float32)

    def step(self, actions: np.ndarray) -> Step:
        final = moved(self.state, actions)
        self.age += 1
        terminated = (np.abs(final[:, 0]) > EDGE) | (np.abs(final[:, 2]) > LEAN)
        truncated = ~terminated & (self.age >= LIMIT)
        ended = terminated | truncated
        self.state = np.where(ended[:, None], self._starts(), final) if ended.any() else final
        self.age[ended] = 0
        rewards = np.ones(self.n, np.float32)
        return Step(self.state.astype(np.float32), rewards, terminated, truncated, final.astype(np.float32))

    def state_dict(self) -> dict[str, Any]:
        """All that the future depends on."""
        return {"state": self.state, "age": self.age.copy(), "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state, self.age, self.rng.bit_generator.state = state["state"], state["age"].copy(), state["rng"]
