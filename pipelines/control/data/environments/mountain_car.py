"""MountainCar-v0: a car in a valley, too weak to drive out (Moore, "Efficient Memory-Based Learning for Robot Control",
1990)."""

import numpy as np

from pipelines.control.data.environments.classic import Classic

LEFT, RIGHT, FASTEST, GOAL, FORCE, GRAVITY = -1.2, 0.6, 0.07, 0.5, 0.001, 0.0025


class MountainCar(Classic):
    """Observations: position and speed. Actions: push left, none, right. Reward -1 a step, until it is on the hill on
    the right."""

    actions, size, longest = 3, 2, 200

    def starts(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return np.column_stack([rng.uniform(-0.6, -0.4, n), np.zeros(n)])

    def moved(self, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        position, speed = state.T
        speed = np.clip(speed + (actions - 1) * FORCE - np.cos(3 * position) * GRAVITY, -FASTEST, FASTEST)
        position = np.clip(position + speed, LEFT, RIGHT)
        speed = np.where((position == LEFT) & (speed < 0), 0.0, speed)  # it hits the wall
        return np.column_stack([position, speed])

    def over(self, state: np.ndarray) -> np.ndarray:
        there: np.ndarray = (state[:, 0] >= GOAL) & (state[:, 1] >= 0)
        return there
