"""What the algorithms ask of an environment: n episodes side by side, and the next one where one has ended."""

from typing import NamedTuple, Protocol

import numpy as np


class Step(NamedTuple):
    """What follows an action of each episode.

    observations  to act upon next, [n, ...]: where an episode ended, the first of the next one
    rewards       [n]
    terminated    bool [n]: it ended, and nothing is to come
    truncated     bool [n]: it was cut by the time limit, though more would have come
    final         [n, ...]: as observations, but the last one where an episode ended
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    final: np.ndarray

    @property
    def ended(self) -> np.ndarray:
        """bool [n]"""
        return self.terminated | self.truncated


class Environment(Protocol):
    """Discrete actions 0 to actions - 1."""

    n: int
    actions: int

    def reset(self) -> np.ndarray:
        """Begins n episodes; their first observations, [n, ...]."""

    def step(self, actions: np.ndarray) -> Step:
        """actions: int [n]"""
