"""Acrobot-v1: two links that hang from a bar, and a motor between them (Sutton, "Generalization in Reinforcement
Learning: Successful Examples Using Sparse Coarse Coding", 1996)."""

import numpy as np

from pipelines.control.data.environments.classic import Classic

GRAVITY, LENGTH, MIDDLE, INERTIA, SECONDS = 9.8, 1.0, 0.5, 1.0, 0.2  # both links weigh 1
FASTEST = np.array([4 * np.pi, 9 * np.pi])


class Acrobot(Classic):
    """Observations: cosine and sine of the upper angle, and of the lower one from the upper link; both speeds. Actions:
    torque left, none, right. Reward -1 a step, until the tip is a link's length above the bar."""

    actions, size, longest = 3, 6, 500

    def starts(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.uniform(-0.1, 0.1, (n, 4)).astype(np.float32).astype(np.float64)

    def moved(self, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """By the Runge-Kutta method of order 4."""
        start, torque = np.ascontiguousarray(state.T), actions - 1.0
        one = changes(start, torque)
        two = changes(start + SECONDS / 2 * one, torque)
        three = changes(start + SECONDS / 2 * two, torque)
        four = changes(start + SECONDS * three, torque)
        after = start + SECONDS / 6 * (one + 2 * two + 2 * three + four)
        angles, speeds = after[:2], after[2:]
        while (far := np.abs(angles) > np.pi).any():
            angles[far] -= np.sign(angles[far]) * 2 * np.pi
        np.clip(speeds, -FASTEST[:, None], FASTEST[:, None], out=speeds)
        return after.T

    def over(self, state: np.ndarray) -> np.ndarray:
        up: np.ndarray = -np.cos(state[:, 0]) - np.cos(state[:, 1] + state[:, 0]) > 1.0
        return up

    def seen(self, state: np.ndarray) -> np.ndarray:
        upper, lower, *speeds = state.T
        return np.column_stack([np.cos(upper), np.sin(upper), np.cos(lower), np.sin(lower), *speeds]).astype(np.float32)

    def rewards(self, terminated: np.ndarray) -> np.ndarray:
        return np.where(terminated, np.float32(0), np.float32(-1))


def changes(state: np.ndarray, torque: np.ndarray) -> np.ndarray:
    """Of the angles and their speeds, a second: [4, n] -> [4, n]. As in Sutton and Barto's book; the paper leaves out a
    term."""
    upper, lower, speed, turn = state
    cos, sin = np.cos(lower), np.sin(lower)
    d1 = MIDDLE**2 + (LENGTH**2 + MIDDLE**2 + 2 * LENGTH * MIDDLE * cos) + INERTIA + INERTIA
    d2 = (MIDDLE**2 + LENGTH * MIDDLE * cos) + INERTIA
    phi2 = MIDDLE * GRAVITY * np.cos(upper + lower - np.pi / 2.0)
    phi1 = (
        -LENGTH * MIDDLE * turn**2 * sin
        - 2 * LENGTH * MIDDLE * turn * speed * sin
        + (MIDDLE + LENGTH) * GRAVITY * np.cos(upper - np.pi / 2)
        + phi2
    )
    below = (torque + d2 / d1 * phi1 - LENGTH * MIDDLE * speed**2 * sin - phi2) / (MIDDLE**2 + INERTIA - d2**2 / d1)
    above = -(d2 * below + phi1) / d1
    return np.stack([speed, turn, above, below])
