"""A memory of transitions, and batches of it, at random or by how much they surprised."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.control.environment import Step

ALPHA, LEAST = 0.6, 1e-3  # of prioritised replay: section 3.3 and table 3; what keeps every transition alive


class Transitions(NamedTuple):
    """m transitions. chances: N P(i), 1 where all are alike (section 3.4); rows: their places, int. All [m, ...]."""

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    following: Tensor
    terminated: Tensor
    chances: Tensor
    rows: Tensor


class SumTree:
    """Numbers, and the sums of two, of four, of eight of them: one is drawn in proportion in log2(n) steps (Schaul et
    al., "Prioritized Experience Replay", 2016, appendix B.2.1)."""

    def __init__(self, size: int) -> None:
        self.leaves = 1 << (size - 1).bit_length()
        self.sums = np.zeros(2 * self.leaves)  # sums[i] = sums[2i] + sums[2i + 1]; numbers begin at `leaves`

    @property
    def total(self) -> float:
        return float(self.sums[1])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.sums[rows + self.leaves]
        return found

    def __setitem__(self, rows: np.ndarray, numbers: np.ndarray) -> None:
        places = rows + self.leaves
        self.sums[places] = numbers
        while (places := np.unique(places // 2))[0] > 0:
            self.sums[places] = self.sums[2 * places] + self.sums[2 * places + 1]

    def find(self, points: np.ndarray) -> np.ndarray:
        """The number in which each point of [0, total) lies, if they are laid end to end: [m] -> rows [m]"""
        places = np.ones(len(points), np.int64)
        points = points.copy()
        while places[0] < self.leaves:
            left = self.sums[2 * places]
            right = points >= left
            points -= np.where(right, left, 0.0)
            places = 2 * places + right
        return places - self.leaves


class Memory:
    """The last transitions, in a ring.

    Args:
        capacity: how many.
        size: of an observation.
        prioritised: whether those with large errors are drawn more often.
    """

    def __init__(self, capacity: int, size: int, prioritised: bool, seed: int) -> None:
        self.capacity, self.rng = capacity, np.random.default_rng(seed)
        self.columns: dict[str, np.ndarray] = {
            "observations": np.zeros((capacity, size), np.float32),
            "actions": np.zeros(capacity, np.int64),
            "rewards": np.zeros(capacity, np.float32),
            "following": np.zeros((capacity, size), np.float32),
            "terminated": np.zeros(capacity, bool),
        }
        self.tree = SumTree(capacity) if prioritised else None
        self.next, self.filled, self.largest = 0, 0, 1.0

    def __len__(self) -> int:
        return self.filled

    def add(self, observations: np.ndarray, actions: np.ndarray, step: Step) -> None:
        """[n] transitions. Of an episode that ended, what follows is its last observation, not the next one's first."""
        rows = (self.next + np.arange(len(actions))) % self.capacity
        found = (observations, actions, step.rewards, step.final, step.terminated)
        for column, values in zip(self.columns.values(), found, strict=True):
            column[rows] = values
        if self.tree:
            self.tree[rows] = np.full(len(rows), self.largest)  # seen once for certain (algorithm 1, line 6)
        self.next, self.filled = int(rows[-1] + 1) % self.capacity, min(self.capacity, self.filled + len(rows))

    def draw(self, m: int) -> Transitions:
        if self.tree:
            # One from each of m equal parts of the sum (appendix B.2.1); rounding may lead past the last one.
            points = (np.arange(m) + self.rng.random(m)) * (self.tree.total / m)
            rows = self.tree.find(points).clip(max=self.filled - 1)
            chances = self.tree[rows] / self.tree.total * self.filled
        else:
            rows, chances = self.rng.integers(self.filled, size=m), np.ones(m)
        found = {name: torch.from_numpy(column[rows]) for name, column in self.columns.items()}
        drawn = torch.from_numpy(chances.astype(np.float32))
        return Transitions(**found, chances=drawn, rows=torch.from_numpy(rows))

    def prioritise(self, rows: Tensor, errors: Tensor) -> None:
        """p = (|error| + epsilon)^alpha (section 3.3). rows, errors: [m], as drawn"""
        if self.tree:
            priorities = (errors.detach().abs().cpu().double().numpy() + LEAST) ** ALPHA
            self.tree[rows.cpu().numpy()] = priorities
            self.largest = max(self.largest, float(priorities.max()))

    def state_dict(self) -> dict[str, Any]:
        """With every transition: of a million of eight numbers, 85 MB."""
        return {
            "columns": {name: torch.from_numpy(column[: self.filled].copy()) for name, column in self.columns.items()},
            "priorities": torch.from_numpy(self.tree[np.arange(self.filled)]) if self.tree else None,
            "next": self.next,
            "largest": self.largest,
            "rng": self.rng.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.filled = len(state["columns"]["actions"])
        for name, column in self.columns.items():
            column[: self.filled] = state["columns"][name].numpy()
        if self.tree and self.filled:
            self.tree[np.arange(self.filled)] = state["priorities"].numpy()
        self.next, self.largest = state["next"], state["largest"]
        self.rng.bit_generator.state = state["rng"]
