"""Rewards for getting nearer, which leave the best policy what it is: Ng, Harada and Russell, "Policy Invariance under
Reward Transformations: Theory and Application to Reward Shaping" (1999)."""

from collections.abc import Callable, Mapping

import numpy as np

Potential = Callable[[np.ndarray], np.ndarray]  # observations [n, ...] -> [n]

FULL = 0.0017  # energy of a car that stands on the hill
WORTH = 100.0  # of that energy: about as much as the steps that it takes


def mountain_car(observations: np.ndarray) -> np.ndarray:
    """The energy of its height and its speed, 0 at rest in the valley and about 1 on the hill: to get out, it has to be
    gathered push by push. observations: [n, 2] -> [n]"""
    position, speed = observations.astype(np.float64).T
    height = (np.sin(3 * position) + 1) * 0.0025 / 3  # gravity pulls by 0.0025 cos(3 position)
    energy: np.ndarray = (height + speed**2 / 2) / FULL * WORTH
    return energy


POTENTIALS: Mapping[str, Potential] = {"mountain_car": mountain_car}


def shaped(
    rewards: np.ndarray, before: np.ndarray, after: np.ndarray, terminated: np.ndarray, discount: float
) -> np.ndarray:
    """r + gamma Phi(s') - Phi(s), equation 2; nothing has a potential after the end. Over an episode the terms add up
    to what its start has, whatever is done: so no detour pays (theorem 1).

    before, after: potentials of the states before and after the step; all [n]
    """
    found: np.ndarray = rewards + discount * np.where(terminated, 0.0, after) - before
    return found
