"""CartPole-v1: a cart that balances a pole (Barto, Sutton and Anderson, "Neuronlike Adaptive Elements ...", 1983)."""

import numpy as np

from pipelines.control.data.environments.classic import Classic

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
EDGE, LEAN = 2.4, 12 * 2 * np.pi / 360


class CartPole(Classic):
    """Observations: position and speed of the cart, angle and speed of the pole. Actions: push left, push right. Reward
    1 a step, until the pole leans 12 degrees or the cart is 2.4 from the middle."""

    actions, size, longest = 2, 4, 500

    def starts(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.uniform(-0.05, 0.05, (n, 4))

    def moved(self, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """By Euler's method."""
        _, speed, angle, turn = state.T
        force = np.where(actions == 1, FORCE, -FORCE)
        cos, sin, mass = np.cos(angle), np.sin(angle), CART + POLE
        push = (force + POLE * HALF_LENGTH * np.square(turn) * sin) / mass
        twist = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE * np.square(cos) / mass))
        thrust = push - POLE * HALF_LENGTH * twist * cos / mass
        after: np.ndarray = state + SECONDS * np.column_stack([speed, thrust, turn, twist])
        return after

    def over(self, state: np.ndarray) -> np.ndarray:
        fell: np.ndarray = (np.abs(state[:, 0]) > EDGE) | (np.abs(state[:, 2]) > LEAN)
        return fell

    def rewards(self, terminated: np.ndarray) -> np.ndarray:
        return np.ones(self.n, np.float32)
