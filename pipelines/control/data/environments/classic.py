"""Classic control, n episodes side by side: what gymnasium's CartPole, Acrobot and MountainCar share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.control.data.environments.base import Step


class Classic(ABC):
    """n episodes of a system that obeys equations of motion. The equations are gymnasium's, and a seed gives the start
    that it gives there.

    Args:
        limit: steps after which an episode is cut; gymnasium's is the longest.
    """

    actions: int
    size: int  # numbers of an observation
    longest: int
    states = None

    def __init__(self, n: int, seed: int, limit: int | None = None) -> None:
        self.n, self.limit, self.rng = n, min(limit or self.longest, self.longest), np.random.default_rng(seed)
        self.state, self.age = self.starts(self.rng, n), np.zeros(n, np.int64)

    @abstractmethod
    def starts(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """States that episodes begin in, float64 [n, numbers]"""

    @abstractmethod
    def moved(self, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """The state after one step. state: [n, numbers], actions: int [n]"""

    @abstractmethod
    def over(self, state: np.ndarray) -> np.ndarray:
        """Whether nothing is to come, bool [n]"""

    def seen(self, state: np.ndarray) -> np.ndarray:
        """float32 [n, size]"""
        return state.astype(np.float32)

    def rewards(self, terminated: np.ndarray) -> np.ndarray:
        """float32 [n]"""
        return np.full(self.n, -1.0, np.float32)

    def reset(self, seeds: Sequence[int] | None = None) -> np.ndarray:
        """-> float32 [n, size]"""
        if seeds is None:
            self.state = self.starts(self.rng, self.n)
        else:
            self.state = np.concatenate([self.starts(np.random.default_rng(seed), 1) for seed in seeds])
        self.age = np.zeros(self.n, np.int64)
        return self.seen(self.state)

    def step(self, actions: np.ndarray) -> Step:
        moved = self.moved(self.state, actions)
        self.age += 1
        terminated = self.over(moved)
        truncated = ~terminated & (self.age >= self.limit)
        ended = terminated | truncated
        final = observations = self.seen(moved)
        self.state = moved
        if ended.any():
            self.state = np.where(ended[:, None], self.starts(self.rng, self.n), moved)
            self.age[ended] = 0
            observations = self.seen(self.state)
        return Step(observations, self.rewards(terminated), terminated, truncated, final)

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state.tolist(), "age": self.age.tolist(), "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state, self.age = np.array(state["state"]), np.array(state["age"])
        self.rng.bit_generator.state = state["rng"]
